package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"
)

// ticketDays is for how many days, today among them, a session ticket is taken.
const ticketDays = 3

// TicketKeys are the keys of TLS session tickets for the listener of this name on now's
// day (UTC), the one that new tickets are made with first. The day before's and the one
// before that are among them, and the next day's, for another hub whose clock is ahead.
//
// They are derived from the CA's key (HKDF, RFC 5869), so that a hub that was started
// again, or another of the same cluster, takes the tickets of the one before. They give
// nothing to whoever steals that key later as long as tickets are made for TLS 1.3
// alone, where each session makes its own secret (RFC 8446, section 2.2).
func (a *Authority) TicketKeys(listener string, now time.Time) ([][32]byte, error) {
	secret, err := a.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive ticket keys: %w", err)
	}
	today := uint64(now.Unix() / (24 * 60 * 60))
	days := []uint64{today, today + 1}
	for d := uint64(1); d < ticketDays; d++ {
		days = append(days, today-d)
	}
	keys := make([][32]byte, len(days))
	for i, day := range days {
		info := string(binary.BigEndian.AppendUint64([]byte("lensward/tls-ticket/1\x00"+listener+"\x00"), day))
		b, err := hkdf.Key(sha256.New, secret, nil, info, len(keys[i]))
		if err != nil {
			return nil, fmt.Errorf("derive ticket keys: %w", err)
		}
		copy(keys[i][:], b)
	}
	return keys, nil
}

// Signer signs in the hub's name, with the CA's key. What is signed must begin with a
// label of its own, as every signed statement does.
func (a *Authority) Signer() crypto.Signer { return a.key }

// Client makes a client certificate in a name that is no device's, for the hub itself
// at a broker that trusts the CA. Its key is never written anywhere.
func (a *Authority) Client(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make client key: %w", err)
	}
	cert, err := a.client(&key.PublicKey, name, always(), never())
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}
