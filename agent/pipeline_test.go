package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/seal"
)

// newAgent is an agent whose camera is what open gives.
func newAgent(t *testing.T, url string, open func() (capture.Source, source.Info, error)) *Agent {
	t.Helper()
	c := config.Default()
	c.Camera.Source, c.State.Dir = url, filepath.Join(t.TempDir(), "camera")
	a, err := New(c, Options{Firmware: "test", OpenSource: open, NoControl: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *Agent) ails(name string) bool {
	for _, c := range a.health.List() {
		if c.Name == name {
			return true
		}
	}
	return false
}

// flaky fails after some frames.
type flaky struct{ frames int }

// Run gives the frames, then fails.
func (f flaky) Run(ctx context.Context, emit func(capture.Frame)) error {
	for i := range f.frames {
		emit(capture.Frame{Seq: uint64(i)})
		if err := wait.For(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.New("unplugged")
}

// TestCameraComesAndGoes has a camera that is not there at first, then fails
// again and again: it is opened anew, later each time, and its state is told.
func TestCameraComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Duration
		begin := time.Now()
		a := newAgent(t, "v4l2:/dev/video9", func() (capture.Source, source.Info, error) {
			opened = append(opened, time.Since(begin))
			if len(opened) < 3 {
				return nil, source.Info{}, errors.New("no such device")
			}
			return flaky{frames: 2}, source.Info{Live: true}, nil
		})
		src, info, err := a.openCamera()
		if err != nil || src != nil || info.Finite || !info.Live {
			t.Fatalf("a camera that is not there gives %v, %+v, %v", src, info, err)
		}
		if !a.ails("camera-failed") {
			t.Error("nobody is told that the camera is not there")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		frames, ailing := 0, 0
		err = a.film(ctx, src, info.Finite, func(capture.Frame) {
			frames++
			if a.ails("camera-failed") {
				ailing++
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("filming ended with %v", err)
		}
		if frames < 10 || ailing != 0 {
			t.Errorf("%d frames, %d of them while the camera counted as failed", frames, ailing)
		}
		if n := len(opened); n < 8 || n > 20 {
			t.Errorf("opened %d times in five minutes: %v", n, opened)
		}
	})
}

// TestBadSourceIsNoCamera has a source that no waiting will bring.
func TestBadSourceIsNoCamera(t *testing.T) {
	a := newAgent(t, "file:missing.mjpeg", func() (capture.Source, source.Info, error) {
		return nil, source.Info{}, errors.New("no such file")
	})
	if _, _, err := a.openCamera(); err == nil {
		t.Error("a missing file was waited for")
	}
}

// TestSlowDiskCostsClipsOnly fills the queue of drafts: from a live camera, parts
// of clips are lost and said so; thumbnails and records wait.
func TestSlowDiskCostsClipsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, "scene:", nil)
		drafts := make(chan seal.Draft, 1)
		put := a.sink(drafts, true)
		kept, err := put(t.Context(), seal.Draft{Kind: seal.KindClip})
		if !kept || err != nil {
			t.Fatalf("the first part was not kept: %v", err)
		}
		kept, err = put(t.Context(), seal.Draft{Kind: seal.KindClip})
		if kept || err != nil || !a.ails("disk-slow") {
			t.Errorf("the second part: kept %v, %v", kept, err)
		}
		go func() {
			time.Sleep(time.Minute)
			<-drafts
		}()
		before := time.Now()
		if kept, err := put(t.Context(), seal.Draft{Kind: seal.KindThumbnail}); !kept || err != nil || time.Since(before) != time.Minute {
			t.Errorf("the thumbnail: kept %v, %v after %v", kept, err, time.Since(before))
		}
		<-drafts
		if kept, _ := put(t.Context(), seal.Draft{Kind: seal.KindClip}); !kept || a.ails("disk-slow") {
			t.Error("a part that found room did not clear the condition")
		}
	})
}
