package hub

import (
	"encoding/hex"
	"fmt"

	"github.com/nats-io/nkeys"

	"github.com/lensward/lensward/transport/hub/authority"
)

// brokerKeys are what the parts of a broker know one another by. They are derived from
// the CA's key, so that every hub of a cluster has the same, and written nowhere but
// into the configuration of a broker of its own (docs/ref/cluster.md).
type brokerKeys struct {
	issuer nkeys.KeyPair // of what the gatekeeper says
	auth   nkeys.KeyPair // the gatekeeper's user
	hub    nkeys.KeyPair // the hub's own user
	route  string        // the brokers' word to one another
}

func deriveBrokerKeys(a *authority.Authority) (brokerKeys, error) {
	var k brokerKeys
	for _, d := range []struct {
		purpose string
		prefix  nkeys.PrefixByte
		dst     *nkeys.KeyPair
	}{
		{"broker issuer", nkeys.PrefixByteAccount, &k.issuer},
		{"broker auth", nkeys.PrefixByteUser, &k.auth},
		{"broker hub", nkeys.PrefixByteUser, &k.hub},
	} {
		seed, err := a.Secret(d.purpose)
		if err != nil {
			return k, fmt.Errorf("derive broker key: %w", err)
		}
		if *d.dst, err = nkeys.FromRawSeed(d.prefix, seed[:]); err != nil {
			return k, fmt.Errorf("derive broker key: %w", err)
		}
	}
	word, err := a.Secret("broker route")
	if err != nil {
		return k, fmt.Errorf("derive broker key: %w", err)
	}
	k.route = hex.EncodeToString(word[:])
	return k, nil
}

// public are the public keys of issuer, auth and hub.
func (k brokerKeys) public() (p [3]string, err error) {
	for i, pair := range []nkeys.KeyPair{k.issuer, k.auth, k.hub} {
		if p[i], err = pair.PublicKey(); err != nil {
			return p, fmt.Errorf("read broker key: %w", err)
		}
	}
	return p, nil
}
