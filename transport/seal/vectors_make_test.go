package seal_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/fxamacker/cbor/v2"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// maker makes the vectors' items, good ones with a Sealer and bad ones by hand.
type maker struct {
	t        testing.TB
	key      *ecdsa.PrivateKey
	stranger *ecdsa.PrivateKey
	root     *ecdsa.PrivateKey // the owner's
	viewer   *ecdsa.PrivateKey
	owned    *ownership.Ownership
	owner    seal.ID
	other    seal.ID
	record   seal.Hash
	hybrid   *age.HybridIdentity
	x25519   *age.X25519Identity
	alien    *age.X25519Identity
	event    seal.EventID
	out      []vector
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{t: t, key: newKey(t), stranger: newKey(t), event: seal.EventID{0xe7, 1, 2, 3}}
	m.root, m.viewer = newKey(t), newKey(t)
	m.owner, m.other = idOf(t, m.root), idOf(t, newKey(t))
	var err error
	m.hybrid, err = age.GenerateHybridIdentity()
	must(t, err)
	m.own()
	m.x25519, err = age.GenerateX25519Identity()
	must(t, err)
	m.alien, err = age.GenerateX25519Identity()
	must(t, err)
	return m
}

// own makes the ownership record that the good items are sealed under.
func (m *maker) own() {
	m.t.Helper()
	dk, ok, vk := spkiOf(m.t, m.key), spkiOf(m.t, m.root), spkiOf(m.t, m.viewer)
	signed, err := ownership.Sign(m.root, ownership.Record{
		Device: seal.KeyID(dk), DeviceKey: dk, Owner: m.owner, OwnerKey: ok, Epoch: 2, Revision: 1,
		Acquired: ownership.AcquiredReleased, Created: time.UnixMilli(1_770_000_000_000),
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: m.hybrid.Recipient().String()}},
		Viewers:    []ownership.Viewer{{Key: vk, Name: "owner", Role: ownership.RoleOwner}},
	})
	must(m.t, err)
	m.owned, err = signed.Accept(m.key, ownership.Acceptance{
		Boot: 5, Protection: seal.ProtectionFile, Accepted: time.UnixMilli(1_770_000_000_001), Firmware: "1.2.3"})
	must(m.t, err)
	m.record = m.owned.Hash()
}

func spkiOf(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := statement.SPKI(k.Public())
	must(t, err)
	return b
}

