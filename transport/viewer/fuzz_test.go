package viewer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// What a hub answers is either read within its rules or refused.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"items":[{"cursor":1,"envelope":"AAAA"},{"cursor":9007199254740991,"envelope":"_-"}],"next":9}`,
		`{"items":[{"cursor":2},{"cursor":2}],"next":2}`, `{"items":null,"next":0}`, `{"next":1e3}`, `[]`, `{`, ``,
		`{"records":["AA","!",""]}`, `{"records":[1]}`, `{"devices":[{"id":"` + strings.Repeat("a", 52) + `","online":true,"seen":5}]}`,
		`{"nonce":"` + strings.Repeat("A", 43) + `"}`, `{"id":"` + strings.Repeat("a", 52) + `"}`, `{"token":"t"}`, `{"token":"a b"}`,
		`{"error":"no\u001b[2J","hint":"yes"}`, `{"error":"` + strings.Repeat("é", 400) + `"}`, `{"items":[],"next":0} x`,
	} {
		f.Add([]byte(s), uint64(0))
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, after uint64) {
		after %= statement.MaxInt
		const limit = 3
		if rows, next, err := parseTimeline(b, after, limit); err == nil {
			last := after
			for _, r := range rows {
				if r.Cursor <= last || r.Cursor > statement.MaxInt {
					t.Errorf("cursor %d after %d", r.Cursor, last)
				}
				last = r.Cursor
				if e, err := r.envelope(); err == nil && len(e) > seal.MaxEnvelope {
					t.Errorf("envelope of %d bytes", len(e))
				}
			}
			if len(rows) > limit || next > statement.MaxInt {
				t.Errorf("%d rows, next %d", len(rows), next)
			}
		}
		if records, err := parseRecords(b); err == nil && len(records) > len(b) {
			t.Errorf("%d records in %d bytes", len(records), len(b))
		}
		if id, d, err := parseHub(b); err == nil && (id.IsZero() || d < 0) {
			t.Errorf("hub %s with a retention of %v", id, d)
		}
		if tok, err := parseSession(b); err == nil && (tok == "" || strings.ContainsAny(string(tok), "\r\n ")) {
			t.Errorf("token %q", string(tok))
		}
		for _, r := range parseError(b) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q would reach a terminal", r)
			}
		}
		if _, err := parseChallenge(b); err == nil && len(b) < 43 {
			t.Error("a challenge out of nothing")
		}
		if d, err := parseDevices(b); err == nil && len(d) > len(b) {
			t.Errorf("%d devices in %d bytes", len(d), len(b))
		}
	})
}

