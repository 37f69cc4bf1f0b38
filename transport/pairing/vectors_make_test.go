package pairing_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

// maker writes vectors. It has one pairing, and what each side was at each step of it.
type maker struct {
	t                      *testing.T
	now                    time.Time
	who                    *owner
	d                      *device
	code                   *pairing.Code
	f                      forger
	said                   [][]byte // hello, offer, accept, done
	owners, cameras        [][]byte // states after as many messages were said
	before, own            *ownership.Ownership
	thief                  *owner
	fake                   *device
	ownerAbort, cameraSays []byte
}

func makeVectors(t *testing.T) {
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	must(t, err)
	for _, name := range old {
		must(t, os.Remove(name))
	}
	m := &maker{t: t, now: time.Unix(1_790_000_000, 0), who: newOwner(t), d: newDevice(t), thief: newOwner(t), fake: newDevice(t)}
	m.before = pair(t, m.who, m.d, m.now)
	m.d.how = ownership.AcquiredReset
	m.code, m.own = m.who.code(t, m.now), m.before
	m.f = forge(t, string(m.code.Text()))
	m.run()
	m.codes()
	m.brokenCodes()
	m.toOwner()
	m.toCamera()
}

// run carries the pairing through and notes everything.
func (m *maker) run() {
	code := m.code
	o, c := m.who.begin(m.t, code), m.d.begin(m.t, code, m.now)
	note := func(msg []byte) {
		m.said = append(m.said, msg)
	}
	states := func() {
		m.owners, m.cameras = append(m.owners, m.who.state), append(m.cameras, m.d.state)
	}
	states()
	note(c.Send())
	must(m.t, o.Receive(c.Send(), m.now))
	states()
	note(o.Send())
	must(m.t, c.Receive(o.Send(), m.now))
	states()
	note(c.Send())
	must(m.t, o.Receive(c.Send(), m.now))
	states()
	note(o.Send())
	must(m.t, c.Receive(o.Send(), m.now))
	states()
	own, err := o.Ownership()
	must(m.t, err)
	m.own = own
	m.ownerAbort = m.f.abort(m.t, m.who.key, m.who.key, m.f.owner, m.f.start, pairing.ReasonCancelled)
	m.cameraSays = m.f.abort(m.t, m.d.key, m.d.key, m.f.camera, m.f.after(m.said[0]), pairing.ReasonExpired)
}

func (m *maker) write(v vector) {
	vectortest.Write(m.t, vectorDir, v.Name, v)
}

// goodCode writes a code that reads.
func (m *maker) goodCode(name, about string, hub *pairing.Hub, wifi *pairing.WiFi) {
	c, err := pairing.NewCode(idOf(m.t, m.who.key), m.now, hub, wifi)
	must(m.t, err)
	m.write(vector{Name: "code-good-" + name, About: about, Text: string(c.Text()), Expect: "ok", Code: saidBy(m.t, c)})
}

func (m *maker) badCode(name, about, text string, why pairing.Reason) {
	m.write(vector{Name: "code-bad-" + name, About: about, Text: text, Expect: string(why)})
}

func (m *maker) codes() {
	hub := &pairing.Hub{ID: seal.ID{1, 2, 3}, Addresses: []string{"hub.example:8443"}}
	m.goodCode("owner", "no hub, no Wi-Fi", nil, nil)
	m.goodCode("hub", "a hub", hub, nil)
	m.goodCode("wifi", "a hub and Wi-Fi", hub, &pairing.WiFi{SSID: "At home", Passphrase: "open sesame"})
	m.goodCode("hidden", "four addresses, one of them IPv6, and a hidden open network whose name is no UTF-8",
		&pairing.Hub{Addresses: []string{"a:1", "b.example:65535", "10.0.0.1:8443", "[2001:db8::1]:443"}}, &pairing.WiFi{SSID: "caf\xe9", Hidden: true})
}

// cborCode is a code of this CBOR.
func (m *maker) cborCode(v any) string {
	b, err := statement.Marshal(v)
	must(m.t, err)
	return codeOf(b)
}

