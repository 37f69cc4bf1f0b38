package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestVigil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		var doubts, cuts atomic.Int64
		v := &vigil{
			alive: func(context.Context) error {
				if failing.Load() {
					return errors.New("nobody answers")
				}
				return nil
			},
			doubt:   func(error) { doubts.Add(1) },
			cutOff:  func() { cuts.Add(1) },
			company: func() []string { return nil },
			log:     slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- v.run(ctx) }()
		for _, step := range []struct {
			failing   bool
			during    time.Duration
			cuts      int64
			mustDoubt bool
		}{
			{false, time.Minute, 0, false},
			{true, cutOffAfter / 2, 0, true}, // a new leader is being chosen
			{false, time.Minute, 0, false},
			{true, time.Minute, 1, true}, // cut off, once
			{false, time.Minute, 1, false},
			{true, time.Minute, 2, true},
		} {
			failing.Store(step.failing)
			doubts.Store(0)
			time.Sleep(step.during)
			synctest.Wait()
			if cuts.Load() != step.cuts || (doubts.Load() > 0) != step.mustDoubt {
				t.Errorf("after %+v: cut off %d times, %d doubts", step, cuts.Load(), doubts.Load())
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
