package viewer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// maxFindings bounds how many findings are told and kept; after that they are
	// counted no more.
	maxFindings = 10_000
	// maxProof bounds a finding's file, in bytes.
	maxProof = 512 << 10
)

// FindingName says in one word what a courier was caught at. The words are those
// of docs/ref/findings.md, and part of the format.
type FindingName string

// Every finding.
const (
	FoundReplayed  FindingName = "replayed"          // an item as if it were another, newer one
	FoundDropped   FindingName = "dropped-middle"    // an item is kept back that the hub has to have
	FoundTail      FindingName = "withheld-tail"     // the newest items are kept back
	FoundEvents    FindingName = "swapped-events"    // another item of the owner's than the one asked for
	FoundThumbnail FindingName = "swapped-thumbnail" // a picture for a clip of another event, or the reverse
	FoundFork      FindingName = "fork"              // two histories of one camera
	FoundRollBack  FindingName = "rolled-back"       // an older record or statement than was given before
	FoundSilent    FindingName = "silent"            // online by the hub's word, and nothing comes
	FoundMisrouted FindingName = "misrouted"         // somebody else's item
)

// Words is the finding in one sentence for a person.
func (n FindingName) Words() string {
	switch n {
	case FoundReplayed:
		return "The hub showed an old recording again as if it were a new one."
	case FoundDropped:
		return "The hub does not give recordings that your camera delivered."
	case FoundTail:
		return "The hub does not give the newest recordings, which are known to exist."
	case FoundEvents:
		return "The hub gave a recording of another event than the one asked for."
	case FoundThumbnail:
		return "The hub gave a picture and a recording that do not belong together."
	case FoundFork:
		return "There are two histories of your camera that contradict one another: its memory was copied, or somebody else has its key."
	case FoundRollBack:
		return "The hub goes back to an older list of who may see your cameras than the one that it gave before."
	case FoundSilent:
		return "The hub says that your camera is connected, but nothing has come from it for more than a quarter of an hour."
	case FoundMisrouted:
		return "The hub gave you a recording that is not yours."
	}
	return string(n)
}

// Finding is something that a courier, or whoever has a camera's key, was caught at.
type Finding struct {
	// At is when it was found, by this machine's clock.
	At   time.Time
	Name FindingName
	// Device, Epoch, Chain, From and To are the place, as docs/ref/findings.md says for
	// each name. From and To are sequence numbers, a revision or a serial.
	Device       seal.ID
	Epoch, Chain uint64
	From, To     uint64
	// Detail is for a person who looks into it.
	Detail string
	// Proof is what was signed.
	Proof []Evidence
}

// Evidence is one signed thing of a proof.
type Evidence struct {
	// What says which: "answer", "asked", "before", "after", "checkpoint", "head",
	// "record", "other-record", "statement" or "other-statement".
	What string
	// Bytes are as they came: an envelope, a whole item or a record.
	Bytes []byte
}

// at sets the place to one item's.
func (f Finding) at(r seal.Ref) Finding {
	f.Device, f.Epoch, f.Chain, f.From, f.To = r.Device, r.Epoch, r.Chain, r.Seq, r.Seq
	return f
}

// with adds evidence, unless there are no bytes.
func (f Finding) with(what string, b []byte) Finding {
	if len(b) > 0 {
		f.Proof = append(slices.Clone(f.Proof), Evidence{what, slices.Clone(b)})
	}
	return f
}

// Hash names a finding: the same one, found twice, has one hash. It covers name,
// place and proof, not the time and the detail.
func (f Finding) Hash() seal.Hash {
	h := sha256.New()
	fmt.Fprintf(h, "lensward/finding/1\n%s\n%s\n%d\n%d\n%d\n%d\n", f.Name, f.Device, f.Epoch, f.Chain, f.From, f.To)
	for _, e := range f.Proof {
		fmt.Fprintf(h, "%s %d\n", e.What, len(e.Bytes))
		h.Write(e.Bytes)
	}
	return seal.Hash(h.Sum(nil))
}

// FileName is what the finding's file is called.
func (f Finding) FileName() string {
	h := f.Hash()
	return fmt.Sprintf("%s-%s.json", f.Name, hex.EncodeToString(h[:8]))
}

