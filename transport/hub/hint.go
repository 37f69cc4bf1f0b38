package hub

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

const (
	hintFile = "hint"
	hintAge  = 15 * time.Second // for so long a cache may keep a hint
	dripRate = 500              // devices a second that are told of a change
)

// herald says the hub's hint: it signs what the survey found, and gives it to devices
// that have just come, to those that are there when it has changed, and to whoever asks
// by HTTP.
type herald struct {
	authority *authority.Authority
	dir       *durable.Dir
	out       outbox
	here      func() []seal.ID // the devices that have a session
	log       *slog.Logger

	changed chan struct{} // takes one: devices that are there are to be told

	mu     sync.Mutex
	said   recovery.Hint
	signed []byte
	told   recovery.Hint // what the devices that are there were told of last
}

// newHerald reads what was said last, so that serials go on from there.
func newHerald(ca *authority.Authority, dir *durable.Dir, out outbox, here func() []seal.ID, log *slog.Logger) (*herald, error) {
	a := &herald{authority: ca, dir: dir, out: out, here: here, log: log, changed: make(chan struct{}, 1)}
	b, err := dir.ReadFile(hintFile, hint.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	var last *hint.Statement
	if err == nil {
		last, err = hint.Verify(b, ca.ID())
	}
	if err != nil {
		log.Warn("the last hint cannot be read; serials go by the clock", "err", err)
		return a, nil
	}
	a.said = last.Hint
	return a, nil
}

// publish signs a hint and gives it out from now on. It is on the disk before anybody
// gets it, so that serials never go back, and it grows with the clock, so that those of
// several hubs with one CA are as old as they say.
func (a *herald) publish(h recovery.Hint) error {
	a.mu.Lock()
	last := a.said.Serial
	a.mu.Unlock()
	now := time.Now()
	h.Serial = max(last+1, uint64(max(0, now.UnixMilli())))
	signed, err := hint.Sign(a.authority.Signer(), hint.Statement{
		Hub: a.authority.ID(), Serial: h.Serial, Issued: now, Expires: now.Add(hint.MaxLife), Hint: h,
	})
	if err != nil {
		return fmt.Errorf("publish hint: %w", err)
	}
	if err := a.dir.WriteFile(hintFile, signed, 0o644); err != nil {
		return fmt.Errorf("publish hint: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said, a.signed = h, signed
	if changed(a.told.Window, h.Window) || changed(a.told.Drain, h.Drain) {
		a.told = h
		select {
		case a.changed <- struct{}{}:
		default: // they are being told, or will be
		}
	}
	return nil
}

// changed says that a value is more than a tenth away from what it was.
func changed[T time.Duration | float64](was, is T) bool { return max(was-is, is-was) > was/10 }

// last is the hint that was published last.
func (a *herald) last() (recovery.Hint, []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said, a.signed
}

// tell gives a device the hint.
func (a *herald) tell(device seal.ID) error {
	_, signed := a.last()
	return a.out.send(device, down{Type: downHint, Hint: base64.RawURLEncoding.EncodeToString(signed)})
}

// run tells devices that are there of changes, a few at a time, until ctx ends.
func (a *herald) run(ctx context.Context) error {
	pace := rate.NewLimiter(dripRate, 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		}
		for _, device := range a.here() {
			if pace.Wait(ctx) != nil {
				return nil
			}
			if err := a.tell(device); err != nil {
				a.log.Warn("a device was not told of the new hint", "device", device.String(), "err", err)
			}
		}
	}
}

// ServeHTTP answers with the hint.
func (a *herald) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, signed := a.last()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(signed)))
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(hintAge.Seconds())))
	_, _ = w.Write(signed) // the caller is gone if this fails
}
