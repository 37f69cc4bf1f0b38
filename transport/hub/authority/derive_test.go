package authority

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// A CA gives the same keys to every hub that has it, and another day's, another
// listener's and another CA's are others. A ticket is taken for three days.
func TestTicketKeys(t *testing.T) {
	dir := t.TempDir()
	keys := func(dir, listener string, now time.Time) [][32]byte {
		t.Helper()
		a, err := open(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		k, err := a.TicketKeys(listener, now)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	today := keys(dir, "mqtt", noon)
	if !slices.Equal(today, keys(dir, "mqtt", noon.Add(11*time.Hour))) {
		t.Error("another hub with the CA has other keys on the same day")
	}
	for ahead, want := range map[time.Duration]bool{-24 * time.Hour: true, 24 * time.Hour: true, 48 * time.Hour: true, 72 * time.Hour: false} {
		later := keys(dir, "mqtt", noon.Add(ahead))
		if slices.Contains(later, today[0]) != want {
			t.Errorf("%v later today's tickets are taken: %v", ahead, !want)
		}
		if later[0] == today[0] {
			t.Errorf("%v later tickets are made with the same key", ahead)
		}
	}
	for _, other := range [][][32]byte{keys(dir, "https", noon), keys(t.TempDir(), "mqtt", noon)} {
		for _, k := range other {
			if slices.Contains(today, k) {
				t.Error("another listener or CA has one of the keys")
			}
		}
	}
}

// The hub's own certificate is good for a client and is no device's.
func TestClientCertificate(t *testing.T) {
	a, err := open(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Client("hub")
	if err != nil {
		t.Fatal(err)
	}
	if c.Leaf.Subject.CommonName != "hub" {
		t.Errorf("it is called %q", c.Leaf.Subject.CommonName)
	}
	for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
		_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{usage}})
		if (err == nil) != want {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
	if id, err := DeviceID(c.Leaf); err == nil {
		t.Errorf("it is device %s", id.Short())
	}
	if _, err := seal.ParseID("hub"); err == nil {
		t.Error("a device may be called hub")
	}
}
