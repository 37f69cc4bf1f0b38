package viewer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// A finding's file has everything of it, and one name however often it is made.
func TestFindingFile(t *testing.T) {
	f := Finding{At: time.UnixMilli(1_700_000_000_123), Name: FoundFork, Device: seal.ID{1}, Epoch: 2, Chain: 3, From: 4, To: 5, Detail: "why"}
	f = f.with("asked", []byte("one")).with("before", nil).with("answer", []byte("two"))
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got findingFile
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := findingFile{
		Label: "finding/1", Name: FoundFork, At: 1_700_000_000_123, Device: &f.Device, Epoch: 2, Chain: 3, From: 4, To: 5, Detail: "why",
		Proof: []evidenceFile{{"asked", "b25l"}, {"answer", "dHdv"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	later := f
	later.At, later.Detail = time.Now(), "why, in other words"
	if later.FileName() != f.FileName() || !strings.HasPrefix(f.FileName(), "fork-") || filepath.Ext(f.FileName()) != ".json" {
		t.Errorf("files %s and %s", f.FileName(), later.FileName())
	}
	for _, other := range []Finding{
		f.with("head", []byte("three")), f.at(seal.Ref{Device: f.Device, Epoch: 2, Chain: 3, Seq: 4}), {Name: FoundFork},
	} {
		if other.Hash() == f.Hash() {
			t.Errorf("%+v has the hash of another", other)
		}
	}
	if _, err := f.with("record", make([]byte, maxProof)).Encode(); err == nil {
		t.Error("a proof of any size is written")
	}
}

// Every name has its own words.
func TestWords(t *testing.T) {
	said := map[string]bool{}
	for _, n := range []FindingName{
		FoundReplayed, FoundDropped, FoundTail, FoundEvents, FoundThumbnail, FoundFork, FoundRollBack, FoundSilent, FoundMisrouted,
	} {
		if w := n.Words(); w == string(n) || said[w] || !strings.HasSuffix(w, ".") {
			t.Errorf("%s: %q", n, w)
		}
		said[n.Words()] = true
	}
}

// What is written as heads is read, and nothing else is.
func TestHeads(t *testing.T) {
	m := MemberHeads{Owner: seal.ID{1}, Made: time.UnixMilli(5), Envelopes: [][]byte{{1, 2}, {3}}}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseHeads(b); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	id := seal.ID{1}.String()
	long := strings.Repeat(`"AA",`, MaxHeads)
	for _, text := range []string{
		"", "{}", `{"lensward":"heads/2","owner":"` + id + `","heads":[]}`, `{"lensward":"heads/1","heads":[]}`,
		`{"lensward":"heads/1","owner":"` + id + `","heads":["!"]}`, `{"lensward":"heads/1","owner":"` + id + `","heads":["` + strings.Repeat("A", 3000) + `"]}`,
		`{"lensward":"heads/1","owner":"` + id + `","heads":[` + long + `"AA"]}`, `{"lensward":"heads/1","owner":"` + id + `","made":-1}`,
		string(b) + "x", strings.Repeat(" ", MaxHeadsFile) + "{}",
	} {
		if _, err := ParseHeads([]byte(text)); err == nil {
			t.Errorf("%.80q was read", text)
		}
	}
	if _, err := New(Options{HubURL: "http://127.0.0.1:1", Keys: newPerson(t).keys(), State: &MemoryState{}, Heads: []MemberHeads{m}}); err == nil || !strings.Contains(err.Error(), "the heads are those of owner") {
		t.Errorf("another owner's heads: %v", err)
	}
}

// Whatever a file of heads is, reading it ends with an error or with what can be written
// again.
func FuzzHeads(f *testing.F) {
	id := seal.ID{1}.String()
	f.Add([]byte(`{"lensward":"heads/1","owner":"` + id + `","made":5,"heads":["AQI","Aw"]}`))
	f.Add([]byte(`{"lensward":"heads/1","owner":"` + id + `","made":1e30,"heads":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseHeads(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseHeads(again)
		if err != nil || back.Owner != m.Owner || !back.Made.Equal(m.Made) || len(back.Envelopes) != len(m.Envelopes) {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
		for i := range m.Envelopes {
			if !bytes.Equal(m.Envelopes[i], back.Envelopes[i]) {
				t.Fatalf("envelope %s changed", base64.RawURLEncoding.EncodeToString(m.Envelopes[i]))
			}
		}
	})
}

// What a run has left of it after what was known is cut out.
func TestWithout(t *testing.T) {
	type runs = [][2]uint64
	for _, c := range []struct {
		from, to, through uint64
		holes, want       runs
	}{
		{5, 9, 20, nil, runs{{5, 9}}},
		{5, 9, 7, nil, runs{{5, 7}}},
		{5, 9, 4, nil, nil},
		{5, 9, 20, runs{{1, 4}, {6, 7}}, runs{{5, 5}, {8, 9}}},
		{5, 9, 20, runs{{5, 9}}, nil},
		{5, 9, 20, runs{{2, 6}, {9, 12}}, runs{{7, 8}}},
		{5, 9, 8, runs{{8, 8}}, runs{{5, 7}}},
	} {
		var got runs
		for _, m := range without(seal.Missing{From: c.from, To: c.to}, &Head{Through: c.through, Holes: c.holes}) {
			got = append(got, [2]uint64{m.From, m.To})
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d to %d without %v up to %d: %v, want %v", c.from, c.to, c.holes, c.through, got, c.want)
		}
	}
}

// Holes are noted beyond what is known; what was there once is never one.
func TestMissingNow(t *testing.T) {
	h := Head{Device: seal.ID{1}, Epoch: 1, Chain: 1, Seq: 30, Through: 20, Holes: [][2]uint64{{3, 5}, {10, 12}}}
	miss := func(from, to uint64, dropped bool) seal.Missing {
		return seal.Missing{Device: h.Device, Epoch: 1, Chain: 1, From: from, To: to, Dropped: dropped}
	}
	got := h.missingNow([]seal.Missing{
		miss(2, 4, false), miss(11, 11, true), miss(12, 15, false), miss(19, 22, false), miss(25, 25, false), miss(29, 40, false),
		{Device: seal.ID{2}, Epoch: 1, Chain: 1, From: 26, To: 27},
	})
	if want := [][2]uint64{{3, 4}, {12, 12}, {21, 22}, {25, 25}, {29, 30}}; !reflect.DeepEqual(got, want) {
		t.Errorf("holes %v, want %v", got, want)
	}
}
