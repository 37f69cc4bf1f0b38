package seal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
)

func TestSealRefusesBadDrafts(t *testing.T) {
	m := newMaker(t)
	s := m.small()
	for name, spoil := range map[string]func(*seal.Draft, *seal.Link){
		"no event":          func(d *seal.Draft, _ *seal.Link) { d.Event = seal.EventID{} },
		"unknown kind":      func(d *seal.Draft, _ *seal.Link) { d.Kind = 9 },
		"wrong media type":  func(d *seal.Draft, _ *seal.Link) { d.MediaType = "text/html" },
		"too large":         func(d *seal.Draft, _ *seal.Link) { d.Body = make([]byte, seal.MaxThumbnail+1) },
		"part of no clip":   func(d *seal.Draft, _ *seal.Link) { d.Part = 1 },
		"no sequence":       func(_ *seal.Draft, l *seal.Link) { l.Seq = 0 },
		"chain from future": func(_ *seal.Draft, l *seal.Link) { l.Chain = 8 },
		"before 1970":       func(d *seal.Draft, _ *seal.Link) { d.Captured = time.Unix(-1, 0) },
		"clock unknown":     func(d *seal.Draft, _ *seal.Link) { d.Clock = 0 },
	} {
		d, l := m.draft(seal.KindThumbnail), first(m.record)
		spoil(&d, &l)
		if _, err := s.Seal(d, l); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func TestSealerNeedsRecipients(t *testing.T) {
	m := newMaker(t)
	_, err := seal.NewSealer(seal.Device{Key: m.key}, seal.Binding{Owner: m.owner})
	if err == nil || !strings.Contains(err.Error(), "no recipients") {
		t.Errorf("got %v, want a refusal for want of recipients", err)
	}
}

func TestSealTakesTheLargest(t *testing.T) {
	m := newMaker(t)
	s := m.sealerOf(m.key, m.owner, 2, m.record, m.hybrid.Recipient())
	for _, k := range []seal.Kind{seal.KindThumbnail, seal.KindClip} {
		d := m.draft(k)
		d.Body = make([]byte, seal.MaxThumbnail)
		if k == seal.KindClip {
			d.Body = make([]byte, seal.MaxClipPart)
		}
		it, err := seal.Parse(m.seal(s, d, first(m.record)).Bytes())
		must(t, err)
		must(t, it.Verify())
		plain, err := it.Open(m.hybrid)
		must(t, err)
		if !bytes.Equal(plain, d.Body) {
			t.Errorf("%s: opened to %d other bytes", k, len(plain))
		}
	}
}

func TestNamesRoundTrip(t *testing.T) {
	m := newMaker(t)
	r := seal.Ref{Device: m.owner, Epoch: 1, Chain: 2, Seq: 3}
	got, err := seal.ParseRef(r.String())
	must(t, err)
	if got != r {
		t.Errorf("got %v, want %v", got, r)
	}
	for _, s := range []string{
		"", "a/1/1/1", r.String() + "/1", strings.ToUpper(r.String()), strings.Replace(r.String(), "/1/", "/01/", 1),
		strings.Replace(r.String(), "/3", "/9007199254740992", 1), strings.Replace(r.String(), "/3", "/-3", 1),
	} {
		if _, err := seal.ParseRef(s); err == nil {
			t.Errorf("%q was read as an item reference", s)
		}
	}
	if len(m.owner.Short()) != 8 || !strings.HasPrefix(m.owner.String(), m.owner.Short()) {
		t.Errorf("short form %q of %q", m.owner.Short(), m.owner)
	}
}

// TestAuditFindsWhatIsMissing hands out a random part of a chain in random order,
// with random gaps, and holds the report against the plain answer.
func TestAuditFindsWhatIsMissing(t *testing.T) {
	m := newMaker(t)
	run := m.chain(m.small(), 40)
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		a := seal.NewAudit()
		have, dropped := make(map[uint64]bool), make(map[uint64]bool)
		head := uint64(0)
		for _, i := range rnd.Perm(len(run))[:rnd.IntN(len(run))] {
			must(t, a.Add(run[i].Header, run[i].Hash()))
			have[uint64(i)+1] = true
			head = max(head, uint64(i)+1)
		}
		for range rnd.IntN(4) {
			from := 1 + rnd.IntN(len(run))
			to := from + rnd.IntN(len(run)-from+1)
			must(t, a.Explain(run[0].Header, seal.Gap{Dropped: []seal.Dropped{{
				Chain: 5, From: uint64(from), To: uint64(to),
				FirstPrev: run[from-1].Header.Prev, LastHash: run[to-1].Hash(), Reason: "budget",
			}}}))
			for seq := from; seq <= to; seq++ {
				dropped[uint64(seq)] = true
			}
			head = max(head, uint64(to))
		}
		checkMissing(t, round, a.Missing(), have, dropped, head)
	}
}

func checkMissing(t *testing.T, round int, got []seal.Missing, have, dropped map[uint64]bool, head uint64) {
	t.Helper()
	said := make(map[uint64]bool)
	for _, miss := range got {
		for seq := miss.From; seq <= miss.To; seq++ {
			if said[seq] || have[seq] || seq > head || miss.Dropped != dropped[seq] {
				t.Fatalf("round %d: item %d wrongly in %+v", round, seq, miss)
			}
			said[seq] = true
		}
	}
	for seq := uint64(1); seq <= head; seq++ {
		if !have[seq] && !said[seq] {
			t.Fatalf("round %d: item %d is missing and not reported", round, seq)
		}
	}
}

func TestBodies(t *testing.T) {
	for _, bad := range []string{``, `[]`, `{"start":5,"end":4}`, `{"start":-1}`, `{"score":1.5}`, `{"box":[0,0,0,2]}`, `{"continues":"xyz"}`, `{"cause":"bored"}`, `{"zones":[""]}`, `{"zones":["` + strings.Repeat("x", 161) + `"]}`} {
		if _, err := seal.ParseEvent([]byte(bad)); err == nil {
			t.Errorf("event body %s was read", bad)
		}
	}
	for _, bad := range []string{`{}`, `{"dropped":[]}`, `{"dropped":[{"chain":1,"from":2,"to":1}]}`, `{"dropped":[{"chain":0,"from":1,"to":1}]}`} {
		if _, err := seal.ParseGap([]byte(bad)); err == nil {
			t.Errorf("gap body %s was read", bad)
		}
	}
	if _, err := seal.ParseCheckpoint([]byte(`{"depth":9007199254740993}`)); err == nil {
		t.Error("a checkpoint with a count above 2^53-1 was read")
	}
	e, err := seal.ParseEvent([]byte(`{"start":1,"end":2,"score":0.5,"box":[0,0,1,1],"parts":3,"new_member":true}`))
	if err != nil || e.Parts != 3 {
		t.Errorf("got %+v, %v", e, err)
	}
	for cause, ok := range map[string]bool{"motion": true, "moved": true, "paired": true, "bored": false} {
		if e, err := seal.ParseEvent(fmt.Appendf(nil, `{"start":1,"end":1,"cause":%q}`, cause)); (err == nil) != ok || ok && string(e.Cause) != cause {
			t.Errorf("cause %s: got %+v, %v", cause, e, err)
		}
	}
	e, err = seal.ParseEvent([]byte(`{"start":1,"end":2,"cause":"covered","zones":["door","gate"]}`))
	if err != nil || e.Cause != seal.CauseCovered || len(e.Zones) != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
}

// FuzzParse asserts that what is read is written back as the same bytes, and
// that no bytes make the reader fall over.
func FuzzParse(f *testing.F) {
	for _, v := range readSeeds(f) {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := seal.Parse(b)
		if err != nil {
			if seal.ReasonOf(err) == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if !bytes.Equal(it.Bytes(), b) || it.Size() != len(b) {
			t.Fatal("read and written back, it is another item")
		}
		again, err := seal.ParseEnvelope(it.Envelope)
		if err != nil || again.Hash() != it.Hash() {
			t.Fatalf("the envelope alone reads otherwise: %v", err)
		}
		if err := it.Verify(); err != nil && seal.ReasonOf(err) == "" {
			t.Fatalf("refused without a reason: %v", err)
		}
	})
}

// FuzzBodies asserts that the body parsers keep their promises about ranges.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"start":1,"end":2,"score":0.5,"box":[0,0,1,1],"parts":3}`))
	f.Add([]byte(`{"dropped":[{"chain":1,"from":1,"to":2,"kind":1,"reason":"budget"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := seal.ParseEvent(b); err == nil && (e.End < e.Start || e.Score > 1) {
			t.Fatalf("%+v", e)
		}
		if g, err := seal.ParseGap(b); err == nil && (len(g.Dropped) == 0 || g.Dropped[0].To < g.Dropped[0].From) {
			t.Fatalf("%+v", g)
		}
		if c, err := seal.ParseCheckpoint(b); err == nil && c.Depth > 1<<53 {
			t.Fatalf("%+v", c)
		}
	})
}

// BenchmarkSeal is the cost of a thumbnail of 20 KB, to the default recipient.
func BenchmarkSeal(b *testing.B) {
	for name, size := range map[string]int{"20KB": 20_000, "2MB": 2 << 20} {
		b.Run(name, func(b *testing.B) {
			m := newMaker(b)
			s := m.sealerOf(m.key, m.owner, 2, m.record, m.hybrid.Recipient())
			d := m.draft(seal.KindClip)
			d.Body = make([]byte, size)
			link := first(m.record)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Seal(d, link); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen is the cost of verifying and opening the same thumbnail.
func BenchmarkOpen(b *testing.B) {
	m := newMaker(b)
	d := m.draft(seal.KindThumbnail)
	d.Body = make([]byte, 20_000)
	raw := m.seal(m.sealerOf(m.key, m.owner, 2, m.record, m.hybrid.Recipient()), d, first(m.record)).Bytes()
	var id age.Identity = m.hybrid
	b.ReportAllocs()
	for b.Loop() {
		it, err := seal.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := it.Verify(); err != nil {
			b.Fatal(err)
		}
		if _, err := it.Open(id); err != nil {
			b.Fatal(err)
		}
	}
}
