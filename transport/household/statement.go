package household

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Bounds and defaults of a household's settings.
const (
	day = 24 * time.Hour

	MinRotation      = day
	DefaultRotation  = 30 * day
	MaxRotation      = 366 * day
	MinRetention     = day
	DefaultRetention = 90 * day
	MaxRetention     = 3660 * day
)

// Statement is what a household agrees on. Times are milliseconds since 1970.
type Statement struct {
	Owner    seal.ID
	OwnerKey []byte // SubjectPublicKeyInfo, DER
	// Serial counts the statements, from 1; Previous is the hash of the one before, zero
	// in the first.
	Serial   uint64
	Previous seal.Hash
	Created  int64
	// Rotation is how long a period lasts, Retention how long its identity is kept after.
	// Both in whole milliseconds.
	Rotation, Retention time.Duration
	// Periods are those whose identities are kept, oldest first; the last is the current.
	Periods []Period
	// Recipient is whom cameras encrypt to in the current period: age1pq1….
	Recipient string
	Members   []Member

	keysSize uint64
	keysHash seal.Hash
}

// Period is a span of time with an identity of its own.
type Period struct {
	Number uint64 `cbor:"1,keyasint"`
	// Recipient is SHA-256 of its recipient's text.
	Recipient seal.Hash `cbor:"2,keyasint"`
	From      int64     `cbor:"3,keyasint"`
	// Until is 0 in the current period alone.
	Until int64 `cbor:"4,keyasint,omitempty"`
}

// Member is a key that may look, and where identities for it are wrapped to.
type Member struct {
	ownership.Viewer
	// Recipient is age1pq1…, from the card of this number.
	Recipient string `cbor:"5,keyasint"`
	Card      uint64 `cbor:"6,keyasint"`
	// Since is when the statement was created that first had this recipient.
	Since int64 `cbor:"7,keyasint"`
}

// wireStatement is the statement's CBOR map.
type wireStatement struct {
	Label     string    `cbor:"0,keyasint"`
	Owner     []byte    `cbor:"1,keyasint"`
	OwnerKey  []byte    `cbor:"2,keyasint"`
	Serial    uint64    `cbor:"3,keyasint"`
	Previous  []byte    `cbor:"4,keyasint,omitempty"`
	Created   int64     `cbor:"5,keyasint"`
	Rotation  uint64    `cbor:"6,keyasint"`
	Retention uint64    `cbor:"7,keyasint"`
	Periods   []Period  `cbor:"8,keyasint"`
	Recipient string    `cbor:"9,keyasint"`
	Members   []Member  `cbor:"10,keyasint"`
	KeysSize  uint64    `cbor:"11,keyasint"`
	KeysHash  seal.Hash `cbor:"12,keyasint"`
}

func (s *Statement) wire() wireStatement {
	w := wireStatement{
		Label: Label, Owner: s.Owner[:], OwnerKey: s.OwnerKey, Serial: s.Serial, Created: s.Created,
		Rotation: uint64(s.Rotation.Milliseconds()), Retention: uint64(s.Retention.Milliseconds()),
		Periods: s.Periods, Recipient: s.Recipient, Members: s.Members, KeysSize: s.keysSize, KeysHash: s.keysHash,
	}
	if !s.Previous.IsZero() {
		w.Previous = s.Previous[:]
	}
	return w
}

func parseStatement(payload []byte) (Statement, error) {
	if label := statement.Label(payload); label != Label {
		return Statement{}, fmt.Errorf("label %.40q: %w", label, ErrLabel)
	}
	var w wireStatement
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Statement{}, err
	}
	s := Statement{
		OwnerKey: w.OwnerKey, Serial: w.Serial, Created: w.Created, Periods: w.Periods, Recipient: w.Recipient,
		Members: w.Members, keysSize: w.KeysSize, keysHash: w.KeysHash,
	}
	if len(w.Owner) != len(s.Owner) || w.Previous != nil && len(w.Previous) != len(s.Previous) {
		return s, fmt.Errorf("owner ID or hash is not 32 bytes: %w", ErrField)
	}
	copy(s.Owner[:], w.Owner)
	copy(s.Previous[:], w.Previous)
	if w.Previous != nil && s.Previous.IsZero() {
		return s, fmt.Errorf("the hash of the statement before is zero: %w", ErrField)
	}
	s.Rotation, s.Retention = milliseconds(w.Rotation), milliseconds(w.Retention)
	return s, s.check()
}

// milliseconds is a duration that a Duration can hold: more breaks a rule anyway.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(2*MaxRetention/time.Millisecond))) * time.Millisecond
}

// check holds a statement against the rules that it can be held against alone.
func (s *Statement) check() error {
	if _, err := statement.ParseKey(s.OwnerKey); err != nil {
		return fmt.Errorf("owner key: %w: %w", ErrField, err)
	}
	switch {
	case s.Serial < 1 || s.Serial > statement.MaxInt:
		return fmt.Errorf("serial %d: %w", s.Serial, ErrField)
	case (s.Serial == 1) != s.Previous.IsZero():
		return fmt.Errorf("serial %d and the statement before do not fit: %w", s.Serial, ErrField)
	case !isTime(s.Created):
		return fmt.Errorf("creation time is out of range: %w", ErrField)
	case s.Rotation < MinRotation || s.Rotation > MaxRotation:
		return fmt.Errorf("rotation after %v, %v to %v: %w", s.Rotation, MinRotation, MaxRotation, ErrField)
	case s.Retention < MinRetention || s.Retention > MaxRetention:
		return fmt.Errorf("retention of %v, %v to %v: %w", s.Retention, MinRetention, MaxRetention, ErrField)
	case s.keysSize < 1 || s.keysSize > MaxKeys:
		return fmt.Errorf("keys of %d bytes, at most %d: %w", s.keysSize, MaxKeys, ErrField)
	}
	if err := s.checkPeriods(); err != nil {
		return err
	}
	return s.checkMembers()
}

