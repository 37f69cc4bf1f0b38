package recorder_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/agent/recorder"
	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/capture/motion"
	"github.com/lensward/lensward/capture/scene"
	"github.com/lensward/lensward/transport/seal"
)

func settings(longest time.Duration) recorder.Settings {
	log := slog.New(slog.DiscardHandler)
	events := event.DefaultSettings()
	events.Longest = longest
	return recorder.Settings{
		Watch: watch.Settings{Motion: motion.DefaultSettings(), Event: events, Wait: true, Log: log},
		Clip:  clip.Settings{PartDuration: 2 * time.Second},
		Ring:  clip.RingSettings{Duration: 6 * time.Second, Bytes: 16 << 20},
		Clock: func() seal.ClockTrust { return seal.ClockFloor },
		Log:   log,
	}
}

// film records the scene for a time and returns what was made of it.
func film(t *testing.T, long time.Duration, longest time.Duration, sink recorder.Sink) (*recorder.Recorder, error) {
	t.Helper()
	r := recorder.New(settings(longest), sink)
	s := scene.New(scene.Settings{Width: 192, Height: 112, FPS: 5, Seed: 3, Duration: long, Fast: true, Start: time.UnixMilli(1_771_000_000_000)})
	frames := make(chan capture.Frame, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(frames)
		_ = s.Run(ctx, func(f capture.Frame) { // it only ends early when the test does
			select {
			case frames <- f:
			case <-ctx.Done():
			}
		})
	}()
	return r, r.Run(ctx, frames)
}

// footage is what was made of one event.
type footage struct {
	kinds   []seal.Kind
	clip    bytes.Buffer
	lasts   int
	record  seal.Event
	records int
}

func collect(t *testing.T, into map[seal.EventID]*footage, order *[]seal.EventID) recorder.Sink {
	return func(_ context.Context, d seal.Draft) (bool, error) {
		f := into[d.Event]
		if f == nil {
			f = &footage{}
			into[d.Event] = f
			*order = append(*order, d.Event)
		}
		f.kinds = append(f.kinds, d.Kind)
		switch d.Kind {
		case seal.KindThumbnail:
			if len(d.Body) > seal.MaxThumbnail {
				t.Errorf("a thumbnail of %d bytes", len(d.Body))
			}
			if _, err := jpeg.Decode(bytes.NewReader(d.Body)); err != nil {
				t.Errorf("a thumbnail that is no JPEG: %v", err)
			}
		case seal.KindClip:
			if int(d.Part) != countKind(f.kinds, seal.KindClip)-1 {
				t.Errorf("part %d comes as number %d", d.Part, countKind(f.kinds, seal.KindClip)-1)
			}
			f.clip.Write(d.Body)
			if d.Last {
				f.lasts++
			}
		case seal.KindEvent:
			var err error
			if f.record, err = seal.ParseEvent(d.Body); err != nil {
				t.Error(err)
			}
			f.records++
		}
		return true, nil
	}
}

func countKind(kinds []seal.Kind, k seal.Kind) int {
	n := 0
	for _, x := range kinds {
		if x == k {
			n++
		}
	}
	return n
}

func TestEventIsThumbnailClipAndRecord(t *testing.T) {
	all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
	r, err := film(t, 50*time.Second, 2*time.Minute, collect(t, all, &order))
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Counts(); c.Events != uint64(len(order)) || c.Events < 2 || c.Frames != 250 || c.Broken != 0 {
		t.Errorf("counted %+v for %d events", c, len(order))
	}
	for _, id := range order {
		f := all[id]
		if f.kinds[0] != seal.KindThumbnail || f.kinds[len(f.kinds)-1] != seal.KindEvent || f.records != 1 || f.lasts != 1 {
			t.Errorf("event %s came as %v", id, f.kinds)
		}
		frames := 0
		for fr, err := range clip.Frames(f.clip.Bytes()) {
			if err != nil {
				t.Fatalf("event %s: %v", id, err)
			}
			if frames++; frames == 1 && fr.Time.UnixMilli() >= f.record.Start && id != order[0] {
				t.Errorf("event %s has no pre-roll", id)
			}
		}
		if frames < 30 || int(f.record.Parts) != countKind(f.kinds, seal.KindClip) || f.record.Score <= 0 || f.record.Box[2] <= 0 {
			t.Errorf("event %s: %d frames, record %+v", id, frames, f.record)
		}
	}
}

func TestLongEventGoesOnAsAnother(t *testing.T) {
	all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
	if _, err := film(t, 40*time.Second, 10*time.Second, collect(t, all, &order)); err != nil {
		t.Fatal(err)
	}
	linked := 0
	for i, id := range order {
		if c := all[id].record.Continues; !c.IsZero() {
			linked++
			if i == 0 || c != order[i-1] {
				t.Errorf("event %s carries on %s, not the one before", id, c)
			}
		}
	}
	if linked == 0 {
		t.Errorf("none of %d events carries on another", len(order))
	}
}