func codeOf(b []byte) string {
	return "LENSWARD1:" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

func (m *maker) brokenCodes() {
	good := string(m.code.Text())
	m.badCode("empty", "nothing", "", pairing.ReasonNotACode)
	m.badCode("url", "another QR code", "https://lensward.example/", pairing.ReasonNotACode)
	m.badCode("wifi", "a Wi-Fi QR code", "WIFI:T:WPA;S:x;P:12345678;;", pairing.ReasonNotACode)
	m.badCode("no-version", "no version", strings.Replace(good, "1:", ":", 1), pairing.ReasonNotACode)
	m.badCode("lower-name", "the name in lower case", "lensward1:"+good[10:], pairing.ReasonNotACode)
	m.badCode("version-2", "version 2", strings.Replace(good, "1:", "2:", 1), pairing.ReasonUnknownVersion)
	m.badCode("version-01", "the version with a leading zero", strings.Replace(good, "1:", "01:", 1), pairing.ReasonUnknownVersion)
	m.badCode("long", "too long", good+strings.Repeat("A", pairing.MaxCode), pairing.ReasonTooLarge)
	m.badCode("lower", "base32 in lower case", "LENSWARD1:"+strings.ToLower(good[10:]), pairing.ReasonMalformed)
	m.badCode("padding", "base32 with padding", good+"=", pairing.ReasonMalformed)
	m.badCode("line-break", "a line break", good[:40]+"\n"+good[40:], pairing.ReasonMalformed)
	m.badCode("cut", "cut", good[:len(good)-8], pairing.ReasonMalformed)
	m.badCode("no-body", "nothing after the colon", "LENSWARD1:", pairing.ReasonMalformed)
	m.badCode("no-map", "CBOR that is no map", codeOf([]byte{0x80}), pairing.ReasonMalformed)
	fields := func(change map[uint64]any) map[uint64]any {
		id := idOf(m.t, m.who.key)
		v := map[uint64]any{1: id[:], 2: make([]byte, 16), 3: m.now.Unix()}
		for k, x := range change {
			v[k] = x
			if x == nil {
				delete(v, k)
			}
		}
		return v
	}
	bad := func(name, about string, why pairing.Reason, change map[uint64]any) {
		m.badCode(name, about, m.cborCode(fields(change)), why)
	}
	hub := func(id int, addresses ...any) map[uint64]any {
		return map[uint64]any{1: make([]byte, id), 2: addresses}
	}
	bad("field-6", "a field that is not listed", pairing.ReasonMalformed, map[uint64]any{6: 1})
	bad("owner-text", "the owner ID as text", pairing.ReasonMalformed, map[uint64]any{1: "me"})
	bad("no-owner", "no owner", pairing.ReasonBadField, map[uint64]any{1: nil})
	bad("short-owner", "an owner ID of 31 bytes", pairing.ReasonBadField, map[uint64]any{1: make([]byte, 31)})
	bad("long-secret", "a secret of 17 bytes", pairing.ReasonBadField, map[uint64]any{2: make([]byte, 17)})
	bad("expires-0", "expires at 0", pairing.ReasonBadField, map[uint64]any{3: 0})
	bad("expires-2-32", "expires at 2^32", pairing.ReasonBadField, map[uint64]any{3: int64(1) << 32})
	bad("no-address", "a hub without address", pairing.ReasonBadField, map[uint64]any{4: hub(32)})
	bad("five-addresses", "five addresses", pairing.ReasonBadField, map[uint64]any{4: hub(32, "a:1", "b:1", "c:1", "d:1", "e:1")})
	bad("short-hub", "a hub ID of 16 bytes", pairing.ReasonBadField, map[uint64]any{4: hub(16, "a:1")})
	bad("port-0", "port 0", pairing.ReasonBadField, map[uint64]any{4: hub(32, "a:0")})
	bad("no-port", "no port", pairing.ReasonBadField, map[uint64]any{4: hub(32, "hub.example")})
	bad("bare-ipv6", "an IPv6 address without brackets", pairing.ReasonBadField, map[uint64]any{4: hub(32, "2001:db8::1:443")})
	bad("no-ssid", "an empty SSID", pairing.ReasonBadField, map[uint64]any{5: map[uint64]any{1: []byte{}}})
	bad("empty-passphrase", "an empty passphrase, which leaving it out would mean", pairing.ReasonBadField, map[uint64]any{5: map[uint64]any{1: []byte("a"), 2: ""}})
	bad("not-hidden", "not hidden, which leaving it out would mean", pairing.ReasonBadField, map[uint64]any{5: map[uint64]any{1: []byte("a"), 3: false}})
	bad("short-passphrase", "a passphrase of 7 characters", pairing.ReasonBadField, map[uint64]any{5: map[uint64]any{1: []byte("a"), 2: "1234567"}})
}

// step writes a vector of a message to a side. At is how many messages were said.
func (m *maker) step(side, name, about string, at int, message []byte, expect string, phase pairing.Phase) {
	key, states, newest := m.who.key, m.owners, m.before
	if side == "camera" {
		key, states = m.d.key, m.cameras
		if at >= 2 {
			newest = m.own
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key.(steady).PrivateKey)
	must(m.t, err)
	v := vector{
		Name: side + "-bad-" + name, About: about, Text: string(m.code.Text()), Expect: expect,
		Step: &vectorMessage{
			Side: side, Key: encode64(der), Newest: encode64(newest.Bytes()), State: encode64(states[at]),
			Message: encode64(message), Phase: phase.String(), Said: []string{},
		},
	}
	if expect == "ok" {
		v.Name = side + "-good-" + name
	}
	for _, s := range m.said[:at] {
		v.Step.Said = append(v.Step.Said, encode64(s))
	}
	m.write(v)
}

// changed is a statement's map with some entries changed, nil for one that is left out.
func changed(from, change map[uint64]any) map[uint64]any {
	v := map[uint64]any{}
	for k, x := range from {
		v[k] = x
	}
	for k, x := range change {
		v[k] = x
		if x == nil {
			delete(v, k)
		}
	}
	return v
}

func flip(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 1
	return c
}

// hello is a hello of the reset device, with some entries changed.
func (m *maker) hello(by *device, change map[uint64]any) []byte {
	hash := m.before.Hash()
	v := changed(m.f.helloMap(m.t, by.key), map[uint64]any{6: 3, 7: map[uint64]any{1: m.before.Record.Epoch, 2: hash[:]}})
	return m.f.seal(m.t, by.key, m.f.camera, changed(v, change))
}

// remac makes an envelope a message, whatever is in it.
func (m *maker) remac(key, envelope []byte) []byte {
	return slices.Concat(envelope, hmacOf(key, envelope))
}
