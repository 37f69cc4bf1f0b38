package storm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/rpc"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// good is how long a session of a storm has to last to count: a storm does not wait the
// five minutes that a camera does.
const good = time.Second

// Hub is where a hub is.
type Hub struct {
	ID seal.ID
	// CA is its certificate authority, PEM.
	CA []byte
	// MQTT is host:port of the broker; Devices and Viewers are URLs.
	MQTT, Devices, Viewers string
}

func (h Hub) pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(h.CA) {
		return nil, errors.New("read hub's CA: no certificate")
	}
	return pool, nil
}

// Plan is one worker's part of a storm.
type Plan struct {
	// Dir is the worker's own directory.
	Dir string
	// First and Count say which devices of the fleet are the worker's.
	First, Count int
	Policy       Policy
	Hub          Hub
}

// Course is how devices are to connect.
type Course struct {
	// Hint is a signed hint that devices have from the start; nil is none.
	Hint []byte
	// HintURL is where they may fetch hints; "" is nowhere. Without either they take none,
	// from the hub neither.
	HintURL string
}

// Nothing is an argument or an answer that says nothing.
type Nothing bool

// Progress is how far a worker's devices are.
type Progress struct {
	// Made devices exist, Online ones have a session, Drained ones have one of their
	// delivery loop's and nothing in their spools.
	Made, Online, Drained int
	// Viewed counts owners who have seen all that is theirs.
	Viewed int
}

// worker holds a part of the fleet in one process. Its exported methods are called by
// the storm, one after another but for Look; View runs beside the others.
type worker struct {
	ctx  context.Context
	plan Plan

	mu      sync.Mutex // guards devices while they are made
	devices []*device

	uploader *blob.Uploader
	stop     context.CancelFunc // ends the delivery loops
	loops    errgroup.Group
	viewed   atomic.Int64
}

// Serve is a worker's whole life: it does what it is asked over the connection, which is
// its process's stdin and stdout, and ends with it or with ctx. Close must end a Read.
func Serve(ctx context.Context, conn io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := rpc.NewServer()
	if err := srv.RegisterName("Worker", &worker{ctx: ctx, stop: func() {}}); err != nil {
		return fmt.Errorf("serve storm: %w", err)
	}
	hangUp := context.AfterFunc(ctx, func() { _ = conn.Close() }) // nothing more is to be said
	defer hangUp()
	srv.ServeConn(&hearing{ReadWriteCloser: conn, end: cancel})
	return nil
}

// hearing is a connection whose end ends what was asked for over it.
type hearing struct {
	io.ReadWriteCloser
	end func()
}

// Read reads, and hears when nobody is there any more.
func (h *hearing) Read(b []byte) (int, error) {
	n, err := h.ReadWriteCloser.Read(b)
	if err != nil {
		h.end()
	}
	return n, err
}

// Make makes the devices: keys, certificates, owners and empty spools.
func (w *worker) Make(p Plan, _ *Nothing) error {
	w.plan = p
	base, err := url.Parse(p.Hub.Devices)
	if err != nil {
		return fmt.Errorf("read hub's URL: %w", err)
	}
	if w.uploader, err = blob.New(blob.Options{Hosts: []string{base.Host}}); err != nil {
		return err
	}
	return w.each(p.Count, 4*runtime.NumCPU(), func(ctx context.Context, i int) error {
		d, err := newDevice(w.ctx, &w.plan, p.First+i)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.devices = append(w.devices, d)
		return ctx.Err()
	})
}

// each does something n times, several at once.
func (w *worker) each(n, parallel int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(w.ctx)
	g.SetLimit(parallel)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// Begin starts the delivery loops, with the sessions of the wave.
func (w *worker) Begin(c Course, _ *Nothing) error {
	var ctx context.Context
	ctx, w.stop = context.WithCancel(w.ctx)
	how := transport.Options{Uploader: w.uploader, Settings: transport.DefaultSettings()}
	set := recovery.DefaultSettings()
	set.Good = good
	if w.plan.Policy == Paho { // it alone decides; the schedule waits for nothing
		set = recovery.Settings{First: time.Millisecond, Cap: time.Millisecond}
	}
	if c.HintURL != "" {
		f, err := hint.NewFetcher(hint.FetchOptions{URL: c.HintURL})
		if err != nil {
			return err
		}
		set.Fetch, how.Fetch = true, f.Fetch
	}
	for _, d := range w.devices {
		how.Schedule = recovery.New(&set, rand.Uint64())
		if c.Hint != nil || c.HintURL != "" {
			how.Hints = hint.Open(d.dir, w.plan.Hub.ID, slog.New(slog.DiscardHandler))
		}
		if c.Hint != nil {
			if _, err := how.Hints.Take(c.Hint); err != nil {
				return err
			}
		}
		if err := d.equip(how); err != nil {
			return err
		}
	}
	for _, d := range w.devices {
		w.loops.Go(func() error { return d.delivery.Run(ctx) })
	}
	return nil
}

// equip makes the device's delivery loop.
func (d *device) equip(o transport.Options) (err error) {
	o.Dialer, o.Queue, o.Checkpoint, o.Status = d.dialer, d.spool, d.checkpoint, d.status
	o.Record = func() transport.Record {
		return transport.Record{Bytes: d.owned.Bytes(), Hash: d.owned.Hash()}
	}
	d.delivery, err = transport.New(o)
	return err
}

// status is asked for once the hub has taken the ownership record.
func (d *device) status() transport.Status {
	d.log.admitted()
	return transport.Status{Firmware: firmware}
}

// Seal has each device seal n items.
func (w *worker) Seal(n int, _ *Nothing) error {
	return w.each(len(w.devices), 2*runtime.NumCPU(), func(ctx context.Context, i int) error {
		return w.devices[i].seal(ctx, n)
	})
}

// Look says how far the devices are.
func (w *worker) Look(_ Nothing, p *Progress) error {
	w.mu.Lock()
	devices := slices.Clone(w.devices)
	w.mu.Unlock()
	p.Made, p.Viewed = len(devices), int(w.viewed.Load())
	for _, d := range devices {
		if !d.log.isOnline() {
			continue
		}
		p.Online++
		if d.delivered() {
			p.Drained++
		}
	}
	return nil
}

// delivered says that a session of its delivery loop's stands and nothing waits for it.
func (d *device) delivered() bool {
	_, waits := d.spool.Next(false, nil)
	return !waits && d.log.isOnline() && d.delivery != nil && d.delivery.Stats().Sessions > 0
}

// End stops the delivery loops and says what became of the devices.
func (w *worker) End(_ Nothing, out *[]Device) error {
	online := make([]bool, len(w.devices))
	for i, d := range w.devices {
		online[i] = d.log.isOnline()
	}
	w.stop()
	if err := w.loops.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	for i, d := range w.devices {
		if d.delivery == nil {
			return errors.New("the storm ended before it began")
		}
		account, err := d.account(online[i])
		if err != nil {
			return err
		}
		*out = append(*out, account)
	}
	return nil
}
