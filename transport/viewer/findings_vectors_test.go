package viewer

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/vectortest"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const findingsDir = "testdata/findings"

// findingVector is one file. Its README says what is in it.
type findingVector struct {
	Name     string  `json:"name"`
	About    string  `json:"about"`
	Owner    seal.ID `json:"owner"`
	Identity string  `json:"identity"`
	Visits   []visit `json:"visits"`
}

// visit is what a hub answers while a viewer looks once, and what is found then.
type visit struct {
	At         int64             `json:"at"`
	Retention  int64             `json:"retention,omitempty"`
	Records    []string          `json:"records"`
	Statements []string          `json:"statements,omitempty"`
	Devices    []deviceWord      `json:"devices"`
	Rows       []row             `json:"rows"`
	Items      map[string]string `json:"items"`
	Heads      *headsFile        `json:"heads,omitempty"`
	Find       []found           `json:"find"`
}

// found is a finding's name and place.
type found struct {
	Name   FindingName `json:"name"`
	Device *seal.ID    `json:"device,omitempty"`
	Epoch  uint64      `json:"epoch"`
	Chain  uint64      `json:"chain"`
	From   uint64      `json:"from"`
	To     uint64      `json:"to"`
}

func foundOf(f Finding) found {
	out := found{Name: f.Name, Epoch: f.Epoch, Chain: f.Chain, From: f.From, To: f.To}
	if !f.Device.IsZero() {
		out.Device = &f.Device
	}
	return out
}

func (f found) String() string {
	id := "-"
	if f.Device != nil {
		id = f.Device.Short()
	}
	return fmt.Sprintf("%s %s %d %d %d..%d", f.Name, id, f.Epoch, f.Chain, f.From, f.To)
}

func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// serve answers as the visit says; what it does not say is left to the fake hub.
func (s *visit) serve(t testing.TB, w http.ResponseWriter, r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/api/v1/hub":
		answer(w, map[string]any{"name": "vector", "version": "1", "id": seal.KeyID([]byte("a hub's key")), "retention": s.Retention})
	case path == "/api/v1/records":
		answer(w, map[string]any{"records": s.Records})
	case path == "/api/v1/devices":
		words := slices.Clone(s.Devices)
		for i := range words {
			if words[i].Seen < 0 {
				words[i].Seen = time.Now().Unix()
			}
		}
		answer(w, map[string]any{"devices": words})
	case path == "/api/v1/household":
		rest := s.Statements
		if after, err := strconv.Atoi(r.URL.Query().Get("after")); err == nil { // statement n stands at n-1
			rest = rest[min(after, len(rest)):]
		}
		answer(w, map[string]any{"statements": rest})
	case path == "/api/v1/timeline":
		after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			t.Error(err)
		}
		rows, next := []row{}, after
		for _, x := range s.Rows {
			if x.Cursor > after && len(rows) < limit {
				rows, next = append(rows, x), x.Cursor
			}
		}
		answer(w, map[string]any{"items": rows, "next": next})
	case strings.HasPrefix(path, "/api/v1/items/"):
		text, ok := s.Items[strings.TrimPrefix(path, "/api/v1/items/")]
		b, err := base64.RawURLEncoding.DecodeString(text)
		if !ok || err != nil {
			refuse(w, http.StatusNotFound, "no such item")
			return true
		}
		w.Write(b) //nolint:errcheck // the viewer may have left
	default:
		return false
	}
	return true
}

// play has a viewer visit the hub of a vector, and gives what it finds at each visit.
func (vec findingVector) play(t *testing.T) [][]found {
	identity, err := age.ParseX25519Identity(vec.Identity)
	if err != nil {
		t.Fatal(err)
	}
	signer, _ := newKey(t) // the hub of a vector lets everybody in
	state := &MemoryState{}
	var all [][]found
	for i := range vec.Visits {
		s := &vec.Visits[i]
		time.Sleep(time.Until(time.UnixMilli(s.At)))
		hub := newFakeHub(t)
		hub.lieAnswer = func(w http.ResponseWriter, r *http.Request) bool { return s.serve(t, w, r) }
		o := Options{
			HubURL: "http://127.0.0.1:1", HTTPClient: &http.Client{Transport: direct{hub}}, State: state,
			Keys: Keys{Owner: vec.Owner, Signer: signer, Identities: []age.Identity{identity}},
		}
		if s.Heads != nil {
			b, err := json.Marshal(s.Heads)
			if err != nil {
				t.Fatal(err)
			}
			m, err := ParseHeads(b)
			if err != nil {
				t.Fatal(err)
			}
			o.Heads = []MemberHeads{m}
		}
		v, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.SyncOnce(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		out := []found{}
		for _, f := range v.Findings() {
			out = append(out, foundOf(f))
		}
		slices.SortFunc(out, func(a, b found) int { return cmp.Compare(a.String(), b.String()) })
		all = append(all, out)
	}
	return all
}

// The vectors say what is found, and what is not.
func TestFindingVectors(t *testing.T) {
	if *update {
		synctest.Test(t, makeFindingVectors)
	}
	count := map[FindingName]int{}
	for _, vec := range vectortest.Read[findingVector](t, findingsDir) {
		t.Run(vec.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i, got := range vec.play(t) {
					want := vec.Visits[i].Find
					if len(got) != len(want) {
						t.Errorf("visit %d: found %v, want %v", i+1, got, want)
						continue
					}
					for k := range got {
						if got[k].String() != want[k].String() {
							t.Errorf("visit %d: found %v, want %v", i+1, got[k], want[k])
						}
						count[got[k].Name]++
					}
				}
			})
		})
	}
	names := slices.Sorted(maps.Keys(count))
	if len(names) != 9 {
		t.Errorf("the vectors have findings %v, not all nine", names)
	}
	t.Logf("findings in the vectors: %v", count)
}
