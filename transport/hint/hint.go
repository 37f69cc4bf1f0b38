// Package hint is what a hub says of its fleet (docs/ref/hint.md): signed, so that it
// may travel by ways that nobody vouches for.
//
// It owns the signed form, the newest hint on a device's disk, the way to fetch one, and
// the question whether one is fresh. It never decides when a device connects or fetches
// (recovery does), and it takes no hint that the device's own hub did not sign.
package hint

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	// Label is entry 0 of a hint.
	Label = "lensward/hint/1"
	// MaxSize bounds a hint, in bytes.
	MaxSize = 1 << 10
	// MaxLife is the longest time from a hint's issue to its expiry; a longer one is cut.
	MaxLife = 24 * time.Hour
)

// Why a hint is refused, beside the errors of package statement.
var (
	// ErrLabel means that it is a statement of another kind or version.
	ErrLabel = errors.New("not a hint of a known version")
	// ErrField means that a field is out of its range.
	ErrField = errors.New("a field is out of its range")
	// ErrHub means that another hub said it.
	ErrHub = errors.New("the hint of another hub")
)

// Statement is a hint as it is signed.
type Statement struct {
	// Hub is the ID of the hub's CA key.
	Hub seal.ID
	// Serial grows with every hint, 1 to 2^53-1.
	Serial uint64
	// Issued and Expires are by the hub's clock, in whole seconds.
	Issued, Expires time.Time
	// Hint is what is said: the windows in whole milliseconds, the drain in thousandths of
	// a message a second. Its serial is Serial.
	Hint recovery.Hint
}

// wire is the statement's CBOR map.
type wire struct {
	Label   string `cbor:"0,keyasint"`
	Hub     []byte `cbor:"1,keyasint"`
	Key     []byte `cbor:"2,keyasint"`
	Serial  uint64 `cbor:"3,keyasint"`
	Issued  uint64 `cbor:"4,keyasint"`
	Expires uint64 `cbor:"5,keyasint"`
	Window  uint64 `cbor:"6,keyasint"`
	Current uint64 `cbor:"7,keyasint"`
	Drain   uint64 `cbor:"8,keyasint,omitempty"`
}

// Sign makes a hint in the name of a hub's CA key, ECDSA P-256; s.Hub is not looked at.
// What it says is clamped first, as a reader would. ErrField is a serial or a time out of
// its range.
func Sign(key crypto.Signer, s Statement) ([]byte, error) {
	spki, err := statement.SPKI(key.Public())
	if err != nil {
		return nil, fmt.Errorf("sign hint: %w", err)
	}
	hub, said := seal.KeyID(spki), s.Hint.Clamp()
	w := wire{
		Label: Label, Hub: hub[:], Key: spki, Serial: s.Serial,
		Issued: uint64(s.Issued.Unix()), Expires: uint64(s.Expires.Unix()),
		Window: uint64(said.Window.Milliseconds()), Current: uint64(said.Current.Milliseconds()),
		Drain: uint64(said.Drain*1000 + 0.5),
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("sign hint: %w", err)
	}
	b, err := statement.Sign(key, w)
	if err != nil {
		return nil, fmt.Errorf("sign hint: %w", err)
	}
	return b, nil
}

// Verify reads a hint that must be of this hub, and gives it clamped. Its errors are
// ErrLabel, ErrField, ErrHub and those of package statement. One that has expired is no
// error: its window is still the best guess.
func Verify(b []byte, hub seal.ID) (*Statement, error) {
	s, err := verify(b, hub)
	if err != nil {
		return nil, fmt.Errorf("read hint: %w", err)
	}
	return s, nil
}

func verify(b []byte, hub seal.ID) (*Statement, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed: %w", len(b), MaxSize, statement.ErrTooLarge)
	}
	st, rest, err := statement.Parse(b, MaxSize)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes after its end: %w", len(rest), statement.ErrMalformed)
	}
	if label := statement.Label(st.Payload); label != Label {
		return nil, fmt.Errorf("label %.32q: %w", label, ErrLabel)
	}
	var w wire
	if err := statement.Unmarshal(st.Payload, &w); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	if id := seal.ID(w.Hub); id != hub || seal.KeyID(w.Key) != hub {
		return nil, fmt.Errorf("of hub %s: %w", id.Short(), ErrHub)
	}
	key, err := statement.ParseKey(w.Key)
	if err != nil {
		return nil, err
	}
	if err := st.Verify(key); err != nil {
		return nil, err
	}
	return w.statement(), nil
}

// check holds the fields against their ranges.
func (w *wire) check() error {
	for _, f := range []struct {
		name       string
		value, low uint64
	}{
		{"serial", w.Serial, 1}, {"issued", w.Issued, 1}, {"expires", w.Expires, w.Issued + 1},
		{"window", w.Window, 0}, {"current", w.Current, 0}, {"drain", w.Drain, 0},
	} {
		if f.value < f.low || f.value > statement.MaxInt {
			return fmt.Errorf("%s %d: %w", f.name, f.value, ErrField)
		}
	}
	if len(w.Hub) != len(seal.ID{}) {
		return fmt.Errorf("hub ID of %d bytes: %w", len(w.Hub), ErrField)
	}
	return nil
}

// statement is what the fields, which have been checked, say, clamped.
func (w *wire) statement() *Statement {
	issued := time.Unix(int64(w.Issued), 0).UTC()
	life := min(w.Expires-w.Issued, uint64(MaxLife/time.Second))
	h := recovery.Hint{
		Serial: w.Serial, Window: milliseconds(w.Window), Current: milliseconds(w.Current),
		Drain: float64(w.Drain) / 1000,
	}
	return &Statement{
		Hub: seal.ID(w.Hub), Serial: w.Serial, Hint: h.Clamp(),
		Issued: issued, Expires: issued.Add(time.Duration(life) * time.Second),
	}
}

// milliseconds is a duration that a Duration can hold: more is clamped anyway.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(recovery.MaxWindow/time.Millisecond))) * time.Millisecond
}
