package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/recorder"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

const (
	// fanoutDepth is how many frames may wait for the recorder.
	fanoutDepth = 8
	// draftDepth is how many drafts may wait to be sealed. A part of a clip is at most
	// 4 MiB, usually 1.
	draftDepth = 8
)

// pipeline carries pictures from the camera to the hub:
//
//	source → fan-out → { ring, motion } → event → clip, thumbnail → seal → spool (fsync) → deliver → receipt → forget
//
// Each step is a goroutine; none waits for the network, and the camera waits for none.
func (a *Agent) pipeline(ctx context.Context) error {
	store, err := a.openSpool(ctx)
	if err != nil {
		return err
	}
	err = a.carry(ctx, store)
	return errors.Join(err, store.Close())
}

func (a *Agent) carry(ctx context.Context, store *spool.Spool) error {
	cam := &camera{open: a.opts.OpenSource, health: &a.health, log: a.log}
	info, err := cam.start(ctx)
	if err != nil {
		return err
	}
	policy := capture.DropNewest
	if !info.Live {
		policy = capture.Wait
	}
	fan := capture.NewFanout()
	frames := fan.Subscribe("recorder", fanoutDepth, policy)
	drafts := make(chan sighting, draftDepth)
	begin := func(epoch uint64) *recorder.Recorder {
		s := a.recorderSettings(!info.Live)
		s.Introduce = a.unseen.Load() == epoch
		rec := recorder.New(s, a.sink(drafts, epoch, info.Live))
		a.recorder.Store(rec)
		return rec
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { // source → fan-out
		defer fan.Close()
		return cam.film(ctx, fan.Emit)
	})
	g.Go(func() error { // ring, motion → event → clip, thumbnail
		defer frames.Close() // or a source that waits would wait for ever
		defer close(drafts)
		return a.record(ctx, frames.C, begin)
	})
	g.Go(func() error { // seal → spool, on disk
		if err := a.keep(ctx, store, drafts); err != nil {
			return err
		}
		close(a.recorded)
		return nil
	})
	g.Go(func() error { return a.lens(ctx, fan) }) // fan-out → code, while the camera is free
	g.Go(func() error { return a.followOwner(ctx, store) })
	g.Go(func() error { return a.deliver(ctx, store) }) // deliver → receipt → forget
	return g.Wait()
}

// openSpool opens the spool for the owner in force and says in it that the agent
// has started.
func (a *Agent) openSpool(ctx context.Context) (*spool.Spool, error) {
	sealer, err := a.sealer()
	if err != nil {
		return nil, err
	}
	c := a.config.Spool
	budgets := spool.DefaultBudgets()
	budgets.Clips, budgets.Thumbnails, budgets.Records = c.Clips.Bytes, c.Thumbnails.Bytes, c.Records.Bytes
	budgets.Total, budgets.Reserve = budgets.Clips+budgets.Thumbnails+budgets.Records, c.Reserve.Bytes
	o := spool.Options{
		Dir: a.spoolDir(), Sealer: sealer, Boot: a.device.Boot(), Budgets: budgets, Log: a.log,
		Now: func() (time.Time, seal.ClockTrust) { return time.Now(), clockTrust(time.Now()) },
	}
	if former := a.device.Former(); former != nil {
		if o.Former, err = a.sealerFor(former); err != nil {
			return nil, err
		}
	}
	store, err := spool.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	a.spool.Store(store)
	if _, err := a.settle(ctx, store); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if a.elsewhere {
		store.Abandon()
	}
	if err := a.checkpoint(ctx, "start"); err != nil && !mute(err) {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// sink queues drafts to be sealed. From a live source, a draft that finds the
// queue full is lost: the camera does not wait for a slow disk.
func (a *Agent) sink(drafts chan<- sighting, epoch uint64, live bool) recorder.Sink {
	return func(ctx context.Context, draft seal.Draft) (bool, error) {
		d := sighting{draft, epoch}
		if live && d.Kind == seal.KindClip {
			select {
			case drafts <- d:
				a.health.Clear("disk-slow")
				return true, nil
			default:
				a.health.Set("disk-slow", health.Warning, "parts of clips are lost: the disk does not keep up")
				return false, nil
			}
		}
		select {
		case drafts <- d:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// keep seals drafts and has them on disk. A disk that is full or fails costs
// drafts, not the camera.
func (a *Agent) keep(ctx context.Context, store *spool.Spool, drafts <-chan sighting) error {
	for d := range drafts {
		kept, err := a.custody.under(d.epoch, func() error {
			_, err := store.Append(ctx, d.Draft)
			return err
		})
		switch {
		case !kept: // the end of what was recorded for nobody's any more
			continue
		case err == nil:
			a.appended.Add(1)
			if d.Kind == seal.KindThumbnail {
				a.unseen.CompareAndSwap(d.epoch, 0)
			}
			a.health.Clear("spool-full")
			a.health.Clear("spool-failing")
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		}
		a.refused.Add(1)
		name, what := "spool-failing", "the spool cannot be written: pictures are lost"
		if errors.Is(err, spool.ErrFull) {
			name, what = "spool-full", "no room in the spool: pictures are lost until there is"
		}
		if a.health.Set(name, health.Failure, err.Error()) {
			a.log.Error(what, "error", err)
		}
	}
	return ctx.Err()
}

// mute says of a checkpoint's error that the chain has no room for one: a full spool is no
// reason not to go on, and one that has ended with its ownership neither.
func mute(err error) bool { return errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrEnded) }

func (a *Agent) sealer() (*seal.Sealer, error) {
	o, err := a.device.Ownership()
	if err != nil {
		return nil, err
	}
	return a.sealerFor(o)
}

// sealerFor seals for the owner of an ownership.
func (a *Agent) sealerFor(o *ownership.Ownership) (*seal.Sealer, error) {
	binding, err := o.Binding()
	if err != nil {
		return nil, err
	}
	return seal.NewSealer(seal.Device{
		Key: a.device.Key(), Protection: a.device.Protection(), Firmware: a.device.Firmware(), Boot: a.device.Boot(),
	}, binding)
}

// checkpoint says in the chain where it stands.
func (a *Agent) checkpoint(ctx context.Context, cause string) error {
	store := a.spool.Load()
	st := store.Stats()
	var bytes int64
	for _, n := range st.Bytes {
		bytes += n
	}
	body, err := json.Marshal(seal.Checkpoint{
		Cause: cause, Depth: uint64(st.Depth), Bytes: uint64(bytes), Dropped: st.Dropped, Aside: st.Aside,
		Uptime: uint64(time.Since(a.began) / time.Second), Settled: st.Settled,
	})
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	_, err = store.Append(ctx, seal.Draft{
		Kind: seal.KindCheckpoint, Captured: time.Now(), Clock: clockTrust(time.Now()),
		MediaType: seal.KindCheckpoint.MediaType(), Body: body,
	})
	if err == nil {
		a.appended.Add(1)
	}
	return err
}
