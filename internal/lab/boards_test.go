package lab

import (
	"bytes"
	"testing"
	"time"

	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/internal/lab/board"
	"github.com/lensward/lensward/transport/viewer"
)

// Controls of vivid (the kernel's documentation has no numbers; they are those of
// its source, vivid-ctrls.c).
const (
	vividText      = 0x00f0f001 // 2 is none
	vividMovement  = 0x00f0f002 // 3 is none, 4 to the right and slow
	vividStill     = 3
	vividMovesSlow = 4
	vividNoText    = 2
)

// TestBoards has the agent run on each processor before cameras that the kernel's
// drivers drive. What it saw of them is delivered to a hub on this machine, verifies
// and opens there, and is what the cameras gave. The short run leaves out vivid on
// armv7, and armv6, whose emulated timer can stop the guest for an hour.
func TestBoards(t *testing.T) {
	cache(t)
	hub := startStation(t)
	for _, b := range board.All() {
		if b.Name == "armv6" && !long() {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			m := bootGuest(t, b, vivid, "uvcvideo", "vhci_hcd")
			if long() || b.Name != "armv7" {
				t.Run("vivid YUYV", func(t *testing.T) { filmVivid(t, m, hub) })
			}
			t.Run("UVC MJPEG", func(t *testing.T) { filmUVC(t, m, hub) })
			if b.Name == "arm64" {
				t.Run("UVC H264", func(t *testing.T) { filmH264(t, m, hub) })
			}
		})
	}
}

func filmVivid(t *testing.T, m *Machine, s *station) {
	ctx := t.Context()
	node := awaitVideo(t, m, "vivid").Path
	must(t, m.SetControl(ctx, node, vividText, vividNoText))
	w := newWard(t, m, s, "vivid", "v4l2:"+node+"?width=640&height=360&fps=10&format=yuyv")
	w.start()
	w.awaitFrames(30)
	must(t, m.SetControl(ctx, node, vividMovement, vividMovesSlow))
	w.awaitFrames(30)
	must(t, m.SetControl(ctx, node, vividMovement, vividStill))
	w.awaitEvents(1)
	w.judge(isBars)
}

func filmUVC(t *testing.T, m *Machine, s *station) {
	saw := newRecord()
	plugIn(t, m, webcam(film(walks(t, 640, 480, 10, 12*time.Second)), saw))
	node := awaitVideo(t, m, "Walks").Path
	w := newWard(t, m, s, "uvc", "v4l2:"+node+"?width=640&height=480&fps=10&format=mjpeg")
	w.start()
	w.awaitEvents(1)
	w.judge(saw.is)
}

// awaitFrames waits until the agent has looked at so many frames more.
func (w *ward) awaitFrames(n uint64) {
	w.t.Helper()
	var first, have uint64
	known := false
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		var s status
		if s, err = w.status(); err != nil {
			continue // it has just started
		}
		if have = s.Recorder.Frames; !known {
			first, known = have, true
		}
		if have >= first+n {
			return
		}
	}
	w.t.Fatalf("%d frames are wanted, there were %d: %v", n, have-first, err)
}

// judge holds every picture that the owner has against what the camera gave, once
// all is delivered.
func (w *ward) judge(is func(picture []byte) error) {
	w.t.Helper()
	w.judgeEach(is, is)
}

// judgeEach is judge for cameras whose thumbnails are of other pictures than their
// clips.
func (w *ward) judgeEach(thumbnail, frame func(picture []byte) error) {
	w.t.Helper()
	w.settle()
	thumbnails, frames := 0, 0
	for _, e := range w.viewer.Footage() {
		for _, h := range e.Thumbnails {
			thumbnails++
			if err := thumbnail(w.body(h)); err != nil {
				w.t.Errorf("a thumbnail: %v", err)
			}
		}
		if len(e.Clips) == 0 {
			continue // an event that has just begun
		}
		for f, err := range clip.Frames(w.clip(e)) {
			must(w.t, err)
			frames++
			if err := frame(f.Data); err != nil {
				w.t.Errorf("frame %d of a clip, %v: %v", f.Seq, f.Format, err)
			}
		}
	}
	if thumbnails == 0 || frames == 0 {
		w.t.Errorf("%d thumbnails and %d frames were judged", thumbnails, frames)
	}
	c, err := w.m.Census(w.t.Context(), w.pid)
	must(w.t, err)
	w.t.Logf("%d items verified and opened; %d thumbnails and %d frames of %d events are the camera's; %d MiB resident, %v CPU",
		w.viewer.Summary().Opened, thumbnails, frames, len(w.viewer.Footage()), c.Resident>>20, c.CPU)
}

// settle waits until the owner has all that the agent has to deliver, and wants
// nothing of it to be missing, withheld or wrong.
func (w *ward) settle() {
	w.t.Helper()
	var sum viewer.Summary
	var last status
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		before, asked := w.status()
		looked := w.look()
		sum, last = w.viewer.Summary(), before
		if asked == nil && looked == nil && before.Spool.Depth == 0 && len(sum.Missing) == 0 && sum.Waiting == 0 {
			if sum.Withheld != 0 || sum.WronglyShown != 0 || sum.Opened != sum.Verified {
				w.t.Errorf("the viewer's account is %+v", sum)
			}
			return
		}
	}
	w.t.Fatalf("not everything is delivered: %+v; the viewer has %+v", last, sum)
}

// clip is an event's video, its parts joined.
func (w *ward) clip(f viewer.Footage) []byte {
	var b bytes.Buffer
	for _, h := range f.Clips {
		b.Write(w.body(h))
	}
	return b.Bytes()
}
