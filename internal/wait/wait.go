// Package wait lets time pass for whoever may be told to stop meanwhile.
//
// It owns the one way in which this module waits for a duration. It never decides
// for how long: transport/recovery and those who supervise children do.
package wait

import (
	"context"
	"time"
)

// For returns nil after d, or ctx's error as soon as ctx is done. A duration of 0
// or less passes at once; with a ctx that is done already the error comes first.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
