package pairing_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
)

func fullCode(t testing.TB) *pairing.Code {
	t.Helper()
	c, err := pairing.NewCode(seal.ID{1, 2, 3}, time.Unix(1_800_000_000, 0),
		&pairing.Hub{ID: seal.ID{4}, Addresses: []string{"hub.example:8443", "[2001:db8::1]:443"}},
		&pairing.WiFi{SSID: "At home", Passphrase: "open sesame", Hidden: true})
	must(t, err)
	return c
}

func TestCodeIsReadAsItWasMade(t *testing.T) {
	c := fullCode(t)
	again, err := pairing.ParseCode(string(c.Text()))
	must(t, err)
	if again.Owner != c.Owner || !again.Expires.Equal(c.Expires) || again.Rendezvous() != c.Rendezvous() || len(c.Rendezvous()) != 32 ||
		again.Hub.ID != c.Hub.ID || len(again.Hub.Addresses) != 2 || *again.WiFi != *c.WiFi {
		t.Errorf("%+v", again)
	}
	if other := fullCode(t); other.Text() == c.Text() || other.Rendezvous() == c.Rendezvous() {
		t.Error("two codes have one secret")
	}
}

func TestCodeHides(t *testing.T) {
	c := fullCode(t)
	var said bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&said, nil)), slog.New(slog.NewJSONHandler(&said, nil))} {
		log.Info("x", "code", c, "text", c.Text(), "wifi", *c.WiFi)
	}
	fmt.Fprintf(&said, "%v %+v %#v %s %q %x", c, c, c, c, c, c)
	must(t, json.NewEncoder(&said).Encode(map[string]any{"code": c, "wifi": c.WiFi}))
	for _, s := range []string{string(c.Text()), "LENSWARD1:", "sesame"} {
		if strings.Contains(said.String(), s) {
			t.Errorf("%s is in %s", s, said.String())
		}
	}
}

func TestCodesThatCannotBe(t *testing.T) {
	soon := time.Now().Add(time.Minute)
	for name, c := range map[string]struct {
		expires time.Time
		hub     *pairing.Hub
		wifi    *pairing.WiFi
		want    pairing.Reason
	}{
		"no date":           {time.Time{}, nil, nil, pairing.ReasonBadField},
		"no address":        {soon, &pairing.Hub{}, nil, pairing.ReasonBadField},
		"many addresses":    {soon, &pairing.Hub{Addresses: []string{"a:1", "b:1", "c:1", "d:1", "e:1"}}, nil, pairing.ReasonBadField},
		"no SSID":           {soon, nil, &pairing.WiFi{}, pairing.ReasonBadField},
		"long SSID":         {soon, nil, &pairing.WiFi{SSID: strings.Repeat("a", 33)}, pairing.ReasonBadField},
		"short passphrase":  {soon, nil, &pairing.WiFi{SSID: "a", Passphrase: "1234567"}, pairing.ReasonBadField},
		"passphrase not so": {soon, nil, &pairing.WiFi{SSID: "a", Passphrase: "1234567é"}, pairing.ReasonBadField},
		"too much": {soon, &pairing.Hub{Addresses: []string{strings.Repeat("a", 250) + ":1", strings.Repeat("b", 250) + ":1"}}, nil,
			pairing.ReasonTooLarge},
	} {
		if _, err := pairing.NewCode(seal.ID{}, c.expires, c.hub, c.wifi); pairing.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for address, ok := range map[string]bool{
		"a:1": true, "a:65535": true, "[::1]:443": true, "10.0.0.1:8443": true,
		"a": false, ":1": false, "a:0": false, "a:65536": false, "a:01": false, "a:": false, "a:x": false, "a b:1": false,
		"::1:443": false, "[::1:443": false, "::1]:443": false, "[]:443": false, "[[a]]:1": false, "é:1": false, "a:+1": false,
	} {
		_, err := pairing.NewCode(seal.ID{}, soon, &pairing.Hub{Addresses: []string{address}}, nil)
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A code must be small enough for a cheap camera: docs/design/pairing.md says how large.
func TestCodeSize(t *testing.T) {
	soon := time.Unix(1_800_000_000, 0)
	hub := &pairing.Hub{Addresses: []string{"hub.example:8443"}}
	for _, c := range []struct {
		name string
		hub  *pairing.Hub
		wifi *pairing.WiFi
		want int // modules a side, with the least correction
	}{
		{"owner alone", nil, nil, 33},
		{"with a hub", hub, nil, 45},
		{"with a hub and Wi-Fi", hub, &pairing.WiFi{SSID: "FRITZ!Box 7590", Passphrase: "12345678901234567890"}, 49},
	} {
		code, err := pairing.NewCode(seal.ID{}, soon, c.hub, c.wifi)
		must(t, err)
		picture, err := qr.Encode(string(code.Text()), qr.L)
		must(t, err)
		if picture.Size != c.want {
			t.Errorf("%s: %d characters, %d modules a side, want %d", c.name, len(code.Text()), picture.Size, c.want)
		}
	}
}

func TestEveryReasonHasAdvice(t *testing.T) {
	for _, r := range []pairing.Reason{
		pairing.ReasonTooLarge, pairing.ReasonNotACode, pairing.ReasonUnknownVersion, pairing.ReasonMalformed, pairing.ReasonBadField,
		pairing.ReasonExpired, pairing.ReasonOver, pairing.ReasonBadMAC, pairing.ReasonUnexpected, pairing.ReasonWrongTranscript,
		pairing.ReasonBadRecord, pairing.ReasonWrongDevice, pairing.ReasonWrongOwner, pairing.ReasonBadSignature, pairing.ReasonRival,
		pairing.ReasonSecondHello, pairing.ReasonWrongRecord, pairing.ReasonRolledBack, pairing.ReasonCancelled, pairing.ReasonTooMany,
	} {
		if r.Advice() == "" {
			t.Errorf("nothing to say about %s", r)
		}
	}
	if pairing.Reason("other").Advice() != "" {
		t.Error("something to say about what is no reason")
	}
}

// FuzzParseCode asserts that a code has one spelling.
func FuzzParseCode(f *testing.F) {
	f.Add(string(fullCode(f).Text()))
	f.Add("LENSWARD2:AA")
	f.Add("https://lensward.example/")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := pairing.ParseCode(text)
		if err != nil {
			if pairing.ReasonOf(err) == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if string(c.Text()) != text || len(c.Rendezvous()) != 32 || c.Owner.String() == "" {
			t.Fatalf("read as %s", string(c.Text()))
		}
	})
}