func TestPartsWithoutRoomAreCounted(t *testing.T) {
	var record seal.Event
	_, err := film(t, 20*time.Second, 2*time.Minute, func(_ context.Context, d seal.Draft) (bool, error) {
		if d.Kind == seal.KindEvent {
			var err error
			if record, err = seal.ParseEvent(d.Body); err != nil {
				t.Error(err)
			}
		}
		return d.Kind != seal.KindClip || d.Part%2 == 0, nil
	})
	if err != nil || record.LostParts == 0 || record.LostParts != record.Parts/2 {
		t.Errorf("record %+v, %v", record, err)
	}
}

func TestSinkEndsRecording(t *testing.T) {
	broken := errors.New("broken")
	_, err := film(t, 20*time.Second, 2*time.Minute, func(context.Context, seal.Draft) (bool, error) { return false, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestAnotherCamera changes the size of the pictures while someone walks: the event
// ends, and what is recorded after it has the new size alone.
func TestAnotherCamera(t *testing.T) {
	all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
	r := recorder.New(settings(2*time.Minute), collect(t, all, &order))
	frames := make(chan capture.Frame)
	fed := make(chan error, 1)
	go func() {
		defer close(frames)
		start := time.UnixMilli(1_771_000_000_000)
		for i, width := range []int{192, 256} {
			s := scene.New(scene.Settings{
				Width: width, Height: 112, FPS: 5, Seed: 3, Duration: 25 * time.Second, Fast: true,
				Start: start.Add(time.Duration(i) * 25 * time.Second),
			})
			if err := s.Run(t.Context(), func(f capture.Frame) { frames <- f }); err != nil {
				fed <- err
				return
			}
		}
		fed <- nil
	}()
	if err := errors.Join(r.Run(t.Context(), frames), <-fed); err != nil {
		t.Fatal(err)
	}
	sizes := make(map[int]int)
	for _, id := range order {
		f := all[id]
		if f.lasts != 1 || f.records != 1 {
			t.Errorf("event %s has %d last parts and %d records", id, f.lasts, f.records)
		}
		width := 0
		for fr, err := range clip.Frames(f.clip.Bytes()) {
			if err != nil {
				t.Fatalf("event %s: %v", id, err)
			}
			c, err := jpeg.DecodeConfig(bytes.NewReader(fr.Data))
			if err != nil {
				t.Fatal(err)
			}
			if width != 0 && c.Width != width {
				t.Fatalf("event %s has pictures %d and %d wide", id, width, c.Width)
			}
			width = c.Width
		}
		sizes[width]++
	}
	if sizes[192] == 0 || sizes[256] == 0 {
		t.Errorf("events by width: %v", sizes)
	}
	if c := r.Counts(); c.Frames != 250 {
		t.Errorf("%d frames were looked at", c.Frames)
	}
}

// TestCoveredCamera has somebody put a hand before the lens: it is an event of its
// own, with that cause, and whoever is to know is told while it lasts.
func TestCoveredCamera(t *testing.T) {
	all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
	s := settings(2 * time.Minute)
	var told []motion.Tamper
	s.Tampered = func(x motion.Tamper) { told = append(told, x) }
	whole := capture.Rectangle(0, 0, 1, 1)
	s.Watch.Motion.Zones = []motion.Zone{{Name: "everywhere", Area: whole, Sensitivity: motion.Normal}}
	r := recorder.New(s, collect(t, all, &order))
	frames := make(chan capture.Frame)
	fed := make(chan error, 1)
	go func() {
		defer close(frames)
		fed <- play(t, frames)
	}()
	if err := errors.Join(r.Run(t.Context(), frames), <-fed); err != nil {
		t.Fatal(err)
	}
	causes := make(map[seal.EventCause]int)
	for _, id := range order {
		causes[all[id].record.Cause]++
		if all[id].record.Cause == "" && !slices.Equal(all[id].record.Zones, []string{"everywhere"}) {
			t.Errorf("event %s was in the zones %v", id, all[id].record.Zones)
		}
	}
	if causes[seal.CauseCovered] != 1 || causes[""] == 0 {
		t.Errorf("events by cause: %v", causes)
	}
	if want := []motion.Tamper{motion.TamperCovered, motion.TamperNone}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// TestShowsItselfOnce has a camera in an empty room, which its owner wants to see once: one
// picture, without a clip, in an event in which nothing moved, before any walker's.
func TestShowsItselfOnce(t *testing.T) {
	for _, c := range []struct {
		name             string
		introduce, empty bool
		long             time.Duration
		want             map[seal.EventCause]int
	}{
		{"empty", true, true, 8 * time.Second, map[seal.EventCause]int{seal.CausePaired: 1}},
		{"not asked to", false, true, 8 * time.Second, map[seal.EventCause]int{}},
		{"no time", true, true, 900 * time.Millisecond, map[seal.EventCause]int{}},
		{"walkers later", true, false, 30 * time.Second, map[seal.EventCause]int{seal.CausePaired: 1, "": 2}},
	} {
		all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
		s := settings(2 * time.Minute)
		s.Introduce = c.introduce
		r := recorder.New(s, collect(t, all, &order))
		frames := make(chan capture.Frame)
		fed := make(chan error, 1)
		go func() {
			defer close(frames)
			src := scene.New(scene.Settings{
				Width: 192, Height: 112, FPS: 5, Seed: 3, Duration: c.long, Fast: true, Empty: c.empty, Start: time.UnixMilli(1_771_000_000_000),
			})
			fed <- src.Run(t.Context(), func(f capture.Frame) { frames <- f })
		}()
		if err := errors.Join(r.Run(t.Context(), frames), <-fed); err != nil {
			t.Fatal(err)
		}
		causes := make(map[seal.EventCause]int)
		for _, id := range order {
			f := all[id]
			causes[f.record.Cause]++
			if f.record.Cause != seal.CausePaired {
				continue
			}
			late := f.record.Start - 1_771_000_000_000
			if !slices.Equal(f.kinds, []seal.Kind{seal.KindThumbnail, seal.KindEvent}) || f.record.Parts != 0 || f.record.Score != 0 || f.record.End != f.record.Start || late < 1000 || late > 2000 {
				t.Errorf("%s: %v, %d ms after the beginning: %+v", c.name, f.kinds, late, f.record)
			}
		}
		if !maps.Equal(causes, c.want) {
			t.Errorf("%s: events by cause %v, want %v", c.name, causes, c.want)
		}
		if got := r.Counts().Events; got != uint64(c.want[""]) {
			t.Errorf("%s: %d events were declared", c.name, got)
		}
	}
}

// play is a room with walkers, a hand before the lens for 12 s, and the room again.
func play(t *testing.T, frames chan<- capture.Frame) error {
	start := time.UnixMilli(1_771_000_000_000)
	room := func(from time.Duration, empty bool, long time.Duration) error {
		return scene.New(scene.Settings{
			Width: 640, Height: 352, FPS: 5, Seed: 3, Duration: long, Fast: true, Empty: empty, Start: start.Add(from),
		}).Run(t.Context(), func(f capture.Frame) { frames <- f })
	}
	if err := room(0, false, 40*time.Second); err != nil {
		return err
	}
	if err := room(40*time.Second, true, 20*time.Second); err != nil {
		return err
	}
	img := image.NewGray(image.Rect(0, 0, 640, 352))
	for i := range img.Pix {
		img.Pix[i] = 60
	}
	var hand bytes.Buffer
	if err := jpeg.Encode(&hand, img, nil); err != nil {
		return err
	}
	for i := range 60 {
		at := start.Add(time.Minute + time.Duration(i)*200*time.Millisecond)
		frames <- capture.Frame{Seq: uint64(i), Time: at, Format: capture.FormatMJPEG, Width: 640, Height: 352, Key: true, Data: hand.Bytes()}
	}
	return room(72*time.Second, true, 20*time.Second)
}

// TestDamagedFramesAreNotSealed takes some bytes out of the middle of every third
// JPEG, as a camera's bus may: none of those is in a clip, looked at or not.
func TestDamagedFramesAreNotSealed(t *testing.T) {
	all, order := make(map[seal.EventID]*footage), []seal.EventID(nil)
	s := settings(2 * time.Minute)
	s.Watch.Rate = 5
	r := recorder.New(s, collect(t, all, &order))
	frames := make(chan capture.Frame)
	fed := make(chan error, 1)
	damaged := make(map[string]bool)
	go func() {
		defer close(frames)
		src := scene.New(scene.Settings{Width: 192, Height: 112, FPS: 15, Seed: 3, Duration: 25 * time.Second, Fast: true, Start: time.UnixMilli(1_771_000_000_000)})
		fed <- src.Run(t.Context(), func(f capture.Frame) {
			if f.Seq%3 == 1 {
				middle := len(f.Data) / 2
				f.Data = slices.Concat(f.Data[:middle], f.Data[middle+40:])
				damaged[string(f.Data)] = true
			}
			frames <- f
		})
	}()
	if err := errors.Join(r.Run(t.Context(), frames), <-fed); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, id := range order {
		for fr, err := range clip.Frames(all[id].clip.Bytes()) {
			if err != nil {
				t.Fatal(err)
			}
			kept++
			if damaged[string(fr.Data)] {
				t.Fatalf("event %s has a damaged frame", id)
			}
		}
	}
	if c := r.Counts(); kept < 50 || c.Damaged < 20 || c.Broken >= c.Damaged {
		t.Errorf("%d frames in clips, counted %+v", kept, c)
	}
}
