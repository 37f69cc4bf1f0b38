package household

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	// LabelBox is entry 0 of what is in a box.
	LabelBox = "lensward/recovery-box/1"
	// MaxBox bounds a box, in bytes.
	MaxBox = 192 << 10
)

// ErrBox means that a box is not one that was made for this sheet.
var ErrBox = errors.New("the box was not made for this recovery sheet, or it was changed")

// Box is what a recovery sheet opens.
type Box struct {
	// Root is the owner's root key.
	Root *ecdsa.PrivateKey
	// Identities are those that were kept when the box was made.
	Identities Identities
	Created    time.Time
	// Newest is the newest statement then, without keys; nil before there was one.
	Newest *Signed
}

// wireBox is a box, wireContents what is in it.
type wireBox struct {
	_    struct{} `cbor:",toarray"`
	Tag  []byte
	File []byte
}

type wireContents struct {
	Label      string `cbor:"0,keyasint"`
	Root       []byte `cbor:"1,keyasint"`
	Identities string `cbor:"2,keyasint"`
	Created    int64  `cbor:"3,keyasint"`
	Newest     []byte `cbor:"4,keyasint,omitempty"`
}

// Seal makes a box for the sheet.
func (k Keeper) Seal(b Box) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(b.Root)
	if err != nil {
		return nil, fmt.Errorf("make recovery box: %w", err)
	}
	c := wireContents{Label: LabelBox, Root: der, Identities: string(b.Identities.File()), Created: b.Created.UnixMilli()}
	if b.Newest != nil {
		c.Newest = b.Newest.Envelope()
	}
	plain, err := statement.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("make recovery box: %w", err)
	}
	file, err := encrypt(plain, []string{k.Recipient})
	if err != nil {
		return nil, fmt.Errorf("make recovery box: %w", err)
	}
	out, err := statement.Marshal(wireBox{Tag: k.tag(file), File: file})
	if err != nil {
		return nil, fmt.Errorf("make recovery box: %w", err)
	}
	if len(out) > MaxBox {
		return nil, fmt.Errorf("make recovery box: %d bytes, at most %d", len(out), MaxBox)
	}
	return out, nil
}

func (k Keeper) tag(file []byte) []byte {
	mac := hmac.New(sha256.New, k.boxKey[:])
	mac.Write(file)
	return mac.Sum(nil)
}

// Open opens a box with the sheet's secret. ErrBox is one that was not made for it; what
// else is wrong with a box was wrong when it was made.
func (s Secret) Open(b []byte) (*Box, error) {
	out, err := s.open(b)
	if err != nil {
		return nil, fmt.Errorf("open recovery box: %w", err)
	}
	return out, nil
}

func (s Secret) open(b []byte) (*Box, error) {
	if len(b) > MaxBox {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxBox, statement.ErrTooLarge)
	}
	var w wireBox
	if err := statement.Unmarshal(b, &w); err != nil {
		return nil, err
	}
	keeper, err := s.Keeper()
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(w.Tag, keeper.tag(w.File)) {
		return nil, ErrBox
	}
	id, err := s.identity()
	if err != nil {
		return nil, err
	}
	plain, err := decrypt(w.File, MaxBox, []age.Identity{id.age})
	if err != nil {
		return nil, err
	}
	var c wireContents
	if err := statement.Unmarshal(plain, &c); err != nil {
		return nil, err
	}
	return c.box()
}

// box is what the contents say.
func (c *wireContents) box() (*Box, error) {
	if c.Label != LabelBox {
		return nil, fmt.Errorf("label %.40q: %w", c.Label, ErrLabel)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(c.Root)
	root, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || root.Curve != elliptic.P256() {
		return nil, fmt.Errorf("root key: %w", statement.ErrKey)
	}
	ids, err := ParseIdentities([]byte(c.Identities))
	if err != nil {
		return nil, err
	}
	if !isTime(c.Created) {
		return nil, fmt.Errorf("creation time is out of range: %w", ErrField)
	}
	out := &Box{Root: root, Identities: ids, Created: time.UnixMilli(c.Created).UTC()}
	if c.Newest == nil {
		return out, nil
	}
	owner, err := seal.IDOf(root.Public())
	if err != nil {
		return nil, err
	}
	out.Newest, err = Verify(c.Newest, owner)
	return out, err
}
