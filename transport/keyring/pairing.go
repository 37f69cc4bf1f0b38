package keyring

import (
	"crypto"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
)

// Taker takes cameras for the keyring's owner: it is what pairing needs of it, a
// pairing.Keys. Of a member's keyring it can take none.
type Taker struct{ k *Keyring }

// Taker is the keyring's.
func (k *Keyring) Taker() Taker { return Taker{k} }

// Root is the root key.
func (t Taker) Root() crypto.Signer { return t.k.root }

// Newest is the newest kept record of a device, nil for none.
func (t Taker) Newest(device seal.ID) (*ownership.Signed, error) {
	all, err := t.k.Ownerships()
	if err != nil {
		return nil, err
	}
	for _, o := range newestOf(all) {
		if o.Record.Device == device {
			return &o.Signed, nil
		}
	}
	return nil, nil
}

// Draft names the household as it is now.
func (t Taker) Draft(terms pairing.Terms, now time.Time) (ownership.Record, error) {
	return t.k.Draft(terms.DeviceKey, nil, now)
}
