package viewer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// person is an owner with keys.
type person struct {
	t        testing.TB
	key      *ecdsa.PrivateKey
	spki     []byte
	id       seal.ID
	identity *age.X25519Identity
}

func newKey(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, spki
}

func newPerson(t testing.TB) *person {
	t.Helper()
	key, spki := newKey(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, key: key, spki: spki, id: seal.KeyID(spki), identity: identity}
}

// keys are the person's, signing in with the root key.
func (p *person) keys() Keys {
	return Keys{Owner: p.id, Signer: p.key, Identities: []age.Identity{p.identity}}
}

// camera is a paired device and its chain.
type camera struct {
	t      testing.TB
	owner  *person
	key    *ecdsa.PrivateKey
	spki   []byte
	id     seal.ID
	latest *ownership.Ownership
	sealer *seal.Sealer
	seq    uint64
	prev   seal.Hash
	events uint64
}

func newCamera(t testing.TB, owner *person) *camera {
	t.Helper()
	key, spki := newKey(t)
	c := &camera{t: t, owner: owner, key: key, spki: spki, id: seal.KeyID(spki)}
	c.adopt(c.record(owner, 1, 1, seal.Hash{}))
	c.prev = c.latest.Hash()
	return c
}

// record makes an ownership record with both signatures, without adopting it.
func (c *camera) record(owner *person, epoch, revision uint64, previous seal.Hash) *ownership.Ownership {
	c.t.Helper()
	s, err := ownership.Sign(owner.key, ownership.Record{
		Device: c.id, DeviceKey: c.spki, Owner: owner.id, OwnerKey: owner.spki,
		Epoch: epoch, Revision: revision, Previous: previous, Acquired: ownership.AcquiredPaired, Created: time.Now(),
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: owner.identity.Recipient().String()}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	o, err := s.Accept(c.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Now(), Firmware: "1.0"})
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// revise makes and adopts the next revision.
func (c *camera) revise() *ownership.Ownership {
	c.t.Helper()
	r := c.latest.Record
	o := c.record(c.owner, r.Epoch, r.Revision+1, c.latest.Hash())
	c.adopt(o)
	return o
}

func (c *camera) adopt(o *ownership.Ownership) {
	c.t.Helper()
	binding, err := o.Binding()
	if err != nil {
		c.t.Fatal(err)
	}
	sealer, err := seal.NewSealer(seal.Device{Key: c.key, Protection: seal.ProtectionFile, Firmware: "1.0", Boot: 1}, binding)
	if err != nil {
		c.t.Fatal(err)
	}
	c.latest, c.sealer = o, sealer
}

// say seals an item into the next link of the camera's chain.
func (c *camera) say(kind seal.Kind, body []byte, change ...func(*seal.Draft)) *seal.Item {
	c.t.Helper()
	d := seal.Draft{
		Kind: kind, Captured: time.Now(), Clock: seal.ClockNetwork, MediaType: kind.MediaType(), Body: body,
	}
	if kind == seal.KindThumbnail {
		c.events++
	}
	if kind <= seal.KindEvent {
		c.events = max(c.events, 1)
		binary.BigEndian.PutUint64(d.Event[8:], c.events)
	}
	for _, f := range change {
		f(&d)
	}
	it, err := c.sealer.Seal(d, seal.Link{Chain: 1, Seq: c.seq + 1, Prev: c.prev})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seq++
	c.prev = it.Hash()
	return it
}

// sayJSON is say for the kinds whose body is JSON.
func (c *camera) sayJSON(kind seal.Kind, body any) *seal.Item {
	c.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.say(kind, b)
}

// visit is one event: a thumbnail, two clip parts, and the record of it.
func (c *camera) visit() []*seal.Item {
	return []*seal.Item{
		c.say(seal.KindThumbnail, []byte("jpeg of "+c.id.Short())),
		c.say(seal.KindClip, []byte("part 0 of "+c.id.Short())),
		c.say(seal.KindClip, []byte("part 1 of "+c.id.Short()), func(d *seal.Draft) { d.Part, d.Last = 1, true }),
		c.sayJSON(seal.KindEvent, seal.Event{Start: 1, End: 2, Score: 0.5, Parts: 2}),
	}
}

// look makes a viewer of the hub. Change may alter its options.
func (p *person) look(hub *fakeHub, change ...func(*Options)) *Viewer {
	p.t.Helper()
	o := Options{
		HubURL: "http://127.0.0.1:1", HTTPClient: &http.Client{Transport: direct{hub}},
		Keys: p.keys(), State: &MemoryState{},
	}
	for _, f := range change {
		f(&o)
	}
	v, err := New(o)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// diary collects what a viewer tells.
type diary struct {
	opened      []Opened
	withheld    []Withheld
	missing     []Missing
	pinned      []RecordPinned
	refused     []RecordRefused
	unavailable []Unavailable
	trouble     []Trouble
}

func (d *diary) note(e Event) {
	switch e := e.(type) {
	case Opened:
		d.opened = append(d.opened, e)
	case Withheld:
		d.withheld = append(d.withheld, e)
	case Missing:
		d.missing = append(d.missing, e)
	case RecordPinned:
		d.pinned = append(d.pinned, e)
	case RecordRefused:
		d.refused = append(d.refused, e)
	case Unavailable:
		d.unavailable = append(d.unavailable, e)
	case Trouble:
		d.trouble = append(d.trouble, e)
	}
}

// sync runs SyncOnce, which must succeed.
func (d *diary) sync(t *testing.T, v *Viewer) {
	t.Helper()
	if err := v.SyncOnce(t.Context(), d.note); err != nil {
		t.Fatal(err)
	}
}

// wantOpened checks that exactly these items were opened, each once.
func (d *diary) wantOpened(t *testing.T, want ...*seal.Item) {
	t.Helper()
	have := map[seal.Hash]int{}
	for _, o := range d.opened {
		have[o.Hash]++
	}
	for _, it := range want {
		if have[it.Hash()] != 1 {
			t.Errorf("item %s was opened %d times", it.Header.Ref(), have[it.Hash()])
		}
		delete(have, it.Hash())
	}
	for _, o := range d.opened {
		if have[o.Hash] != 0 {
			t.Errorf("item %s of owner %s was opened", o.Header.Ref(), o.Header.Owner.Short())
		}
	}
}

// reasons counts what was withheld by reason.
func (d *diary) reasons() map[seal.Reason]int {
	out := map[seal.Reason]int{}
	for _, w := range d.withheld {
		out[w.Reason]++
	}
	return out
}
