package household

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"filippo.io/age"
)

// Secret is the recovery secret: what is on the sheet of paper. It prints as nothing secret.
type Secret struct{ bytes [32]byte }

// NewSecret makes a secret.
func NewSecret() Secret {
	var s Secret
	// It never fails: the runtime ends the program rather than give bad randomness.
	_, _ = rand.Read(s.bytes[:])
	return s
}

// ParseSecret reads the 24 words of a sheet, in any case and with any white space between
// them. Its errors quote none of them.
func ParseSecret(text string) (Secret, error) {
	b, err := parseWords(text)
	if err != nil {
		return Secret{}, fmt.Errorf("read recovery words: %w", err)
	}
	return Secret{b}, nil
}

// Words are the secret as it is on paper: 24 words.
func (s Secret) Words() string { return words(s.bytes) }

// QR is the text of the sheet's QR code, all of it in QR's alphanumeric mode.
func (s Secret) QR() string { return strings.ToUpper(s.Words()) }

// Format prints that it is a secret.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[recovery secret]") }

// LogValue says that it is a secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue("[recovery secret]") }

// Keeper is what an owner's device keeps of a sheet: enough to make boxes for it, and not
// to open one. It is a secret all the same: who has it can make a box.
type Keeper struct {
	// Recipient is whom boxes are encrypted to: age1pq1….
	Recipient string
	// Locator is the box's name at a courier: 32 lower-case hexadecimal digits.
	Locator string

	boxKey [32]byte
}

// NewKeeper puts a keeper together from its parts; the box key has 32 bytes.
func NewKeeper(recipient, locator string, boxKey []byte) (Keeper, error) {
	k := Keeper{Recipient: recipient, Locator: locator}
	if err := checkRecipient(recipient); err != nil {
		return Keeper{}, fmt.Errorf("read recovery keeper: %w", err)
	}
	if b, err := hex.DecodeString(locator); err != nil || len(b) != 16 || hex.EncodeToString(b) != locator {
		return Keeper{}, fmt.Errorf("read recovery keeper: locator is not 32 lower-case hexadecimal digits: %w", ErrField)
	}
	if copy(k.boxKey[:], boxKey) != len(k.boxKey) || len(boxKey) != len(k.boxKey) {
		return Keeper{}, fmt.Errorf("read recovery keeper: box key of %d bytes: %w", len(boxKey), ErrField)
	}
	return k, nil
}

// BoxKey authenticates boxes; 32 bytes.
func (k Keeper) BoxKey() []byte { return k.boxKey[:] }

// Format prints the locator, which is no secret.
func (k Keeper) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "keeper of box %s", k.Locator) }

// LogValue is the locator.
func (k Keeper) LogValue() slog.Value { return slog.StringValue(k.Locator) }

// Keeper is what is to be kept of the secret.
func (s Secret) Keeper() (Keeper, error) {
	id, err := s.identity()
	if err != nil {
		return Keeper{}, err
	}
	locator, err := s.derive("locator", 16)
	if err != nil {
		return Keeper{}, err
	}
	boxKey, err := s.derive("box", 32)
	if err != nil {
		return Keeper{}, err
	}
	return NewKeeper(id.recipient, hex.EncodeToString(locator), boxKey)
}

func (s Secret) derive(name string, size int) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, s.bytes[:], nil, "lensward/recovery/1 "+name, size)
	if err != nil {
		return nil, fmt.Errorf("derive %s from recovery secret: %w", name, err)
	}
	return b, nil
}

// identity opens boxes.
func (s Secret) identity() (Identity, error) {
	seed, err := s.derive("identity", 32)
	if err != nil {
		return Identity{}, err
	}
	id, err := age.ParseHybridIdentity(strings.ToUpper(bech32("age-secret-key-pq-", seed)))
	if err != nil {
		return Identity{}, fmt.Errorf("derive identity from recovery secret: %w", err)
	}
	return hybrid(id), nil
}

// bech32 is BIP-173's encoding, without its limit on the length, which is the form of
// age's keys. prefix is in lower case.
func bech32(prefix string, data []byte) string {
	const letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var values []byte
	acc, bits := 0, 0
	for _, b := range data {
		acc, bits = acc<<8|int(b), bits+8
		for ; bits >= 5; bits -= 5 {
			values = append(values, byte(acc>>(bits-5)&31))
		}
		acc &= 1<<bits - 1
	}
	if bits > 0 {
		values = append(values, byte(acc<<(5-bits)&31))
	}
	sum := bech32Checksum(prefix, values)
	for i := range 6 {
		values = append(values, byte(sum>>(5*(5-i))&31))
	}
	var out strings.Builder
	out.WriteString(prefix + "1")
	for _, v := range values {
		out.WriteByte(letters[v])
	}
	return out.String()
}

// bech32Checksum is the BCH code of BIP-173.
func bech32Checksum(prefix string, values []byte) uint32 {
	sum := uint32(1)
	step := func(v byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for _, c := range []byte(prefix) {
		step(c >> 5)
	}
	step(0)
	for _, c := range []byte(prefix) {
		step(c & 31)
	}
	for _, v := range values {
		step(v)
	}
	for range 6 {
		step(0)
	}
	return sum ^ 1
}