func isTime(ms int64) bool { return ms >= 0 && ms <= statement.MaxInt }

func (s *Statement) checkPeriods() error {
	if n := len(s.Periods); n < 1 || n > MaxPeriods {
		return fmt.Errorf("%d periods, 1 to %d: %w", n, MaxPeriods, ErrField)
	}
	seen := make(map[seal.Hash]bool)
	var before Period
	for i, p := range s.Periods {
		last := i == len(s.Periods)-1
		switch {
		case p.Number < 1 || p.Number > statement.MaxInt || i > 0 && p.Number != before.Number+1:
			return fmt.Errorf("period %d after %d: %w", p.Number, before.Number, ErrField)
		case !isTime(p.From) || !isTime(p.Until) || p.From < before.From || (p.Until == 0) != last || !last && p.Until < p.From:
			return fmt.Errorf("period %d is from %d to %d: %w", p.Number, p.From, p.Until, ErrField)
		case seen[p.Recipient]:
			return fmt.Errorf("period %d has the recipient of another: %w", p.Number, ErrField)
		}
		seen[p.Recipient], before = true, p
	}
	if before.From > s.Created || before.Recipient != hashOf(s.Recipient) {
		return fmt.Errorf("the current period's beginning or recipient does not fit: %w", ErrField)
	}
	return checkRecipient(s.Recipient)
}

// checkRecipient wants a hybrid recipient in its one spelling.
func checkRecipient(text string) error {
	r, err := age.ParseHybridRecipient(text)
	if err != nil || r.String() != text {
		return fmt.Errorf("recipient %.16q… is not a hybrid one: %w", text, ErrField)
	}
	return nil
}

func hashOf(recipient string) seal.Hash { return sha256.Sum256([]byte(recipient)) }

func (s *Statement) checkMembers() error {
	if n := len(s.Members); n < 1 || n > MaxMembers {
		return fmt.Errorf("%d members, 1 to %d: %w", n, MaxMembers, ErrField)
	}
	seen := make(map[string]bool)
	for _, m := range s.Members {
		if err := m.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrField, err)
		}
		if err := checkRecipient(m.Recipient); err != nil {
			return err
		}
		if seen[string(m.Key)] || seen[m.Recipient] {
			return fmt.Errorf("a member's key or recipient is listed twice: %w", ErrField)
		}
		seen[string(m.Key)], seen[m.Recipient] = true, true
		if m.Card < 1 || m.Card > statement.MaxInt || m.Since < 0 || m.Since > s.Created {
			return fmt.Errorf("member %q: card %d since %d: %w", m.Name, m.Card, m.Since, ErrField)
		}
	}
	return nil
}

// Current is the period in which cameras record now.
func (s *Statement) Current() Period { return s.Periods[len(s.Periods)-1] }

// PeriodOf is the period of an age recipient, if its identity is kept.
func (s *Statement) PeriodOf(recipient string) (Period, bool) {
	h := hashOf(recipient)
	i := slices.IndexFunc(s.Periods, func(p Period) bool { return p.Recipient == h })
	if i < 0 {
		return Period{}, false
	}
	return s.Periods[i], true
}

// Member is the entry of a key, SubjectPublicKeyInfo.
func (s *Statement) Member(key []byte) (Member, bool) {
	i := s.index(key)
	if i < 0 {
		return Member{}, false
	}
	return s.Members[i], true
}

func (s *Statement) index(key []byte) int {
	return slices.IndexFunc(s.Members, func(m Member) bool { return string(m.Key) == string(key) })
}

// Recipients are those of an ownership record of this household.
func (s *Statement) Recipients() []ownership.Recipient {
	return []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: s.Recipient}}
}

// Viewers are those of an ownership record of this household.
func (s *Statement) Viewers() []ownership.Viewer {
	out := make([]ownership.Viewer, 0, len(s.Members))
	for _, m := range s.Members {
		out = append(out, m.Viewer)
	}
	return out
}

// Due is when the next statement has to be made, with a new period: when the current one
// has lasted long enough, or a member's date has passed.
func (s *Statement) Due() time.Time {
	due := s.Current().From + s.Rotation.Milliseconds()
	for _, m := range s.Members {
		if m.Until != 0 {
			due = min(due, m.Until)
		}
	}
	return time.UnixMilli(due)
}

// ends is when a period's identity is to be destroyed, 0 for never yet.
func (s *Statement) ends(p Period) int64 {
	if p.Until == 0 {
		return 0
	}
	return p.Until + s.Retention.Milliseconds()
}

// Kept are those of the identities that may still be there at the time given: of periods
// that the statement lists and whose retention has not passed. The current one is first.
func (s *Statement) Kept(held Identities, now time.Time) Identities {
	var out Identities
	for _, p := range slices.Backward(s.Periods) {
		if end := s.ends(p); end != 0 && end <= now.UnixMilli() {
			continue
		}
		if id, ok := held.of(p.Recipient); ok {
			out = append(out, id)
		}
	}
	return out
}
