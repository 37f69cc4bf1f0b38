package watch_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/motion"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The room's grid.
const width, height = 80, 45

// room draws a room with somebody at place x; nobody if that is outside. What is
// seen wavers by a level, as a sensor's does.
func room(rnd *rand.Rand, x int) capture.Grid {
	g := capture.Grid{Width: width, Height: height, Luma: make([]byte, width*height)}
	for i := range g.Luma {
		px, py := i%width, i/width
		v := 170 + px/8
		switch {
		case px < 12 && py < 18:
			v = 45
		case px > 48 && px < 60 && py > 8 && py < 20:
			v = 205
		case py > 30:
			v = 90 + px*7%25
		}
		if px >= x && px < x+10 && py > 12 && py < 42 {
			v = 30 + px*5%20
		}
		g.Luma[i] = byte(v + rnd.IntN(3) - 1)
	}
	return g
}

// walk is where somebody is who comes in at enter, stands in the middle and leaves
// at leave, in seconds.
func walk(at, enter, leave float64) int {
	const nowhere, middle, speed = -100, 35, 20
	switch {
	case at < enter:
		return nowhere
	case at < leave:
		return min(middle, int((at-enter)*speed)-10)
	default:
		return middle + int((at-leave)*speed)
	}
}

func settings() watch.Settings {
	return watch.Settings{Motion: motion.DefaultSettings(), Event: event.DefaultSettings(), Wait: true, Log: slog.New(slog.DiscardHandler)}
}

// shown is what came of a run of frames.
type shown struct {
	seen    []watch.Observation
	events  []event.Event // that ended
	tampers []event.Cause // of those declared that are about the camera
}

func (s *shown) add(seen []watch.Observation) {
	for _, o := range seen {
		for _, tr := range o.Transitions {
			switch {
			case tr.Kind == event.Ended:
				s.events = append(s.events, tr.Event)
			case tr.Event.Cause != event.CauseMotion:
				s.tampers = append(s.tampers, tr.Event.Cause)
			}
		}
	}
	s.seen = append(s.seen, seen...)
}