// writeOwner writes the owner's directory, as package keyring reads it.
func (m *maker) writeOwner() {
	m.t.Helper()
	dir := filepath.Join(vectorDir, "owner")
	must(m.t, os.RemoveAll(dir))
	must(m.t, os.MkdirAll(dir, 0o755))
	for name, key := range map[string]*ecdsa.PrivateKey{"root.key": m.root, "viewer.key": m.viewer} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		must(m.t, err)
		must(m.t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
	must(m.t, os.WriteFile(filepath.Join(dir, "household.txt"), []byte(m.hybrid.String()+"\n"+m.x25519.String()+"\n"), 0o600))
	name := m.owned.Record.Device.String() + "-2-1.ownership"
	must(m.t, os.WriteFile(filepath.Join(dir, name), m.owned.Bytes(), 0o600))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func idOf(t testing.TB, k *ecdsa.PrivateKey) seal.ID {
	t.Helper()
	id, err := seal.IDOf(k.Public())
	must(t, err)
	return id
}

// sealerOf is a sealer for a key and binding; boot 7.
func (m *maker) sealerOf(key crypto.Signer, owner seal.ID, epoch uint64, record seal.Hash, to ...age.Recipient) *seal.Sealer {
	m.t.Helper()
	s, err := seal.NewSealer(
		seal.Device{Key: key, Protection: seal.ProtectionFile, Firmware: "1.2.3", Boot: 7},
		seal.Binding{Owner: owner, Epoch: epoch, Record: record, Recipients: to})
	must(m.t, err)
	return s
}

// small is the sealer of most vectors: X25519, so that the files stay small.
func (m *maker) small() *seal.Sealer {
	return m.sealerOf(m.key, m.owner, 2, m.record, m.x25519.Recipient())
}

func (m *maker) seal(s *seal.Sealer, d seal.Draft, l seal.Link) *seal.Item {
	m.t.Helper()
	it, err := s.Seal(d, l)
	must(m.t, err)
	return it
}

// draft is a plausible draft of a kind.
func (m *maker) draft(k seal.Kind) seal.Draft {
	d := seal.Draft{
		Kind: k, Captured: time.UnixMilli(1_771_000_000_123), Clock: seal.ClockNetwork,
		MediaType: k.MediaType(), Body: []byte("plaintext of a " + k.String()),
	}
	if k <= seal.KindEvent {
		d.Event = m.event
	}
	if k == seal.KindClip {
		d.MediaType += `; codecs="avc1.64001f"`
	}
	return d
}

func first(record seal.Hash) seal.Link { return seal.Link{Chain: 5, Seq: 1, Prev: record} }

func after(it *seal.Item) seal.Link {
	return seal.Link{Chain: it.Header.Chain, Seq: it.Header.Seq + 1, Prev: it.Hash()}
}

// good adds a vector that must pass, bad one that must not.
func (m *maker) good(name, about string, items ...*seal.Item) *vector {
	m.t.Helper()
	last := items[len(items)-1]
	plain, err := last.Open(m.hybrid, m.x25519)
	must(m.t, err)
	sum := seal.Hash(sha256.Sum256(plain))
	v := m.add(name, about, "ok", bytesOf(items)...)
	v.Header, v.PlainSHA256 = headerJSON(last.Header), sum.String()
	return v
}

func (m *maker) bad(name, about string, reason seal.Reason, items ...[]byte) *vector {
	m.t.Helper()
	return m.add(name, about, string(reason), items...)
}

func (m *maker) add(name, about, expect string, items ...[]byte) *vector {
	v := vector{Name: name, About: about, Expect: expect, Policy: vectorPolicy{
		Owner:   m.owner.String(),
		Cameras: map[string]map[string]uint64{idOf(m.t, m.key).String(): {m.record.String(): 2}},
	}}
	for _, b := range items {
		v.Items = append(v.Items, base64.RawURLEncoding.EncodeToString(b))
	}
	m.out = append(m.out, v)
	return &m.out[len(m.out)-1]
}

func bytesOf(items []*seal.Item) [][]byte {
	var out [][]byte
	for _, it := range items {
		out = append(out, it.Bytes())
	}
	return out
}

// header is a good header's CBOR map, to be spoilt, and the body that it is for.
func (m *maker) header() (map[uint64]any, []byte) {
	m.t.Helper()
	it := m.seal(m.small(), m.draft(seal.KindThumbnail), first(m.record))
	st, _, err := statement.Parse(it.Envelope, seal.MaxEnvelope)
	must(m.t, err)
	var h map[uint64]any
	must(m.t, cbor.Unmarshal(st.Payload, &h))
	return h, it.Body
}

// forge signs whatever it is given with the device's key: what only a device that
// went wrong would do.
func (m *maker) forge(payload any, body []byte) []byte {
	m.t.Helper()
	return append(m.envelope([]byte{0xa1, 1, 0x26}, map[int]int{}, m.encode(payload)), body...)
}

func (m *maker) encode(v any) []byte {
	m.t.Helper()
	if raw, ok := v.([]byte); ok {
		return raw
	}
	b, err := statement.Marshal(v)
	must(m.t, err)
	return b
}

// envelope is a COSE_Sign1 by hand, with a right signature over whatever it holds.
func (m *maker) envelope(protected []byte, unprotected any, payload []byte) []byte {
	m.t.Helper()
	sum := sha256.Sum256(m.encode([]any{"Signature1", protected, []byte{}, payload}))
	r, s, err := ecdsa.Sign(rand.Reader, m.key, sum[:])
	must(m.t, err)
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return m.encode(cbor.Tag{Number: 18, Content: []any{protected, unprotected, payload, sig}})
}

// makeVectors writes every vector anew.
func makeVectors(t testing.TB) {
	m := newMaker(t)
	m.makeGood()
	m.makeBadBytes()
	m.makeBadHeaders()
	m.makeBadPolicy()
	m.makeBadChains()
	m.makeFlips()
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	must(t, err)
	for _, name := range old {
		must(t, os.Remove(name))
	}
	m.writeOwner()
	m.write("keys", vectorKeys{Identities: []string{m.hybrid.String(), m.x25519.String()}})
	for _, v := range m.out {
		m.write(v.Name, v)
	}
}

func (m *maker) write(name string, v any) {
	m.t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	must(m.t, err)
	must(m.t, os.WriteFile(filepath.Join(vectorDir, name+".json"), append(b, '\n'), 0o644))
}
