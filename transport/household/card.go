package household

import (
	"crypto"
	"fmt"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	// LabelCard is entry 0 of a card.
	LabelCard = "lensward/member/1"
	// MaxCard bounds a card, in bytes.
	MaxCard = 4 << 10
)

// Card is a member's signed word for where its next identities are to be wrapped to.
type Card struct {
	// Owner is whose household it is for.
	Owner seal.ID
	// Key is the member's, SubjectPublicKeyInfo.
	Key []byte
	// Number grows with every card of this key, from 1.
	Number uint64
	// Recipient is age1pq1….
	Recipient string
}

// wireCard is the card's CBOR map.
type wireCard struct {
	Label     string `cbor:"0,keyasint"`
	Owner     []byte `cbor:"1,keyasint"`
	Key       []byte `cbor:"2,keyasint"`
	Number    uint64 `cbor:"3,keyasint"`
	Recipient string `cbor:"4,keyasint"`
}

// SignCard makes a card with a member's key, ECDSA P-256; c.Key is not looked at.
func SignCard(key crypto.Signer, c Card) ([]byte, error) {
	spki, err := statement.SPKI(key.Public())
	if err != nil {
		return nil, fmt.Errorf("sign card: %w", err)
	}
	w := wireCard{Label: LabelCard, Owner: c.Owner[:], Key: spki, Number: c.Number, Recipient: c.Recipient}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("sign card: %w", err)
	}
	b, err := statement.Sign(key, w)
	if err != nil {
		return nil, fmt.Errorf("sign card: %w", err)
	}
	return b, nil
}

// VerifyCard reads a card for this owner's household. Its errors are ErrLabel, ErrField,
// ErrOwner and those of package statement.
func VerifyCard(b []byte, owner seal.ID) (*Card, error) {
	c, err := verifyCard(b, owner)
	if err != nil {
		return nil, fmt.Errorf("read card: %w", err)
	}
	return c, nil
}

func verifyCard(b []byte, owner seal.ID) (*Card, error) {
	if len(b) > MaxCard {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxCard, statement.ErrTooLarge)
	}
	env, rest, err := statement.Parse(b, MaxCard)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes after its end: %w", len(rest), statement.ErrMalformed)
	}
	if label := statement.Label(env.Payload); label != LabelCard {
		return nil, fmt.Errorf("label %.40q: %w", label, ErrLabel)
	}
	var w wireCard
	if err := statement.Unmarshal(env.Payload, &w); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	if seal.ID(w.Owner) != owner {
		return nil, fmt.Errorf("for owner %s: %w", seal.ID(w.Owner).Short(), ErrOwner)
	}
	key, err := statement.ParseKey(w.Key)
	if err != nil {
		return nil, err
	}
	if err := env.Verify(key); err != nil {
		return nil, err
	}
	return &Card{Owner: owner, Key: w.Key, Number: w.Number, Recipient: w.Recipient}, nil
}

func (w *wireCard) check() error {
	if len(w.Owner) != len(seal.ID{}) {
		return fmt.Errorf("owner ID of %d bytes: %w", len(w.Owner), ErrField)
	}
	if _, err := statement.ParseKey(w.Key); err != nil {
		return fmt.Errorf("%w: %w", ErrField, err)
	}
	if w.Number < 1 || w.Number > statement.MaxInt {
		return fmt.Errorf("number %d: %w", w.Number, ErrField)
	}
	return checkRecipient(w.Recipient)
}
