package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/lensward/lensward/transport/seal"
)

const (
	maxUploads   = 16               // at once; an item is held in memory while it is verified
	uploadWait   = 10 * time.Second // for one of those places
	uploadGrace  = 30 * time.Second
	uploadSlowly = 16 << 10 // bytes a second, the slowest upload that is borne
	uploadDrain  = 64 << 10 // bytes of a refused upload that are read to their end
)

// uploads takes items by HTTPS PUT to granted URLs.
type uploads struct {
	receiver *receiver
	places   *semaphore.Weighted
	log      *slog.Logger
}

func newUploads(r *receiver, log *slog.Logger) *uploads {
	return &uploads{receiver: r, places: semaphore.NewWeighted(maxUploads), log: log}
}

// ServeHTTP answers one PUT.
func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := u.put(w, r)
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var known *apiError
	if !errors.As(err, &known) {
		u.log.Warn("upload failed", "err", err)
	}
	// Who is still sending would meet a broken connection instead of the answer.
	_, _ = io.CopyN(io.Discard, r.Body, uploadDrain)
	writeError(w, err)
}

func (u *uploads) put(w http.ResponseWriter, r *http.Request) error {
	g, err := u.receiver.grants.parse(strings.TrimPrefix(r.URL.Path, uploadPath), r.URL.Query(), time.Now())
	switch {
	case errors.Is(err, errGrantForm):
		return answer(http.StatusBadRequest, "", "%v", err)
	case err != nil:
		return answer(http.StatusForbidden, "ask for another grant", "%v", err)
	case u.receiver.revoked(g.ref.Device):
		return answer(http.StatusForbidden, "ask the fleet's operator", "%v", errRevoked)
	case r.ContentLength < 0:
		return answer(http.StatusLengthRequired, "", "the request has no Content-Length")
	case r.ContentLength != g.size:
		return answer(http.StatusRequestEntityTooLarge, "ask for another grant", "%d bytes, %d were granted", r.ContentLength, g.size)
	}
	b, err := u.read(w, r, g.size)
	if err != nil {
		return err
	}
	defer u.places.Release(1)
	u.receiver.metrics.bytes.WithLabelValues("put").Add(float64(len(b)))
	it, err := seal.Parse(b)
	if err != nil {
		return u.refusal(err)
	}
	if it.Header.Ref() != g.ref || it.Hash() != g.hash {
		return answer(http.StatusBadRequest, "ask for another grant", "%s: another item than was granted", seal.ReasonNotAskedFor)
	}
	return u.store(r.Context(), g, it)
}

// read waits for a place and reads the body. With no error the caller gives the
// place back.
func (u *uploads) read(w http.ResponseWriter, r *http.Request, size int64) ([]byte, error) {
	wait, cancel := context.WithTimeout(r.Context(), uploadWait)
	defer cancel()
	if err := u.places.Acquire(wait, 1); err != nil {
		return nil, answer(http.StatusServiceUnavailable, "try again later", "too many uploads at once")
	}
	b, err := readSteadily(w, r, size)
	if err != nil {
		u.places.Release(1)
	}
	return b, err
}

// readSteadily reads exactly size bytes, at no less than uploadSlowly.
func readSteadily(w http.ResponseWriter, r *http.Request, size int64) ([]byte, error) {
	until := time.Now().Add(uploadGrace + time.Duration(size)*time.Second/uploadSlowly)
	rc := http.NewResponseController(w)
	if err := errors.Join(rc.SetReadDeadline(until), rc.SetWriteDeadline(until.Add(uploadGrace))); err != nil {
		return nil, fmt.Errorf("set upload deadline: %w", err)
	}
	b := make([]byte, size) // the grant bounds it
	if _, err := io.ReadFull(http.MaxBytesReader(w, r.Body, size), b); err != nil {
		return nil, answer(http.StatusBadRequest, "", "the upload was cut off")
	}
	return b, nil
}

// store admits the item and has its device told.
func (u *uploads) store(ctx context.Context, g grant, it *seal.Item) error {
	// Once read, an item is stored even if the device hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleTimeout)
	defer cancel()
	device := g.ref.Device
	err := u.receiver.admit(ctx, device, it)
	if err == nil {
		if err := u.receiver.out.send(device, down{Type: downReceipt, Ref: &g.ref, Hash: g.hash}); err != nil {
			u.log.Warn("receipt not sent", "device", device.String(), "err", err) // 204 says the same
		}
		return nil
	}
	switch seal.ReasonOf(err) {
	case seal.ReasonUnknownRecord, seal.ReasonFork:
		// The item is the device's own, or the signatures would have failed first.
		if err := u.receiver.refuse(device, &g.ref, g.hash, err); err != nil {
			u.log.Warn("refusal not sent", "device", device.String(), "err", err) // the status says the same
		}
	default:
		u.receiver.metrics.items.WithLabelValues("refused", string(seal.ReasonOf(err))).Inc()
	}
	return u.refusal(err)
}

// refusal is the answer for an item that must not be stored.
func (u *uploads) refusal(err error) error {
	var e *seal.Error
	if !errors.As(err, &e) {
		return err
	}
	status := http.StatusUnprocessableEntity
	if e.Reason == seal.ReasonFork {
		status = http.StatusConflict
	}
	return answer(status, "", "%v", e)
}
