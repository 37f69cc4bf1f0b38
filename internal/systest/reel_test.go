package systest

import (
	"context"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/scene"
	"github.com/lensward/lensward/capture/source"
)

const reelFPS = 5

// reel is a minute of the scene, drawn once and played round and round by the
// clock: an hour of it costs no drawing.
type reel struct {
	width, height int
	frames        [][]byte
}

// drawReel draws the minute. It must not be called in a bubble.
func drawReel(t testing.TB, width, height int) *reel {
	t.Helper()
	r := &reel{width: width, height: height}
	s := scene.New(scene.Settings{Width: width, Height: height, FPS: reelFPS, Seed: 3, Duration: time.Minute, Fast: true})
	must(t, s.Run(t.Context(), func(f capture.Frame) {
		r.frames = append(r.frames, f.Data)
	}))
	return r
}

// open is an agent's OpenSource.
func (r *reel) open(context.Context) (capture.Source, source.Info, error) {
	return r, source.Info{Format: capture.FormatMJPEG, Width: r.width, Height: r.height, FPS: reelFPS, Live: true}, nil
}

// Run plays until ctx is done.
func (r *reel) Run(ctx context.Context, emit func(capture.Frame)) error {
	tick := time.NewTicker(time.Second / reelFPS)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			emit(capture.Frame{
				Seq: n, Time: now, Format: capture.FormatMJPEG, Width: r.width, Height: r.height, Key: true,
				Data: r.frames[n%uint64(len(r.frames))],
			})
		}
	}
}
