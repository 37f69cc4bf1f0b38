package store

import (
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// A standing is read for the device of its subject, or not at all.
func FuzzStanding(f *testing.F) {
	id := seal.ID{1}.String()
	f.Add(revokedSubject+id, []byte(`{"revoked":true}`))
	f.Add(revokedSubject+id, []byte(`{"revoked":1}`))
	f.Add(claimSubject+id, []byte(`{}`))
	f.Add(revokedSubject+"me", []byte(nil))
	f.Fuzz(func(t *testing.T, subject string, b []byte) {
		st, err := parseStanding(subject, b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "read standing at ") || len(err.Error()) > 2048 {
				t.Fatal(err)
			}
			return
		}
		if subject != revokedSubject+st.Device.String() || len(b) > maxStanding || st.Revoked && !strings.Contains(string(b), "true") {
			t.Fatalf("%q %q is %+v", subject, b, st)
		}
	})
}
