package pairing_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/vectortest"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const vectorDir = "testdata/vectors"

// vector is one file. Its README says what the members mean.
type vector struct {
	Name   string         `json:"name"`
	About  string         `json:"about"`
	Text   string         `json:"text"`
	Expect string         `json:"expect"`
	Code   *vectorCode    `json:"code,omitempty"`
	Step   *vectorMessage `json:"step,omitempty"`
}

// vectorCode is what a good code says, and what follows from it.
type vectorCode struct {
	Owner      seal.ID  `json:"owner"`
	Expires    int64    `json:"expires"`
	HubID      *seal.ID `json:"hub_id,omitempty"`
	Addresses  []string `json:"hub_addresses,omitempty"`
	SSID       string   `json:"ssid,omitempty"` // hexadecimal
	Passphrase string   `json:"passphrase,omitempty"`
	Hidden     bool     `json:"hidden,omitempty"`
	Start      string   `json:"transcript"`
	CameraKey  string   `json:"camera_key"`
	OwnerKey   string   `json:"owner_key"`
	Rendezvous string   `json:"rendezvous"`
}

// vectorMessage is a message to one side, in a state.
type vectorMessage struct {
	Side    string   `json:"side"`
	Key     string   `json:"private_key"`
	Said    []string `json:"said"`
	Newest  string   `json:"newest"`
	State   string   `json:"go_state"`
	Message string   `json:"message"`
	Phase   string   `json:"phase"`
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	must(t, err)
	return b
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	count, reasons := map[string]int{}, map[string]bool{}
	for _, v := range vectortest.Read[vector](t, vectorDir) {
		kind := "code"
		if v.Step != nil {
			kind = v.Step.Side
		}
		count[kind+" "+strings.SplitN(v.Name, "-", 3)[1]]++
		reasons[v.Expect] = true
		t.Run(v.Name, func(t *testing.T) {
			if v.Step == nil {
				v.runCode(t)
			} else {
				v.runStep(t)
			}
		})
	}
	for kind, want := range map[string]int{"code good": 4, "code bad": 20, "owner good": 5, "owner bad": 15, "camera good": 5, "camera bad": 15} {
		if count[kind] < want {
			t.Errorf("%d vectors of the kind %q, want at least %d", count[kind], kind, want)
		}
	}
	if len(reasons) < 18 {
		t.Errorf("the vectors have %d reasons", len(reasons))
	}
}

func (v vector) runCode(t *testing.T) {
	c, err := pairing.ParseCode(v.Text)
	if v.Expect != "ok" {
		wantReason(t, err, pairing.Reason(v.Expect))
		return
	}
	must(t, err)
	said, err := json.Marshal(saidBy(t, c))
	must(t, err)
	want, err := json.Marshal(v.Code)
	must(t, err)
	if string(said) != string(want) {
		t.Errorf("read as %s, want %s", said, want)
	}
}

// saidBy is what a code says, and what the specification makes of it.
func saidBy(t testing.TB, c *pairing.Code) *vectorCode {
	t.Helper()
	f := forge(t, string(c.Text()))
	v := &vectorCode{
		Owner: c.Owner, Expires: c.Expires.Unix(), Rendezvous: c.Rendezvous(),
		Start: encode64(f.start), CameraKey: encode64(f.camera), OwnerKey: encode64(f.owner),
	}
	if c.Hub != nil {
		v.HubID, v.Addresses = &c.Hub.ID, c.Hub.Addresses
	}
	if c.WiFi != nil {
		v.SSID, v.Passphrase, v.Hidden = hex.EncodeToString([]byte(c.WiFi.SSID)), string(c.WiFi.Passphrase), c.WiFi.Hidden
	}
	return v
}

func (v vector) runStep(t *testing.T) {
	code, err := pairing.ParseCode(v.Text)
	must(t, err)
	now := code.Expires.Add(-time.Minute)
	r := v.Step.side(t, now)(t)
	before := r.Phase()
	err = r.Receive(decode64(t, v.Step.Message), now)
	if v.Expect == "ok" {
		must(t, err)
	} else {
		wantReason(t, err, pairing.Reason(v.Expect))
	}
	if got := r.Phase().String(); got != v.Step.Phase {
		t.Errorf("then it is %s, want %s; it was %s", got, v.Step.Phase, before)
	}
}

// side gives this side, in its state, as often as it is asked for.
func (s *vectorMessage) side(t testing.TB, now time.Time) func(testing.TB) receiver {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(decode64(t, s.Key))
	must(t, err)
	newest, err := ownership.Parse(decode64(t, s.Newest))
	must(t, err)
	key, state := steady{parsed.(*ecdsa.PrivateKey)}, decode64(t, s.State)
	if s.Side == "owner" {
		who := newOwner(t)
		who.key = key
		who.newest[newest.Record.Device] = &newest.Signed
		return func(t testing.TB) receiver {
			who.state = state
			return who.restart(t)
		}
	}
	d := newDevice(t)
	d.key = key
	return func(t testing.TB) receiver {
		d.state, d.owned = state, newest
		return d.restart(t, now)
	}
}