// film feeds previews of what draw draws, ten a second, with frames between them
// that have none.
func film(t *testing.T, s watch.Settings, seconds int, draw func(rnd *rand.Rand, at float64) capture.Grid) shown {
	t.Helper()
	w, err := watch.Open(t.Context(), capture.FormatH264, width*8, height*8, s)
	if err != nil {
		t.Fatal(err)
	}
	var out shown
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range seconds * 30 {
		f := capture.Frame{
			Seq: uint64(i), Time: epoch.Add(time.Duration(i) * time.Second / 30), Format: capture.FormatH264,
			Width: width * 8, Height: height * 8, Key: i%30 == 0, Data: []byte{0, 0, 0, 1},
		}
		if i%3 == 0 {
			f.Preview = &capture.Preview{Grid: draw(rnd, float64(i)/30), Image: picture()}
		}
		seen, err := w.Feed(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		out.add(seen)
	}
	seen, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out.add(seen)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func picture() *image.YCbCr {
	return image.NewYCbCr(image.Rect(0, 0, 64, 36), image.YCbCrSubsampleRatio420)
}

// TestPresence holds that a visit is one event though its visitor stands still, that
// the next one's is another, and that previews need no decoder.
func TestPresence(t *testing.T) {
	t.Setenv("PATH", "")
	got := film(t, settings(), 60, func(rnd *rand.Rand, at float64) capture.Grid {
		if at < 26 {
			return room(rnd, walk(at, 5, 22)) // out of the picture at 24.25 s
		}
		return room(rnd, walk(at, 28.25, 45))
	})
	if len(got.seen) != 600 {
		t.Errorf("%d frames were looked at, 600 have a preview", len(got.seen))
	}
	if len(got.events) != 2 {
		t.Fatalf("events %+v, want two", got.events)
	}
	since := func(at time.Time) float64 { return at.Sub(epoch).Seconds() }
	for i, want := range [2][2]float64{{5, 24.25}, {28.25, 47.25}} {
		from, to := since(got.events[i].Declared), since(got.events[i].LastMotion)
		if from < want[0] || from > want[0]+1.2 || to < want[1]-0.6 || to > want[1]+2 {
			t.Errorf("event %d from %.1f s to %.1f s, want %v", i, from, to, want)
		}
	}
	var thumb []byte
	for _, o := range got.seen {
		if o.Motion.Moving {
			var err error
			if thumb, err = o.Thumbnail(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if _, err := jpeg.Decode(bytes.NewReader(thumb)); err != nil {
		t.Errorf("the thumbnail of a preview: %v", err)
	}
}

// TestPreviewStills holds that a thumbnail can be made of each kind of preview, and
// says so where there is none.
func TestPreviewStills(t *testing.T) {
	var small bytes.Buffer
	if err := jpeg.Encode(&small, picture(), nil); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		frame capture.Frame
		fine  bool
	}{
		"image": {capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{Image: picture()}}, true},
		"JPEG":  {capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{JPEG: small.Bytes()}}, true},
		"MJPEG": {capture.Frame{Format: capture.FormatMJPEG, Data: small.Bytes(), Preview: &capture.Preview{}}, true},
		"none":  {capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := watch.Open(t.Context(), c.frame.Format, width*8, height*8, settings())
			if err != nil {
				t.Fatal(err)
			}
			f := c.frame
			f.Time, f.Preview.Grid = epoch, room(rnd, -100)
			seen, err := w.Feed(t.Context(), f)
			if err != nil || len(seen) != 1 {
				t.Fatalf("%d observations, %v", len(seen), err)
			}
			if _, err := seen[0].Thumbnail(); (err == nil) != c.fine {
				t.Errorf("thumbnail: %v, want one: %v", err, c.fine)
			}
		})
	}
}

// TestNeitherDecoderNorPreviews holds that a stream which cannot be seen is an error
// once it is plain that no previews come.
func TestNeitherDecoderNorPreviews(t *testing.T) {
	t.Setenv("PATH", "")
	w, err := watch.Open(t.Context(), capture.FormatH264, 640, 360, settings())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		at := time.Duration(i) * 100 * time.Millisecond
		_, err := w.Feed(t.Context(), capture.Frame{Seq: uint64(i), Time: epoch.Add(at), Format: capture.FormatH264, Data: []byte{0, 0, 0, 1}})
		if late := at > 2*time.Second; (err != nil) != late {
			t.Fatalf("after %v: %v", at, err)
		}
		if err != nil {
			break
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestTamperIsAnEvent holds that a covered camera and a turned one are an event each.
func TestTamperIsAnEvent(t *testing.T) {
	got := film(t, settings(), 60, func(rnd *rand.Rand, at float64) capture.Grid {
		g := room(rnd, -100)
		switch {
		case at >= 20 && at < 30:
			for i := range g.Luma {
				g.Luma[i] = 100 + g.Luma[i]%3
			}
		case at >= 40:
			slices.Reverse(g.Luma)
		}
		return g
	})
	if !slices.Equal(got.tampers, []event.Cause{event.CauseCovered, event.CauseMoved}) {
		t.Errorf("events about %v, want covered and moved", got.tampers)
	}
	for _, e := range got.events {
		if e.Cause == event.CauseMotion {
			t.Errorf("an event of motion in an empty room: %+v", e)
		}
	}
}

// TestZones holds that what is seen names its zones.
func TestZones(t *testing.T) {
	s := settings()
	s.Motion.Zones = []motion.Zone{
		{Name: "door", Area: capture.Rectangle(0, 0, 0.5, 1)}, {Name: "window", Area: capture.Rectangle(0.8, 0, 1, 0.2)},
	}
	named := make(map[string]bool)
	for _, o := range film(t, s, 12, func(rnd *rand.Rand, at float64) capture.Grid { return room(rnd, walk(at, 5, 8)) }).seen {
		for _, z := range o.Zones {
			named[z] = true
		}
	}
	if !named["door"] || named["window"] {
		t.Errorf("named %v, want the door alone", named)
	}
}

// TestRate holds that no more frames are looked at than are asked for.
func TestRate(t *testing.T) {
	var buf bytes.Buffer
	still := image.NewGray(image.Rect(0, 0, 64, 64))
	still.SetGray(8, 8, color.Gray{200})
	if err := jpeg.Encode(&buf, still, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ fps, rate, least, most int }{
		{30, 0, 300, 300}, {30, 15, 150, 151}, {25, 15, 125, 126}, {10, 15, 100, 100}, {30, 30, 300, 300}, {15, 15, 150, 150}, {60, 10, 100, 101},
	} {
		s := settings()
		s.Rate = c.rate
		w, err := watch.Open(t.Context(), capture.FormatMJPEG, 64, 64, s)
		if err != nil {
			t.Fatal(err)
		}
		looked := 0
		for i := range 10 * c.fps {
			seen, err := w.Feed(context.Background(), capture.Frame{
				Seq: uint64(i), Time: epoch.Add(time.Duration(i) * time.Second / time.Duration(c.fps)), Format: capture.FormatMJPEG, Data: buf.Bytes(),
			})
			if err != nil {
				t.Fatal(err)
			}
			looked += len(seen)
		}
		if looked < c.least || looked > c.most {
			t.Errorf("%d of %d frames a second: looked at %d in 10 s, want %d to %d", c.rate, c.fps, looked, c.least, c.most)
		}
	}
}

// TestAnotherFormat holds that a frame of another format ends the watch, and that a
// broken one does not.
func TestAnotherFormat(t *testing.T) {
	w, err := watch.Open(t.Context(), capture.FormatMJPEG, 64, 64, settings())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Feed(t.Context(), capture.Frame{Time: epoch, Format: capture.FormatMJPEG, Data: []byte{0xFF, 0xD8, 0xFF}}); err != nil || w.Broken() != 1 {
		t.Errorf("a broken frame: %v, %d counted", err, w.Broken())
	}
	if _, err := w.Feed(t.Context(), capture.Frame{Time: epoch, Format: capture.FormatH264}); err == nil {
		t.Error("a frame of another format is taken")
	}
	for _, s := range []watch.Settings{
		{Event: event.DefaultSettings(), Rate: -1},
		{Event: event.DefaultSettings(), Motion: motion.Settings{Smallest: 2}},
		{},
	} {
		if _, err := watch.Open(t.Context(), capture.FormatMJPEG, 64, 64, s); err == nil {
			t.Errorf("settings %+v are taken", s)
		}
	}
	if _, err := watch.Open(t.Context(), 99, 64, 64, settings()); err == nil {
		t.Error("an unknown format is taken")
	}
}