// Pins that are read are written back as the same pins.
func FuzzPins(f *testing.F) {
	id := strings.Repeat("a", 52)
	f.Add([]byte(`{"version":1,"owner":"` + id + `","hub":"` + id + `","records":[{"device":"` + id[1:] + `q","epoch":1,"revision":1,"hash":"` + strings.Repeat("1f", 32) + `"}],"heads":[]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2,"records":[{"device":"` + id[1:] + `q","epoch":1,"revision":1,"hash":"` + strings.Repeat("1f", 32) + `","given":true}],"heads":[{"device":"` + id[1:] + `q","epoch":1,"chain":1,"seq":9,"hash":"` + strings.Repeat("1f", 32) + `","envelope":"AAAA","through":9,"holes":[[2,3],[5,5]]}],"household":{"serial":2,"hash":"` + strings.Repeat("1f", 32) + `"}}`))
	f.Add([]byte(`{"version":2,"heads":[{"device":"` + id[1:] + `q","epoch":1,"chain":1,"seq":9,"envelope":"","holes":[]}]}`))
	f.Add([]byte(`{"version":1,"heads":[{"epoch":0}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePins(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(pinsFile{Version: pinsVersion, Pins: p})
		if err != nil {
			t.Fatal(err)
		}
		if q, err := parsePins(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%+v became %+v, %v", p, q, err)
		}
	})
}

// vectors are the items of the sealed item's test vectors: fixed bytes, so that
// a seed means the same in every process of a fuzzing run.
type vectors struct {
	policy     seal.Policy
	identities []age.Identity
	genuine    *seal.Item         // what is asked for
	items      [][]byte           // all of them, good and bad
	made       map[seal.Hash]bool // the headers in them: nobody can make another
}

func readVectors(f *testing.F) vectors {
	f.Helper()
	const dir = "../seal/testdata/vectors/"
	v := vectors{made: map[seal.Hash]bool{}}
	var keys struct{ Identities []string }
	readJSON(f, dir+"keys.json", &keys)
	for _, text := range keys.Identities {
		ids, err := age.ParseIdentities(strings.NewReader(text))
		if err != nil {
			f.Fatal(err)
		}
		v.identities = append(v.identities, ids...)
	}
	names, err := filepath.Glob(dir + "*-*.json")
	if err != nil || len(names) == 0 {
		f.Fatalf("no test vectors: %v", err)
	}
	for _, name := range names {
		var vec struct {
			Items  []string
			Policy struct {
				Owner   seal.ID
				Cameras map[seal.ID]map[seal.Hash]uint64
			}
		}
		readJSON(f, name, &vec)
		for _, text := range vec.Items {
			b, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				f.Fatal(err)
			}
			v.items = append(v.items, b)
			if it, err := seal.ParseEnvelope(envelopeOf(b)); err == nil {
				v.made[it.Hash()] = true
			}
		}
		if filepath.Base(name) == "good-thumbnail.json" {
			v.policy = seal.Policy{Owner: vec.Policy.Owner, Cameras: map[seal.ID]seal.Camera{}}
			for id, records := range vec.Policy.Cameras {
				v.policy.Cameras[id] = seal.Camera{Records: records}
			}
			if v.genuine, err = seal.Parse(v.items[len(v.items)-1]); err != nil {
				f.Fatal(err)
			}
		}
	}
	return v
}

// envelopeOf is the envelope at the front of an item, or all of what is none.
func envelopeOf(b []byte) []byte {
	if it, err := seal.Parse(b); err == nil {
		return it.Envelope
	}
	return b
}

func readJSON(f *testing.F, name string, v any) {
	f.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		f.Fatalf("%s: %v", name, err)
	}
}

// Whatever stands in a row or comes for an item: what is changed passes for
// nothing, and only the item that was asked for is taken for it.
func FuzzItems(f *testing.F) {
	vec := readVectors(f)
	for _, b := range vec.items {
		f.Add(b)
		f.Add(envelopeOf(b))
		f.Add(append(bytes.Clone(envelopeOf(b)), vec.genuine.Body...))
	}
	root, _ := newKey(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := New(Options{
			HubURL: "http://127.0.0.1:1", State: &MemoryState{},
			Keys: Keys{Owner: vec.policy.Owner, Signer: root, Identities: vec.identities},
		})
		if err != nil {
			t.Fatal(err)
		}
		v.policy = vec.policy
		for id := range vec.policy.Cameras {
			v.witness.devices[id] = true
		}
		v.emit = func(e Event) {
			v.account.note(e)
			if o, ok := e.(Opened); ok && !vec.made[o.Hash] {
				t.Errorf("opened %s, which nobody made", o.Header.Ref())
			}
		}
		asked := job{kind: jobItem, ref: vec.genuine.Header.Ref(), listed: true, hash: vec.genuine.Hash()}
		_, err = v.takeBody(b, asked)
		if same := bytes.Equal(b, vec.genuine.Bytes()); same != (err == nil) {
			t.Errorf("the item that was asked for: %v, taken: %v", same, err == nil)
		}
		v.takeRow(row{Cursor: 1, Envelope: base64.RawURLEncoding.EncodeToString(b)})
		for _, j := range v.jobs {
			if j.kind == jobItem && !vec.made[j.hash] {
				t.Errorf("a row promised %s, which nobody made", j.ref)
			}
		}
		if v.Summary().WronglyShown != 0 {
			t.Error("the witness saw something wrong")
		}
	})
}
