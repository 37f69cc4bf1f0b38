package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/recorder"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

const (
	// lapseEvery is how often a release is looked at whether it has expired: wall clocks jump.
	lapseEvery = time.Minute
	// bindAgain is the pause before the spool is told again of a change that it could not
	// write down.
	bindAgain = 10 * time.Second
	// partFor is how long a camera that goes to another hub stays to deliver the last words
	// to its owner before.
	partFor = 10 * time.Second
)

// custody says for whom is recorded. What was seen for one ownership is never sealed for
// another.
type custody struct {
	mu sync.RWMutex
	// epoch is that of the ownership for which is recorded, 0 for nobody; sealed is that for
	// which is sealed what was seen before, 0 where the chain has ended.
	epoch, sealed uint64
	changed       chan struct{} // closed and made anew with epoch
}

// now gives the epoch for which is recorded, and a channel that is closed when it is another.
func (c *custody) now() (uint64, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.epoch, c.changed
}

// under does something if epoch is still that for which is sealed, and holds it so
// meanwhile. It reports whether it is.
func (c *custody) under(epoch uint64, do func() error) (bool, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if epoch != c.sealed {
		return false, nil
	}
	return true, do()
}

// change has do, which brings the spool to where it seals for sealed, and then has what is seen
// recorded for epoch. While do is at work, and if it fails, nothing is sealed.
func (c *custody) change(epoch, sealed uint64, do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := do()
	if err != nil {
		epoch, sealed = 0, 0
	}
	c.sealed = sealed
	if epoch != c.epoch {
		c.epoch = epoch
		if c.changed != nil {
			close(c.changed)
		}
		c.changed = make(chan struct{})
	}
	return err
}

// sighting is a draft, and for whom it was seen.
type sighting struct {
	seal.Draft
	epoch uint64
}

// followOwner has the spool and the recorder follow what becomes of the ownership: a new
// revision, a release and its end, a reset, another owner.
func (a *Agent) followOwner(ctx context.Context, store *spool.Spool) error {
	for {
		changed := a.device.Changed()
		pause, err := a.settle(ctx, store)
		if err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		if pause == 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// settle brings spool and recorder to where the ownership is now. It is to be called again
// after pause, if that is not 0. A disk that fails is no error: nothing is recorded then.
func (a *Agent) settle(ctx context.Context, store *spool.Spool) (pause time.Duration, err error) {
	now := time.Now()
	if lapsed, err := a.device.Lapse(now); err != nil {
		a.log.Error("the expired release cannot be dropped", "error", err)
	} else if lapsed {
		a.log.Info("the release has expired: the camera is its owner's as before")
	}
	how, free := a.device.Free(now)
	sealer, err := a.sealer()
	if err != nil {
		return 0, err
	}
	epoch, sealed := sealer.Binding().Epoch, sealer.Binding().Epoch
	if !errors.Is(free, device.ErrOwned) {
		epoch = 0
	}
	if how == ownership.AcquiredReset {
		sealed = 0
	}
	a.sayFree(how)
	err = a.custody.change(epoch, sealed, func() error {
		if err := store.Rebind(ctx, sealer); err != nil {
			return err
		}
		if how == ownership.AcquiredReset {
			return store.End(ctx)
		}
		return nil
	})
	if err == nil {
		err = a.device.ForgetFormer()
	}
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.Is(err, spool.ErrEpoch):
		return 0, err
	case err != nil:
		if a.health.Set("spool-failing", health.Failure, err.Error()) {
			a.log.Error("the change of the ownership cannot be written down: nothing is recorded until it is", "error", err)
		}
		return bindAgain, nil
	case how == ownership.AcquiredReleased:
		return lapseEvery, nil
	}
	return 0, nil
}

// sayFree says by a condition how the camera is free, and that nothing is recorded.
func (a *Agent) sayFree(how ownership.Acquired) {
	for _, c := range []struct {
		how         ownership.Acquired
		name, cause string
	}{
		{ownership.AcquiredReleased, "released", "the owner has released this camera: nothing is recorded until somebody takes it, or it is taken back"},
		{ownership.AcquiredReset, "reset", "the button was held: this camera is nobody's, and nothing is recorded until it is paired"},
	} {
		if how == c.how {
			if a.health.Set(c.name, health.Failure, c.cause) {
				a.log.Warn(c.cause)
			}
		} else if a.health.Clear(c.name) {
			a.log.Info("this camera records again", "was", c.name)
		}
	}
}

// record has frames recorded while the camera is somebody's, each ownership by a recorder
// of its own: nothing that was seen before reaches the next owner. It returns when frames
// has ended.
func (a *Agent) record(ctx context.Context, frames <-chan capture.Frame, begin func(epoch uint64) *recorder.Recorder) error {
	for {
		epoch, changed := a.custody.now()
		var ended bool
		var err error
		if epoch == 0 {
			ended, err = discard(ctx, frames, changed)
		} else {
			ended, err = feed(ctx, frames, changed, begin(epoch))
		}
		if ended || err != nil {
			return err
		}
		for range len(frames) { // seen under what was before
			<-frames
		}
	}
}

// discard lets frames go by until changed. It reports whether they have ended.
func discard(ctx context.Context, frames <-chan capture.Frame, changed <-chan struct{}) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-changed:
			return false, nil
		case _, ok := <-frames:
			if !ok {
				return true, nil
			}
		}
	}
}

// feed gives frames to a recorder until changed, and lets it end what is open. It reports
// whether they have ended.
func feed(ctx context.Context, frames <-chan capture.Frame, changed <-chan struct{}, rec *recorder.Recorder) (bool, error) {
	in, done := make(chan capture.Frame), make(chan error, 1)
	go func() { done <- rec.Run(ctx, in) }()
	for {
		select {
		case err := <-done:
			return false, err
		case <-changed:
			close(in)
			return false, <-done
		case f, ok := <-frames:
			if !ok {
				close(in)
				return true, <-done
			}
			select {
			case in <- f:
			case err := <-done:
				return false, err
			}
		}
	}
}

// part lets a camera that goes to another hub tell the owner before that their ownership
// has ended, if the hub that it leaves is there. What is not delivered by then is dropped.
func (a *Agent) part(ctx context.Context) {
	a.elsewhere = true
	for end := time.Now().Add(partFor); time.Now().Before(end); {
		store, d := a.spool.Load(), a.delivery.Load()
		if store == nil || d == nil || d.Stats().State != transport.Delivering {
			return
		}
		told := a.device.Former() == nil && !store.Lingers()
		if told || wait.For(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

// letter takes what the camera's owner tells it by way of the hub.
func (a *Agent) letter(b []byte) (reason string, err error) {
	err = a.device.TakeLetter(b, time.Now())
	if err == nil {
		o := a.Known()
		a.log.Info("a letter of the owner's was taken", "epoch", o.Record.Epoch, "revision", o.Record.Revision)
		return "", nil
	}
	if reason = ownership.Reason(err); reason != "" {
		a.log.Warn("a letter was refused", "reason", reason, "error", err)
		return reason, nil
	}
	return "", err
}

// Free says how the camera can be taken, 0 where it belongs to somebody.
func (a *Agent) Free() ownership.Acquired {
	how, free := a.free()
	if !free {
		return 0
	}
	return how
}

// Reset makes the camera nobody's, as holding its button does.
func (a *Agent) Reset() error { return a.device.Reset() }
