package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// small are budgets that a test fills quickly: about 20 clip parts of 4 KB, 10
// thumbnails of 2 KB.
func small() Budgets {
	return Budgets{Records: 1 << 20, Thumbnails: 40_000, Clips: 100_000, Aside: 10_000}
}

func TestOldestClipsGoFirstAndWhole(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, small()))
	defer w.close(s)
	// Parts of two events, interleaved, then many of others.
	for i := range uint32(3) {
		w.append(s, part(1, i, 4000))
		w.append(s, part(2, i, 4000))
	}
	first := w.append(s, draft(seal.KindEvent, 1, 100))
	for ev := byte(3); ev < 12; ev++ {
		for i := range uint32(3) {
			w.append(s, part(ev, i, 4000))
		}
		if st := s.Stats(); st.Bytes[Clips] > small().Clips {
			t.Fatalf("%d bytes of clips", st.Bytes[Clips])
		}
	}
	events := map[seal.EventID]int{}
	for _, e := range waiting(s) {
		if e.Kind == seal.KindClip {
			events[e.Event]++
		}
	}
	for ev := byte(1); ev < 12; ev++ {
		n := events[seal.EventID{ev}]
		if n != 0 && n != 3 {
			t.Errorf("%d parts of event %d are left, want all or none", n, ev)
		}
		if ev > 1 && n < events[seal.EventID{ev - 1}] {
			t.Errorf("event %d went before event %d", ev, ev-1)
		}
	}
	if events[seal.EventID{1}] != 0 || events[seal.EventID{11}] != 3 {
		t.Errorf("parts left: %v", events)
	}
	if _, err := s.Read(first.Ref); err != nil {
		t.Errorf("the event record: %v", err)
	}
	gaps := strings.Count(kinds(waiting(s)), "g")
	if st := s.Stats(); gaps != 1 || st.Dropped < 6 {
		t.Errorf("%d gap items for %d dropped parts, want them merged into 1", gaps, st.Dropped)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

func TestClipMakesNoRoomForItself(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.options(durabletest.TempDir(t), 1, small()))
	defer w.close(s)
	thumb := w.append(s, draft(seal.KindThumbnail, 1, 2000))
	w.append(s, part(9, 0, 4000))
	var kept int
	for i := range uint32(40) {
		_, err := s.Append(context.Background(), part(1, i, 4000))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept++
	}
	if kept < 10 || kept == 40 || !s.Stats().Full || s.Stats().Refused != 1 {
		t.Errorf("%d parts kept, stats %+v", kept, s.Stats())
	}
	var parts []uint32
	for _, e := range waiting(s) {
		if e.Kind == seal.KindClip {
			parts = append(parts, e.Part)
		}
	}
	if len(parts) != kept || parts[0] != 0 || !slices.IsSorted(parts) {
		t.Errorf("parts %v, want a beginning without holes, and the other event's gone", parts)
	}
	if _, err := s.Read(thumb.Ref); err != nil {
		t.Errorf("a clip pushed a thumbnail out: %v", err)
	}
	w.append(s, part(2, 0, 4000)) // another event may
	if s.Stats().Full {
		t.Error("still full")
	}
}

