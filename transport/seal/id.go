package seal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/lensward/lensward/transport/statement"
)

// ID names a device or an owner: SHA-256 of the key's SubjectPublicKeyInfo.
// Whoever has the key can check the name, so nobody has to be asked.
type ID [sha256.Size]byte

// KeyID is the ID of the key with this SubjectPublicKeyInfo (DER).
func KeyID(spki []byte) ID { return sha256.Sum256(spki) }

// IDOf is the ID of an ECDSA P-256 public key.
func IDOf(pub any) (ID, error) {
	spki, err := statement.SPKI(pub)
	if err != nil {
		return ID{}, err
	}
	return KeyID(spki), nil
}

// base32ID is RFC 4648 base32 in lower case without padding.
func base32ID() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// String is the whole ID: 52 characters of lower-case base32.
func (id ID) String() string { return base32ID().EncodeToString(id[:]) }

// Short is the first 8 characters, for people. It identifies nothing by itself.
func (id ID) Short() string { return id.String()[:8] }

// IsZero says that no ID was set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String writes, and only that.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 52 {
		return id, fmt.Errorf("read ID: %d characters, not 52", len(s))
	}
	b, err := base32ID().DecodeString(s)
	if err != nil {
		return id, fmt.Errorf("read ID: %w", err)
	}
	copy(id[:], b)
	if id.String() != s {
		return ID{}, fmt.Errorf("read ID: not the usual spelling")
	}
	return id, nil
}

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// Hash is a SHA-256 hash, printed in lower-case hexadecimal.
type Hash [sha256.Size]byte

// String is 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero says that no hash was set.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes, and only that.
func (h *Hash) UnmarshalText(b []byte) error { return unhex(h[:], b, "hash") }

// EventID names an event: 16 random bytes. Zero means none.
type EventID [16]byte

// String is 32 hexadecimal digits.
func (e EventID) String() string { return hex.EncodeToString(e[:]) }

// IsZero says that there is no event.
func (e EventID) IsZero() bool { return e == EventID{} }

// MarshalText is String.
func (e EventID) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText writes, and only that.
func (e *EventID) UnmarshalText(b []byte) error { return unhex(e[:], b, "event ID") }

func unhex(dst, src []byte, what string) error {
	if len(src) != 2*len(dst) || strings.ToLower(string(src)) != string(src) {
		return fmt.Errorf("read %s: not %d lower-case hexadecimal digits", what, 2*len(dst))
	}
	if _, err := hex.Decode(dst, src); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// Ref is the one place where an item stands. No device signs two different items
// for one place.
type Ref struct {
	Device ID
	// Epoch counts the device's ownerships, from 1.
	Epoch uint64
	// Chain is the boot counter at which the chain began.
	Chain uint64
	// Seq is the item's number in its chain, from 1.
	Seq uint64
}

// String is "device/epoch/chain/seq".
func (r Ref) String() string {
	return fmt.Sprintf("%s/%d/%d/%d", r.Device, r.Epoch, r.Chain, r.Seq)
}

// ParseRef reads what String writes, and only that.
func ParseRef(s string) (Ref, error) {
	var r Ref
	f := strings.Split(s, "/")
	if len(f) != 4 {
		return r, fmt.Errorf("read item reference: not device/epoch/chain/seq")
	}
	var err error
	if r.Device, err = ParseID(f[0]); err != nil {
		return Ref{}, fmt.Errorf("read item reference: %w", err)
	}
	for i, p := range []*uint64{&r.Epoch, &r.Chain, &r.Seq} {
		if *p, err = strconv.ParseUint(f[i+1], 10, 53); err != nil {
			return Ref{}, fmt.Errorf("read item reference: %w", err)
		}
	}
	if r.String() != s {
		return Ref{}, fmt.Errorf("read item reference: not the usual spelling")
	}
	return r, nil
}

// MarshalText is String.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRef.
func (r *Ref) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRef(string(b))
	return err
}
