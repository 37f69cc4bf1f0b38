package hub

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

func FuzzWant(f *testing.F) {
	dev := strings.Repeat("a", 52)
	f.Add([]byte(`{"ref":"` + dev + `/1/1/42","hash":"` + strings.Repeat("0f", 32) + `","size":1048576}`))
	f.Add([]byte(`{"ref":"` + dev + `/0/1/42","size":-1}`))
	f.Add([]byte(`{"size":1e300}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWant(b)
		if err != nil {
			return
		}
		if len(b) > maxControl || w.Size <= 0 || w.Ref.Seq == 0 || w.Hash.IsZero() {
			t.Fatalf("accepted %+v from %d bytes", w, len(b))
		}
		again, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := parseWant(again); err != nil || v != w {
			t.Fatalf("%+v is read again as %+v, %v", w, v, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"online":true,"firmware":"1.4.0","conditions":["spool-full"]}`))
	f.Add([]byte(`{"online":false}`))
	f.Add([]byte(`{"conditions":[` + strings.Repeat(`"x",`, 40) + `"y"]}`))
	f.Add([]byte(`{"firmware":"` + strings.Repeat("x", 100) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatus(b)
		if err != nil {
			return
		}
		if len(b) > maxControl || len(s.Firmware) > maxWord || len(s.Conditions) > maxConditions {
			t.Fatalf("accepted %+v", s)
		}
	})
}

func FuzzSubject(f *testing.F) {
	f.Add("lensward.1." + strings.Repeat("a", 52) + ".item")
	f.Add("lensward.1.x.item")
	f.Add("lensward.1.." + strings.Repeat("a", 52) + ".item")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, topic, err := parseSubject(s)
		if err == nil && subjectOf(id, topic) != s {
			t.Fatalf("%q is read as %s of %s", s, topic, id)
		}
	})
}

func FuzzGrantedURL(f *testing.F) {
	g := &granter{key: []byte("key"), base: "https://hub.example:1"}
	now := time.Unix(1_700_000_000, 0)
	gr := grant{ref: seal.Ref{Device: seal.ID{1}, Epoch: 1, Chain: 2, Seq: 3}, hash: seal.Hash{4}, size: 5, expires: now.Unix() + 60}
	good := g.url(gr)
	f.Add(good)
	f.Add(good + "&size=6")
	f.Add(strings.Replace(good, "mac=", "mac==", 1))
	f.Add("https://hub.example:1/upload/v1/x?hash=&size=&expires=&mac=")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		got, err := g.parse(strings.TrimPrefix(u.Path, uploadPath), u.Query(), now)
		if err == nil && got != gr {
			t.Fatalf("%q is taken as a grant that was never given: %+v", s, got)
		}
	})
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("AAAA"))
	f.Add([]byte("AA=="))
	f.Add([]byte("AB"))
	f.Add([]byte("a\nb"))
	f.Fuzz(func(t *testing.T, s []byte) {
		var b b64
		if b.UnmarshalText(s) != nil {
			return
		}
		if again, err := b.MarshalText(); err != nil || string(again) != string(s) {
			t.Fatalf("%q is read, and written as %q (%v)", s, again, err)
		}
	})
}
