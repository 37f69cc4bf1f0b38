package transport_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
)

func TestParseMessage(t *testing.T) {
	at, hash := ref(7), seal.Hash{1}
	item := fmt.Sprintf(`"ref":%q,"hash":%q`, at, hash)
	long := strings.Repeat("A", 87382) // the longest letter
	for text, want := range map[string]transport.Message{
		`{"type":"receipt",` + item + `}`:                                                                    {Type: transport.Receipt, Ref: at, Hash: hash},
		`{"type":"receipt",` + item + `,"new":[1,{}]}`:                                                       {Type: transport.Receipt, Ref: at, Hash: hash},
		`{"type":"refusal",` + item + `,"reason":"x"}`:                                                       {Type: transport.Refusal, Ref: at, Hash: hash, Reason: "x"},
		`{"type":"grant",` + item + `,"url":"https:"}`:                                                       {Type: transport.Grant, Ref: at, Hash: hash, URL: "https:"},
		`{"type":"refusal","hash":"` + hash.String() + `","reason":"malformed"}`:                             {Type: transport.Refusal, Hash: hash, Reason: "malformed"},
		`{"type":"record-receipt","hash":"` + hash.String() + `"}`:                                           {Type: transport.RecordReceipt, Hash: hash},
		`{"type":"record-refusal","hash":"` + hash.String() + `","reason":"a-1","detail":"a\u0000b\u202ec"}`: {Type: transport.RecordRefusal, Hash: hash, Reason: "a-1", Detail: "abc"},
		`{"type":"letter","hash":"` + hash.String() + `","letter":"0oRD","reason":"x"}`:                      {Type: transport.Letter, Hash: hash, Letter: "0oRD"},
		`{"type":"letter","hash":"` + hash.String() + `","letter":"` + long + `"}`:                           {Type: transport.Letter, Hash: hash, Letter: long},
	} {
		m, err := transport.ParseMessage([]byte(text))
		if err != nil || m != want {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
	for _, text := range []string{
		``, `{`, `[]`, `null x`, `{"type":7}`,
		`{"type":"receipt"}`,
		`{"type":"receipt","hash":"` + hash.String() + `"}`,
		`{"type":"receipt","ref":"` + at.String() + `"}`,
		`{"type":"receipt","ref":"x","hash":"` + hash.String() + `"}`,
		`{"type":"receipt","ref":"` + at.String() + `","hash":"00"}`,
		`{"type":"receipt","ref":"` + at.String() + `","hash":"` + strings.Repeat("0", 64) + `"}`,
		`{"type":"refusal",` + item + `}`,
		`{"type":"refusal",` + item + `,"reason":"two words"}`,
		`{"type":"refusal",` + item + `,"reason":"` + strings.Repeat("a", 65) + `"}`,
		`{"type":"grant",` + item + `}`,
		`{"type":"grant",` + item + `,"url":"` + strings.Repeat("a", 2049) + `"}`,
		`{"type":"grant",` + item + `,"url":"https:","expires":1e99}`,
		`{"type":"record-receipt"}`,
		`{"type":"record-refusal","hash":"` + hash.String() + `"}`,
		`{"type":"letter","hash":"` + hash.String() + `"}`,
		`{"type":"letter","letter":"0oRD"}`,
		`{"type":"letter","hash":"` + hash.String() + `","letter":"` + long + `A"}`,
		`{"type":"letter","hash":"` + hash.String() + `","letter":"0oRD","pad":"` + strings.Repeat("a", transport.MaxLetterMessage) + `"}`,
		`{"type":"receipt",` + item + `,"pad":"` + strings.Repeat("a", transport.MaxMessage) + `"}`,
	} {
		if m, err := transport.ParseMessage([]byte(text)); err == nil || errors.Is(err, transport.ErrUnknownType) {
			t.Errorf("%.200s: %+v, %v", text, m, err)
		}
	}
	for _, text := range []string{`{}`, `null`, `{"type":"from-the-future","ref":7,"hash":{}}`, `{"type":""}`} {
		if _, err := transport.ParseMessage([]byte(text)); !errors.Is(err, transport.ErrUnknownType) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is parsed is within its limits, and written again says the same.
func FuzzParseMessage(f *testing.F) {
	item := fmt.Sprintf(`"ref":%q,"hash":%q`, ref(7), seal.Hash{1})
	for _, s := range []string{
		`{"type":"receipt",` + item + `}`,
		`{"type":"refusal",` + item + `,"reason":"wrong-epoch","detail":"é\ufffd\u0001"}`,
		`{"type":"grant",` + item + `,"url":"https://hub/put?x=1","expires":1700000000}`,
		`{"type":"record-receipt","hash":"` + seal.Hash{1}.String() + `"}`,
		`{"type":"record-refusal","hash":"` + seal.Hash{1}.String() + `","reason":"no"}`,
		`{"type":"hint","hint":"0oRDoQEm"}`,
		`{"type":"letter","hash":"` + seal.Hash{1}.String() + `","letter":"0oRDoQEm"}`,
		`{"type":"x"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := transport.ParseMessage(b)
		if err != nil {
			if !reflect.ValueOf(m).IsZero() {
				t.Fatalf("an error and %+v", m)
			}
			return
		}
		if len(b) > transport.MaxMessage && m.Type != transport.Letter || len(b) > transport.MaxLetterMessage || len(m.Letter) > 87382 || m.Hash.IsZero() != (m.Type == transport.Hint) || len(m.URL) > 2048 || len(m.Reason) > 64 && m.Type == transport.Refusal {
			t.Fatalf("beyond a limit: %+v", m)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > transport.MaxMessage && m.Type != transport.Letter || len(again) > transport.MaxLetterMessage {
			return // escapes may make it longer than what came
		}
		if back, err := transport.ParseMessage(again); err != nil || back != m {
			t.Fatalf("%s\nreads as %+v, %v\nwant     %+v", again, back, err, m)
		}
	})
}
