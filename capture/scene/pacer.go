package scene

import (
	"context"
	"time"
)

// pacer lets frames go at their time.
type pacer struct {
	began time.Time
	timer *time.Timer // nil when frames go as fast as they come
}

func newPacer(began time.Time, fast bool) *pacer {
	p := &pacer{began: began}
	if !fast {
		p.timer = time.NewTimer(0)
	}
	return p
}

// stop frees the timer.
func (p *pacer) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// wait returns when it is time for a frame at the position, at once if that is
// past; or with ctx's error.
func (p *pacer) wait(ctx context.Context, position time.Duration) error {
	if p.timer == nil {
		return ctx.Err()
	}
	p.timer.Reset(time.Until(p.began.Add(position)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.timer.C:
		return ctx.Err()
	}
}
