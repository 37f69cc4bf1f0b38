package keyring

import (
	"testing"

	"github.com/lensward/lensward/transport/household"
)

func FuzzParseSheet(f *testing.F) {
	k, err := household.NewSecret().Keeper()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"version":1,"recipient":"` + k.Recipient + `","box_key":"` + k.Locator + k.Locator + `","locator":"` + k.Locator + `"}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseSheet(b)
		if err != nil {
			return
		}
		if _, err := household.NewKeeper(k.Recipient, k.Locator, k.BoxKey()); err != nil {
			t.Errorf("read, and it is none: %v", err)
		}
	})
}
