package qr_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/capture"
	own "github.com/lensward/lensward/capture/qr"
)

// coded is a small frame with a code.
func coded(t *testing.T, text string) capture.Frame {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 160, 160))
	draw(t, img, 8, 8, 4, text)
	return frameOf(t, img, 80)
}

// running is a watch that runs, and what it gave.
type running struct {
	fan   *capture.Fanout
	watch *own.Watch
	found []string
	stop  context.CancelFunc
	done  chan error
}

func run(t *testing.T, settings own.Settings) *running {
	t.Helper()
	r := &running{fan: capture.NewFanout(), done: make(chan error, 1)}
	settings.Prefix = prefix
	if settings.Found == nil {
		settings.Found = func(text string) { r.found = append(r.found, text) }
	}
	r.watch = own.NewWatch(r.fan, settings)
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.done <- r.watch.Run(ctx) }()
	synctest.Wait()
	return r
}

// end stops the watch and gives Run's error.
func (r *running) end() error {
	r.stop()
	return <-r.done
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := coded(t, prefix+"1:FIRST"), coded(t, prefix+"1:SECOND")
		r := run(t, own.Settings{})
		for i := range 100 { // 10 s at 10 pictures a second
			if i < 50 {
				r.fan.Emit(first)
			} else {
				r.fan.Emit(second)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := r.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if want := []string{prefix + "1:FIRST", prefix + "1:SECOND"}; !slices.Equal(r.found, want) {
			t.Errorf("found %q, want each once: %q", r.found, want)
		}
		// 5 a second, as long as reading takes no time; here it takes none.
		if s := r.watch.Stats(); s.Pictures < 48 || s.Pictures > 51 || s.Failed != 0 || s.Err != nil {
			t.Errorf("in 10 s: %+v", s)
		}
	})
}

// While Found does not return, the source goes on; and then it is the newest that is read.
func TestWatchNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found []string
		r := run(t, own.Settings{Found: func(text string) {
			found = append(found, text)
			time.Sleep(time.Minute)
		}})
		began := time.Now()
		for _, text := range []string{"A", "B", "C", "D"} {
			r.fan.Emit(coded(t, prefix+text))
			synctest.Wait()
		}
		if time.Since(began) != 0 {
			t.Error("the source was kept waiting")
		}
		time.Sleep(3 * time.Minute)
		r.fan.Close()
		if err := <-r.done; err != nil {
			t.Errorf("the fan-out closed: %v", err)
		}
		r.stop()
		if want := []string{prefix + "A", prefix + "D"}; !slices.Equal(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	})
}

// Of texts that come and go, the latest 16 are not given again.
func TestWatchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, own.Settings{})
		show := func(from, to rune) {
			for c := from; c <= to; c++ {
				r.fan.Emit(coded(t, prefix+string(c)))
				time.Sleep(time.Second)
			}
		}
		show('A', 'Q') // 17
		show('B', 'Q')
		show('A', 'A')
		r.stop()
		<-r.done
		if got, want := strings.ReplaceAll(strings.Join(r.found, ""), prefix, ""), "ABCDEFGHIJKLMNOPQA"; got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	})
}

// A camera of which no picture can be read says so once; frames in between that have no
// preview are no failure.
func TestWatchBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := run(t, own.Settings{Log: slog.New(slog.NewTextHandler(&log, nil))})
		none := capture.Frame{Format: capture.FormatH264}
		good := capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{JPEG: coded(t, prefix+"1:A").Data}}
		emit := func(f capture.Frame, n int) {
			for range n {
				r.fan.Emit(f)
				time.Sleep(40 * time.Millisecond)
			}
		}
		for range 100 {
			emit(none, 4)
			emit(good, 1)
			emit(none, 1)
		}
		synctest.Wait()
		if log.Len() > 0 || len(r.found) != 1 || r.watch.Stats().Failed > 0 || r.watch.Stats().Err != nil {
			t.Errorf("a preview now and then: log %q, found %q, %+v", log.String(), r.found, r.watch.Stats())
		}
		emit(none, 1000)
		synctest.Wait()
		if n := strings.Count(log.String(), "the camera gives no picture that codes can be read from"); n != 1 {
			t.Errorf("40 s without a picture were said %d times: %q", n, log.String())
		}
		if err := r.watch.Stats().Err; !errors.Is(err, own.ErrNoPicture) {
			t.Errorf("the state says %v", err)
		}
		emit(good, 10)
		if err := r.watch.Stats().Err; err != nil {
			t.Errorf("with a picture again, the state says %v", err)
		}
		if err := r.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}
