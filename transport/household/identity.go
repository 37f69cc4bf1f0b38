package household

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/seal"
)

// maxIdentities bounds an identities file, in bytes.
const maxIdentities = 32 << 10

// Identity is an age identity of one of the two native kinds. It prints as nothing secret.
type Identity struct {
	age       age.Identity
	secret    secret.Text
	recipient string
}

// Identities are several, each once.
type Identities []Identity

// NewIdentity makes a hybrid identity.
func NewIdentity() (Identity, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return Identity{}, fmt.Errorf("make identity: %w", err)
	}
	return hybrid(id), nil
}

func hybrid(id *age.HybridIdentity) Identity {
	return Identity{id, secret.Text(id.String()), id.Recipient().String()}
}

// ParseIdentities reads an age identities file of at most 32 KiB, hybrid or X25519. Its
// errors quote nothing of it.
func ParseIdentities(text []byte) (Identities, error) {
	if len(text) > maxIdentities {
		return nil, fmt.Errorf("read identities: %d bytes, at most %d", len(text), maxIdentities)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("read identities: not age identities")
	}
	var out Identities
	for _, id := range ids {
		var one Identity
		switch id := id.(type) {
		case *age.HybridIdentity:
			one = hybrid(id)
		case *age.X25519Identity:
			one = Identity{id, secret.Text(id.String()), id.Recipient().String()}
		default:
			return nil, errors.New("read identities: a kind that is not known")
		}
		out = out.With(one)
	}
	return out, nil
}

// Recipient is the identity's recipient, as age writes it.
func (i Identity) Recipient() string { return i.recipient }

// Secret is the identity itself, as age writes it.
func (i Identity) Secret() string { return string(i.secret) }

// Format prints that it is an identity.
func (i Identity) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[age identity]") }

// LogValue says that it is an identity.
func (i Identity) LogValue() slog.Value { return slog.StringValue("[age identity]") }

// Age are the identities as package age takes them.
func (ids Identities) Age() []age.Identity {
	out := make([]age.Identity, 0, len(ids))
	for _, id := range ids {
		out = append(out, id.age)
	}
	return out
}

// File is an age identities file, which the stock age tool takes. It is a secret.
func (ids Identities) File() []byte {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%s\n", id.Secret())
	}
	return []byte(b.String())
}

// With is the set with one more at its end, unless it is there.
func (ids Identities) With(more ...Identity) Identities {
	out := append(Identities(nil), ids...)
	for _, id := range more {
		if _, there := out.For(id.recipient); !there {
			out = append(out, id)
		}
	}
	return out
}

// For is the identity of a recipient.
func (ids Identities) For(recipient string) (Identity, bool) {
	for _, id := range ids {
		if id.recipient == recipient {
			return id, true
		}
	}
	return Identity{}, false
}

// of is the identity of a recipient of which the hash is known.
func (ids Identities) of(recipient seal.Hash) (Identity, bool) {
	for _, id := range ids {
		if hashOf(id.recipient) == recipient {
			return id, true
		}
	}
	return Identity{}, false
}

// encrypt is age, binary format, to recipients of the hybrid kind.
func encrypt(plain []byte, to []string) ([]byte, error) {
	var recipients []age.Recipient
	for _, text := range to {
		r, err := age.ParseHybridRecipient(text)
		if err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
		recipients = append(recipients, r)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out.Bytes(), nil
}

// decrypt opens an age file of at most limit bytes inside.
func decrypt(file []byte, limit int64, ids []age.Identity) ([]byte, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("decrypt: %w", ErrLocked)
	}
	r, err := age.Decrypt(bytes.NewReader(file), ids...)
	var no *age.NoIdentityMatchError
	if errors.As(err, &no) {
		return nil, fmt.Errorf("decrypt: %w", ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	if int64(len(plain)) > limit {
		return nil, fmt.Errorf("decrypt: more than %d bytes", limit)
	}
	return plain, nil
}