// findingFile is the form of docs/ref/findings.md, "The proof".
type findingFile struct {
	Label  string         `json:"lensward"`
	Name   FindingName    `json:"name"`
	At     int64          `json:"at"`
	Device *seal.ID       `json:"device,omitempty"`
	Epoch  uint64         `json:"epoch"`
	Chain  uint64         `json:"chain"`
	From   uint64         `json:"from"`
	To     uint64         `json:"to"`
	Detail string         `json:"detail"`
	Proof  []evidenceFile `json:"proof"`
}

type evidenceFile struct {
	What  string `json:"what"`
	Bytes string `json:"bytes"`
}

// Encode writes the finding with its proof, as JSON of at most 512 KiB.
func (f Finding) Encode() ([]byte, error) {
	out := findingFile{
		Label: "finding/1", Name: f.Name, At: f.At.UnixMilli(), Epoch: f.Epoch, Chain: f.Chain,
		From: f.From, To: f.To, Detail: f.Detail, Proof: []evidenceFile{},
	}
	if !f.Device.IsZero() {
		out.Device = &f.Device
	}
	for _, e := range f.Proof {
		out.Proof = append(out.Proof, evidenceFile{e.What, base64.RawURLEncoding.EncodeToString(e.Bytes)})
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode finding %s: %w", f.Name, err)
	}
	if len(b) > maxProof {
		return nil, fmt.Errorf("encode finding %s: %d bytes, at most %d", f.Name, len(b), maxProof)
	}
	return append(b, '\n'), nil
}

// chain is the finding's chain, as a place with number 0.
func (f Finding) chain() seal.Ref { return seal.Ref{Device: f.Device, Epoch: f.Epoch, Chain: f.Chain} }

// find tells a finding, once. A fork is told once for each chain.
func (v *Viewer) find(f Finding) {
	f.At = time.Now()
	key := f.Hash()
	if v.found[key] || len(v.found) >= maxFindings || f.Name == FoundFork && v.forked[f.chain()] {
		return
	}
	v.found[key] = true
	if f.Name == FoundFork {
		v.forked[f.chain()] = true
	}
	v.log.Warn("finding", "name", string(f.Name), "device", f.Device.Short(), "detail", f.Detail)
	v.emit(f)
}

// judge names what a withheld answer is a finding of, if it is one.
func (v *Viewer) judge(w Withheld, it *seal.Item) {
	if it == nil {
		return
	}
	h := it.Header
	f := Finding{Detail: w.Detail}.at(h.Ref())
	switch {
	case w.Misrouted != "":
		f.Name = FoundMisrouted
	case w.Reason == seal.ReasonReplayed:
		f.Name = FoundReplayed
	case w.Reason == seal.ReasonFork, w.Reason == seal.ReasonBrokenChain:
		f.Name = FoundFork
		f = f.with("asked", v.contradicted(h))
	case w.Reason == seal.ReasonNotAskedFor && w.Asked != nil && *w.Asked == h.Ref():
		f.Name = FoundFork
		f = f.with("asked", v.kept.envelope(*w.Asked))
	case w.Reason == seal.ReasonNotAskedFor && w.Asked != nil:
		asked := v.kept.envelope(*w.Asked)
		f = f.at(*w.Asked).with("asked", asked)
		f.Name = swapped(asked, h)
	default:
		return
	}
	v.find(f.with("answer", it.Envelope))
}

// swapped says which of the two swaps it is to answer with got. asked may be nil.
func swapped(asked []byte, got seal.Header) FindingName {
	want := seal.Header{Kind: seal.KindClip}
	if it, err := seal.ParseEnvelope(asked); err == nil {
		want = it.Header
	}
	a, b := want.Kind == seal.KindThumbnail, got.Kind == seal.KindThumbnail
	if a != b || a && want.Event != got.Event {
		return FoundThumbnail
	}
	return FoundEvents
}

// contradicted is the envelope that an item cannot be of one history with: the one
// in its place, before it or after it. nil if it is not kept.
func (v *Viewer) contradicted(h seal.Header) []byte {
	here, before, after := h.Ref(), h.Ref(), h.Ref()
	before.Seq--
	after.Seq++
	if e, ok := v.expected[here]; ok {
		return e.Envelope
	}
	if _, _, ok := v.audit.At(here); ok {
		return v.kept.envelope(here)
	}
	if e, ok := v.expected[before]; ok && e.Hash != h.Prev {
		return e.Envelope
	}
	if hash, _, ok := v.audit.At(before); ok && hash != h.Prev {
		return v.kept.envelope(before)
	}
	return v.kept.envelope(after)
}
