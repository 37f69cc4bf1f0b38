package enrol

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// vectorKey and the tokens are those of docs/ref/enrolment.md.
func vectorKey() (key [32]byte) {
	for i := range key {
		key[i] = byte(i + 1)
	}
	return key
}

func TestTokenVectors(t *testing.T) {
	var device, other seal.ID
	device[0], other[0] = 1, 2
	until := time.Unix(1_800_000_000, 0)
	for text, c := range map[string]struct{ mine, theirs error }{
		"lwc1-aaaaaaaanne5eaabaibqibiga4eascqlbqgq4d7a376wiat2upt2e5mrc64fabuc": {nil, nil},
		"lwc1-aeaaaaaanne5eaabaibqibiga4eascqlbqgq4d3r5cmid5k2av4pimth5b3mucxq": {nil, ErrToken},
	} {
		tok, err := ParseToken(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !tok.Expires().Equal(until) {
			t.Errorf("%s expires %v", text, tok.Expires())
		}
		if err := tok.Check(vectorKey(), device, until.Add(-time.Second)); !errors.Is(err, c.mine) {
			t.Errorf("%s: %v", text, err)
		}
		if err := tok.Check(vectorKey(), other, until.Add(-time.Second)); !errors.Is(err, c.theirs) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestToken(t *testing.T) {
	var mine, other seal.ID
	mine[0], other[0] = 1, 2
	now := time.Unix(1_800_000_000, 0)
	for _, bound := range []bool{false, true} {
		var device seal.ID
		if bound {
			device = mine
		}
		text, err := NewToken(vectorKey(), now.Add(time.Hour), device)
		if err != nil {
			t.Fatal(err)
		}
		if !IsToken(string(text)) || strings.Contains(text.String(), "lwc1") {
			t.Errorf("token %v", text)
		}
		tok, err := ParseToken(strings.ToUpper(string(text))) // typed
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			key    [32]byte
			device seal.ID
			now    time.Time
			want   error
		}{
			"right":          {vectorKey(), mine, now, nil},
			"last moment":    {vectorKey(), mine, now.Add(time.Hour - 1), nil},
			"too late":       {vectorKey(), mine, now.Add(time.Hour), ErrTokenExpired},
			"another fleet":  {[32]byte{1}, mine, now, ErrToken},
			"forged, late":   {[32]byte{1}, mine, now.Add(2 * time.Hour), ErrToken},
			"another device": {vectorKey(), other, now, map[bool]error{true: ErrToken}[bound]},
		} {
			if err := tok.Check(c.key, c.device, c.now); !errors.Is(err, c.want) {
				t.Errorf("bound %v, %s: %v, want %v", bound, name, err, c.want)
			}
		}
		again, err := NewToken(vectorKey(), now.Add(time.Hour), device)
		if err != nil || again == text {
			t.Errorf("the same token twice, %v", err)
		}
	}
	for _, until := range []time.Time{time.Unix(-1, 0), time.Unix(maxTokenExpiry+1, 0)} {
		if _, err := NewToken(vectorKey(), until, mine); err == nil {
			t.Errorf("a token until %v", until)
		}
	}
	for _, bad := range []string{"", "lwc1-", "sesame", "lwc1-" + strings.Repeat("a", 63), "lwc1-" + strings.Repeat("a", 65), "lwc1-" + strings.Repeat("1", 64), "lwc1-" + strings.Repeat("z", 64), "lwc1-\n" + strings.Repeat("a", 63), "lwc2-" + strings.Repeat("a", 64)} {
		if _, err := ParseToken(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A token that was made is the only text of itself, but for capitals; nothing else is
// believed.
func FuzzToken(f *testing.F) {
	text, err := NewToken(vectorKey(), time.Unix(1_800_000_000, 0), seal.ID{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("lwc1-aaaaaaaanne5eaabaibqibiga4eascqlbqgq4d7a376wiat2upt2e5mrc64fabuc")
	f.Add("lwc1-")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatal(err)
			}
			return
		}
		if tok.text() != strings.ToLower(s) {
			t.Fatalf("%q is also %q", s, tok.text())
		}
		if tok.text() != string(text) && tok.Check([32]byte{9}, seal.ID{}, time.Unix(0, 0)) == nil {
			t.Fatalf("%q is believed", s)
		}
	})
}

func FuzzMessage(f *testing.F) {
	request, err := Request(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add((&Message{Request: []byte{1}, Record: []byte{2}, Answer: []byte{3}}).Encode())
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMessage(data)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseMessage(m.Encode())
		if err != nil || string(again.Request) != string(m.Request) || string(again.Record) != string(m.Record) || string(again.Answer) != string(m.Answer) {
			t.Fatalf("a message does not survive its own encoding: %v", err)
		}
	})
}

func TestMessage(t *testing.T) {
	full := (&Message{Request: make([]byte, MaxRequest), Record: make([]byte, 64<<10), Answer: make([]byte, maxAnswer)}).Encode()
	if _, err := ParseMessage(full); err != nil || len(full) > MaxMessage {
		t.Errorf("the largest, of %d bytes: %v", len(full), err)
	}
	one := string((&Message{Request: []byte{1}}).Encode())
	for name, text := range map[string]string{
		"nothing": "", "white space": " \n", "no request": "-----BEGIN LENSWARD OWNERSHIP RECORD-----\nAQ==\n-----END LENSWARD OWNERSHIP RECORD-----\n",
		"two requests": one + one, "text before": "hello\n" + one, "text behind": one + "hello", "text between": one + "hello\n" + strings.Replace(one, "CERTIFICATE REQUEST", "LENSWARD OWNERSHIP RECORD", 2),
		"another block":            one + strings.ReplaceAll(one, "CERTIFICATE REQUEST", "PRIVATE KEY"),
		"an empty block":           "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
		"a request over its limit": string((&Message{Request: make([]byte, MaxRequest+1)}).Encode()),
		"an answer over its limit": string((&Message{Request: []byte{1}, Answer: make([]byte, maxAnswer+1)}).Encode()),
		"over the limit":           one + strings.Repeat("\n", MaxMessage),
	} {
		if m, err := ParseMessage([]byte(text)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}