func TestTotalBudgetTakesClipsBeforeThumbnails(t *testing.T) {
	w := newWorld(t)
	b := Budgets{Records: 1 << 20, Thumbnails: 1 << 20, Clips: 1 << 20, Total: 60_000, Aside: 1}
	s := w.open(w.options(durabletest.TempDir(t), 1, b))
	defer w.close(s)
	for ev := byte(1); ev < 5; ev++ {
		w.append(s, draft(seal.KindThumbnail, ev, 3000))
		w.append(s, part(ev, 0, 3000))
		w.append(s, draft(seal.KindEvent, ev, 100))
	}
	for ev := byte(5); ev < 40; ev++ {
		had := s.Stats()
		w.append(s, draft(seal.KindThumbnail, ev, 3000))
		st := s.Stats()
		if st.Bytes[0]+st.Bytes[1]+st.Bytes[2] > b.Total+3000 { // a gap item may be on top
			t.Fatalf("%v bytes", st.Bytes)
		}
		if st.Items[Thumbnails] <= had.Items[Thumbnails] && had.Items[Clips] > 0 && st.Items[Clips] > 0 {
			t.Errorf("a thumbnail went while %d clip parts were left", st.Items[Clips])
		}
	}
	st := s.Stats()
	if st.Items[Clips] != 0 || st.Items[Thumbnails] < 3 {
		t.Errorf("items %v", st.Items)
	}
	if _, err := s.Append(context.Background(), part(40, 0, 30_000)); !errors.Is(err, ErrFull) {
		t.Errorf("a clip part that only thumbnails could make room for: %v", err)
	}
	if got := strings.Count(kinds(waiting(s)), "e"); got != 4 {
		t.Errorf("%d event records are left of 4", got)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

func TestTooLargeForItsBudgetDropsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.options(durabletest.TempDir(t), 1, small()))
	defer w.close(s)
	w.append(s, part(1, 0, 4000))
	w.append(s, draft(seal.KindThumbnail, 1, 4000))
	for _, d := range []seal.Draft{part(2, 0, 200_000), draft(seal.KindThumbnail, 2, 90_000)} {
		if _, err := s.Append(context.Background(), d); !errors.Is(err, ErrFull) {
			t.Errorf("append %s: %v", d.Kind, err)
		}
	}
	if st := s.Stats(); st.Depth != 2 || st.Dropped != 0 || st.HeadSeq != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestCheckpointsDoNotPileUp(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	for range 300 { // a day
		w.append(s, draft(seal.KindCheckpoint, 0, 100))
	}
	got := kinds(waiting(s))
	if strings.Count(got, "c") > maxCheckpoints || strings.Count(got, "g") > 1 || !strings.HasSuffix(got, "c") {
		t.Errorf("waiting %q", got)
	}
	if s.Stats().Dropped != 0 {
		t.Errorf("%d dropped for want of room", s.Stats().Dropped)
	}
	// After a restart gap items are still merged: the index has what they say.
	w.close(s)
	s = w.open(w.options(dir, 2, Budgets{}))
	defer w.close(s)
	for range maxCheckpoints {
		w.append(s, draft(seal.KindCheckpoint, 0, 100))
	}
	if n := strings.Count(kinds(waiting(s)), "g"); n != 1 {
		t.Errorf("%d gap items after a restart", n)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

func TestEventRecordsAreNeverDropped(t *testing.T) {
	w := newWorld(t)
	b := small()
	b.Records = 20_000
	s := w.open(w.options(durabletest.TempDir(t), 1, b))
	defer w.close(s)
	for range 3 {
		w.append(s, draft(seal.KindCheckpoint, 0, 100))
	}
	kept := 0
	for ev := byte(1); ev < 100; ev++ {
		_, err := s.Append(context.Background(), draft(seal.KindEvent, ev, 100))
		if errors.Is(err, ErrFull) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		kept++
	}
	st := s.Stats()
	got := kinds(waiting(s))
	if strings.Count(got, "e") != kept || kept < 5 || strings.Count(got, "c") != 1 || st.Bytes[Records] > b.Records+4096 || !st.Full {
		t.Errorf("%d events taken, waiting %q, %v bytes, full %v", kept, got, st.Bytes, st.Full)
	}
	w.drain(s)
	if s.Stats().Full {
		t.Error("full after everything was delivered")
	}
	w.append(s, draft(seal.KindEvent, 1, 100))
	if bad := w.unexplained(contents(t, s)...); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

// TestOfflineStaysBounded runs a busy week without a hub against tiny budgets.
func TestOfflineStaysBounded(t *testing.T) {
	w := newWorld(t)
	b := Budgets{Records: 300_000, Thumbnails: 30_000, Clips: 60_000, Aside: 1}
	dir := durabletest.TempDir(t)
	s := w.open(quiet(w.options(dir, 1, b)))
	boot, events := uint64(1), 150
	if testing.Short() {
		events = 41
	}
	for i := range events {
		ev := byte(i%250 + 1)
		for _, d := range []seal.Draft{
			draft(seal.KindThumbnail, ev, 2000), part(ev, 0, 5000), draft(seal.KindCheckpoint, 0, 100), part(ev, 1, 5000), draft(seal.KindEvent, ev, 100),
		} {
			if _, err := s.Append(context.Background(), d); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
		if i%40 == 39 {
			w.close(s)
			boot++
			s = w.open(quiet(w.options(dir, boot, b)))
		}
	}
	defer w.close(s)
	st := s.Stats()
	if st.Bytes[Clips] > b.Clips || st.Bytes[Thumbnails] > b.Thumbnails || st.Bytes[Records] > b.Records+seal.MaxSmallItem {
		t.Errorf("bytes %v", st.Bytes)
	}
	if got := strings.Count(kinds(waiting(s)), "g"); got > 6 {
		t.Errorf("%d gap items", got)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

// TestFullDisk fills a small disk from outside until nothing can be written, and
// then makes room again.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	q := durabletest.NewQuota(dir, 600<<10)
	s := w.open(w.options(dir, 1, Budgets{Records: 1 << 20, Thumbnails: 1 << 20, Clips: 1 << 20, Aside: 1}, durable.WithHook(q.Hook), durable.WithFree(q.Free)))
	defer w.close(s)
	fill := func(d seal.Draft) (n int) {
		for range 200 {
			_, err := s.Append(context.Background(), d)
			if errors.Is(err, ErrFull) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		t.Fatal("the disk never got full")
		return 0
	}
	if n := fill(part(1, 0, 20_000)); n < 5 {
		t.Errorf("only %d clip parts fit", n)
	}
	if st := s.Stats(); !st.Full || st.Items[Clips] < 5 || st.Dropped != 0 {
		t.Errorf("stats %+v", st)
	}
	// Others take what was left, to the last block. Worthier items still get in: the
	// clip goes, and the ballast makes room to say so.
	q.Resize(q.Used())
	event := w.append(s, draft(seal.KindEvent, 1, 100))
	thumb := w.append(s, draft(seal.KindThumbnail, 1, 20_000))
	if st := s.Stats(); st.Items[Clips] != 0 || st.Dropped < 5 {
		t.Errorf("stats %+v", st)
	}
	// Full again, with nothing to drop: nothing can be written, nothing is lost.
	before := seqs(waiting(s))
	q.Resize(q.Used())
	for _, k := range []seal.Kind{seal.KindThumbnail, seal.KindClip} {
		if _, err := s.Append(context.Background(), draft(k, 2, 40_000)); !errors.Is(err, ErrFull) {
			t.Errorf("append %s to a full disk: %v", k, err)
		}
	}
	if after := seqs(waiting(s)); !slices.Equal(after, before) || !s.Stats().Full {
		t.Errorf("waiting %v, before %v; full %v", after, before, s.Stats().Full)
	}
	q.Resize(1 << 20)
	if s.Stats().Full {
		t.Error("still full")
	}
	w.append(s, part(3, 0, 20_000))
	for _, e := range []Entry{event, thumb} {
		if _, err := s.Read(e.Ref); err != nil {
			t.Error(err)
		}
	}
	if s.Stats().Full {
		t.Error("still full after an append")
	}
	if _, err := os.Stat(filepath.Join(dir, ballastName)); err != nil {
		t.Errorf("the ballast did not come back: %v", err)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}

// TestReserve wants clips and thumbnails to leave the reserve alone, and records
// to be written all the same.
func TestReserve(t *testing.T) {
	w := newWorld(t)
	free := int64(1 << 20)
	b := small()
	b.Reserve = 500_000
	s := w.open(w.options(durabletest.TempDir(t), 1, b, durable.WithFree(func() (int64, error) { return free, nil })))
	defer w.close(s)
	w.append(s, part(1, 0, 10_000))
	w.append(s, draft(seal.KindThumbnail, 1, 3000))
	free = 400_000 // far below: dropping all would not help
	for _, d := range []seal.Draft{part(2, 0, 3000), draft(seal.KindThumbnail, 2, 3000)} {
		if _, err := s.Append(context.Background(), d); !errors.Is(err, ErrFull) {
			t.Errorf("append %s into the reserve: %v", d.Kind, err)
		}
	}
	w.append(s, draft(seal.KindEvent, 1, 100))
	if st := s.Stats(); st.Dropped != 0 || st.Depth != 3 || !st.Full {
		t.Errorf("stats %+v", st)
	}
	free = b.Reserve + 1000 // a little below: the clip makes up for it
	w.append(s, draft(seal.KindThumbnail, 2, 3000))
	if st := s.Stats(); st.Dropped != 1 || st.Items[Clips] != 0 {
		t.Errorf("stats %+v", st)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}
