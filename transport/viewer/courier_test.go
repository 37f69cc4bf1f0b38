package viewer

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

func FuzzCourierAnswers(f *testing.F) {
	hash := strings.Repeat("0f", 32)
	junk := base64.RawURLEncoding.EncodeToString([]byte("junk"))
	f.Add([]byte(`{"statements":["` + junk + `"]}`))
	f.Add([]byte(`{"statements":[` + strings.Repeat(`"x",`, pageStatements) + `"x"]}`))
	f.Add([]byte(`{"cards":["` + junk + `","*"]}`))
	f.Add([]byte(`{"letters":[{"kind":"record","hash":"` + hash + `","sent":1,"answered":2,"ok":false,"reason":"roll-back"}]}`))
	f.Add([]byte(`{"letters":[{"kind":"release","hash":"` + hash + `","reason":"\u001b[2J"}]}`))
	f.Add([]byte(`{"id":"` + strings.Repeat("a", 52) + `","devices":["hub.example:8443"]}`))
	f.Add([]byte(`{} {}`))
	owner := seal.ID{1}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Nobody has this owner's key.
		if list, err := parseStatements(b, owner, 0); err == nil && len(list) > 0 {
			t.Errorf("%d statements of an owner who signed none", len(list))
		}
		if list, err := parseCards(b, owner); err == nil && len(list) > 0 {
			t.Errorf("%d cards", len(list))
		}
		list, err := parseLetters(b)
		for _, l := range list {
			if err != nil || l.Kind != "record" && l.Kind != "release" || len(l.Reason) > 64 || strings.ContainsAny(l.Reason, " \x1b\n") {
				t.Errorf("letter %+v, %v", l, err)
			}
		}
		if w, err := parseHubWord(b); err == nil && w.ID.IsZero() {
			t.Error("a hub without an ID")
		}
	})
}
