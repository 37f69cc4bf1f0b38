package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const vectorDir = "testdata/vectors"

// vector is one file: items that a viewer is given in turn, and what it must
// say of the last one.
type vector struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Items are the bytes, base64url; all but the last are good.
	Items []string `json:"items"`
	// Pad is how many zero bytes to append to the last item.
	Pad int `json:"pad,omitempty"`
	// EnvelopeOnly says that the items are envelopes, as in a time line.
	EnvelopeOnly bool `json:"envelope_only,omitempty"`
	// Asked is the place that the last item was asked for, if it was.
	Asked string `json:"asked,omitempty"`
	// Policy is what the viewer knows.
	Policy vectorPolicy `json:"policy"`
	// Expect is "ok" or the reason.
	Expect string `json:"expect"`
	// FlipEach gives, for every byte of the last item, the reason when that byte is
	// XORed with 1; "" means that nothing may be wrong but the vector says so.
	FlipEach []string `json:"flip_each,omitempty"`
	// Header is what a good last item says.
	Header map[string]any `json:"header,omitempty"`
	// PlainSHA256 is of a good last item's plaintext.
	PlainSHA256 string `json:"plain_sha256,omitempty"`
	// Missing is what the audit reports after all items.
	Missing []vectorMissing `json:"missing,omitempty"`
}

type vectorPolicy struct {
	Owner   string                       `json:"owner"`
	Cameras map[string]map[string]uint64 `json:"cameras"`
}

