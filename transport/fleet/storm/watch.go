package storm

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// viewersAtOnce is how many owners look at the same time.
const viewersAtOnce = 256

// watch has the owners look until each has seen everything, or until a time.
func (s *storm) watch(ctx context.Context, until time.Time) (sum Seen, err error) {
	shares := make([]int, len(s.workers))
	left := s.Viewers
	for i, w := range s.workers {
		// As many of each worker's devices as of the whole fleet's, and no fewer in all.
		shares[i] = min(left, w.count, (s.Viewers*w.count+s.Devices-1)/s.Devices)
		left -= shares[i]
	}
	parts, err := askAll[Viewing, Seen](ctx, s.workers, "View", func(i int) Viewing {
		return Viewing{Owners: shares[i], AtOnce: max(1, viewersAtOnce/len(s.workers)), Until: until}
	})
	for _, p := range parts {
		sum.add(p)
	}
	return sum, err
}

// look is how far all workers are, together.
func (s *storm) look(ctx context.Context) (sum Progress, err error) {
	parts, err := askAll[Nothing, Progress](ctx, s.workers, "Look", func(int) Nothing { return false })
	for _, p := range parts {
		sum.Made, sum.Online, sum.Drained, sum.Viewed = sum.Made+p.Made, sum.Online+p.Online, sum.Drained+p.Drained, sum.Viewed+p.Viewed
	}
	return sum, err
}

// during does something and says how far it is meanwhile.
func (s *storm) during(ctx context.Context, stage string, done func(Progress) int, do func(context.Context) error) error {
	over, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		return do(over)
	})
	_, err := s.await(over, stage, time.Time{}, s.Devices, done)
	if err != nil && over.Err() == nil {
		cancel()
		return errors.Join(err, g.Wait())
	}
	return g.Wait()
}

// await waits until so many have done something, or until a time; zero is for ever. It
// says whether they have.
func (s *storm) await(ctx context.Context, stage string, until time.Time, of int, done func(Progress) int) (bool, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		p, err := s.look(ctx)
		if err != nil {
			return false, err
		}
		n := done(p)
		if s.Progress(stage, n, of); n >= of {
			return true, nil
		}
		if !until.IsZero() && time.Now().After(until) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-s.hub.done:
			return false, s.hub.ended()
		case <-tick.C:
		}
	}
}