type vectorMissing struct {
	Chain   uint64 `json:"chain"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Dropped bool   `json:"dropped"`
	Reason  string `json:"reason"`
}

// vectorKeys is keys.json.
type vectorKeys struct {
	Identities []string `json:"identities"`
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	ids := readIdentities(t)
	good, bad := 0, 0
	for _, v := range readVectors(t) {
		if v.Expect == "ok" {
			good++
		} else {
			bad++
		}
		t.Run(v.Name, func(t *testing.T) { runVector(t, v, ids) })
	}
	if good < 15 || bad < 40 {
		t.Errorf("%d good and %d bad vectors, want at least 15 and 40", good, bad)
	}
}

func runVector(t *testing.T, v vector, ids []age.Identity) {
	j := newJudge(t, v, ids)
	items := v.items(t)
	for i, b := range items[:len(items)-1] {
		if err := j.judge(b, ""); err != nil {
			t.Fatalf("item %d of the run-up: %v", i, err)
		}
	}
	last := items[len(items)-1]
	if len(v.FlipEach) > 0 {
		j.flipEach(t, last, v.FlipEach)
		return
	}
	err := j.judge(last, v.Asked)
	if got := outcome(err); got != v.Expect {
		t.Fatalf("got %q (%v), want %q", got, err, v.Expect)
	}
	if v.Expect == "ok" {
		j.checkGood(t, v)
	}
	if got := j.missing(); !slices.Equal(got, v.Missing) {
		t.Errorf("missing %+v, want %+v", got, v.Missing)
	}
}

// outcome is a vector's word for an error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return string(seal.ReasonOf(err))
}

// judge is a viewer in small: the verification order of the specification.
type judge struct {
	policy   seal.Policy
	audit    *seal.Audit
	ids      []age.Identity
	envelope bool
	last     *seal.Item
	plain    []byte
}

func newJudge(t testing.TB, v vector, ids []age.Identity) *judge {
	t.Helper()
	j := &judge{audit: seal.NewAudit(), ids: ids, envelope: v.EnvelopeOnly}
	must(t, j.policy.Owner.UnmarshalText([]byte(v.Policy.Owner)))
	j.policy.Cameras = make(map[seal.ID]seal.Camera)
	for id, records := range v.Policy.Cameras {
		cam := seal.Camera{Records: make(map[seal.Hash]uint64)}
		for h, epoch := range records {
			var hash seal.Hash
			must(t, hash.UnmarshalText([]byte(h)))
			cam.Records[hash] = epoch
		}
		device, err := seal.ParseID(id)
		must(t, err)
		j.policy.Cameras[device] = cam
	}
	return j
}

func (j *judge) judge(b []byte, asked string) error {
	it, err := j.verify(b)
	if err != nil {
		return err
	}
	if asked != "" && it.Header.Ref().String() != asked {
		return &seal.Error{Reason: seal.ReasonNotAskedFor}
	}
	if err := j.policy.Check(it.Header); err != nil {
		return err
	}
	if err := j.audit.Add(it.Header, it.Hash()); err != nil {
		return err
	}
	j.last = it
	if j.envelope {
		return nil
	}
	if j.plain, err = it.Open(j.ids...); err != nil {
		return err
	}
	if it.Header.Kind != seal.KindGap {
		return nil
	}
	gap, err := seal.ParseGap(j.plain)
	if err != nil {
		return err
	}
	return j.audit.Explain(it.Header, gap)
}

func (j *judge) verify(b []byte) (*seal.Item, error) {
	if j.envelope {
		it, err := seal.ParseEnvelope(b)
		if err != nil {
			return nil, err
		}
		return it, it.VerifyEnvelope()
	}
	it, err := seal.Parse(b)
	if err != nil {
		return nil, err
	}
	return it, it.Verify()
}

// flipEach judges the item once for every byte, that byte changed.
func (j *judge) flipEach(t testing.TB, item []byte, want []string) {
	t.Helper()
	if len(want) != len(item) {
		t.Fatalf("%d reasons for %d bytes", len(want), len(item))
	}
	for i := range item {
		b := bytes.Clone(item)
		b[i] ^= 1
		fresh := &judge{policy: j.policy, audit: seal.NewAudit(), ids: j.ids, envelope: j.envelope}
		got := outcome(fresh.judge(b, ""))
		if got != want[i] || got == "ok" {
			t.Errorf("byte %d flipped: got %q, want %q", i, got, want[i])
		}
	}
}

func (j *judge) checkGood(t testing.TB, v vector) {
	t.Helper()
	got, err := json.Marshal(headerJSON(j.last.Header))
	must(t, err)
	want, err := json.Marshal(v.Header)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("header %s, want %s", got, want)
	}
	if v.EnvelopeOnly {
		return
	}
	sum := seal.Hash(sha256.Sum256(j.plain))
	if sum.String() != v.PlainSHA256 {
		t.Errorf("plaintext hash %s, want %s", sum, v.PlainSHA256)
	}
}

func (j *judge) missing() []vectorMissing {
	var out []vectorMissing
	for _, m := range j.audit.Missing() {
		out = append(out, vectorMissing{m.Chain, m.From, m.To, m.Dropped, m.Reason})
	}
	return out
}

// headerJSON is a header as the vectors spell it. Numbers are float64 as JSON's are.
func headerJSON(h seal.Header) map[string]any {
	return map[string]any{
		"kind": h.Kind.String(), "device": h.Device.String(), "owner": h.Owner.String(),
		"epoch": float64(h.Epoch), "record": h.Record.String(), "boot": float64(h.Boot),
		"chain": float64(h.Chain), "seq": float64(h.Seq), "prev": h.Prev.String(),
		"event": h.Event.String(), "part": float64(h.Part), "last": h.Last,
		"captured": float64(h.Captured.UnixMilli()), "clock": h.Clock.String(),
		"media_type": h.MediaType, "firmware": h.Firmware, "protection": h.Protection.String(),
		"body_size": float64(h.BodySize), "body_hash": h.BodyHash.String(),
	}
}

func (v vector) items(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	for _, s := range v.Items {
		b, err := base64.RawURLEncoding.DecodeString(s)
		must(t, err)
		out = append(out, b)
	}
	last := len(out) - 1
	out[last] = append(out[last], make([]byte, v.Pad)...)
	return out
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	must(t, err)
	var out []vector
	for _, name := range names {
		if filepath.Base(name) == "keys.json" {
			continue
		}
		var v vector
		readJSON(t, name, &v)
		if v.Name != strings.TrimSuffix(filepath.Base(name), ".json") {
			t.Errorf("%s: is named %q inside", name, v.Name)
		}
		out = append(out, v)
	}
	return out
}

// readSeeds is every vector's last item, for a fuzz test to begin with.
func readSeeds(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	for _, v := range readVectors(t) {
		if items := v.items(t); len(items[len(items)-1]) < 1<<16 {
			out = append(out, items[len(items)-1])
		}
	}
	return out
}

func readIdentities(t testing.TB) []age.Identity {
	t.Helper()
	var keys vectorKeys
	readJSON(t, filepath.Join(vectorDir, "keys.json"), &keys)
	ids, err := age.ParseIdentities(strings.NewReader(strings.Join(keys.Identities, "\n")))
	must(t, err)
	return ids
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	must(t, json.Unmarshal(b, v))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
