package enrol

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/seal"
)

const (
	tokenPrefix = "lwc1-"
	tokenLabel  = "lensward/claim/1\x00"
	tokenBound  = 1 // the flag of a token for one device

	tokenNonce = 15 // bytes
	tokenMAC   = 16
	tokenBody  = 1 + 8 + tokenNonce
	tokenSize  = tokenBody + tokenMAC // 64 characters of base32, with no bit to spare

	// maxTokenExpiry is the last second of the year 9999.
	maxTokenExpiry = 253402300799
)

// Errors of a claim token.
var (
	// ErrToken means that a token is none, or not one of this fleet's for this device.
	ErrToken = errors.New("not a claim token of this fleet for this device")
	// ErrTokenExpired means that a token's time is over.
	ErrTokenExpired = errors.New("the claim token has expired")
)

// Token is a claim token: it lets one device in, once. Whoever has the fleet's key can
// make one and tell whether another is; that it is used once is for the hub to see to.
type Token struct{ raw [tokenSize]byte }

// IsToken says that a text is meant as a claim token, as against one that is a fleet's
// for good.
func IsToken(s string) bool { return strings.HasPrefix(strings.ToLower(s), tokenPrefix) }

// NewToken makes a token that holds until expires. With a device it lets in no other; the
// zero ID is any.
func NewToken(key [32]byte, expires time.Time, device seal.ID) (secret.Text, error) {
	if s := expires.Unix(); s < 0 || s > maxTokenExpiry {
		return "", fmt.Errorf("make claim token: it cannot expire at %v", expires)
	}
	var t Token
	if !device.IsZero() {
		t.raw[0] = tokenBound
	}
	binary.BigEndian.PutUint64(t.raw[1:], uint64(expires.Unix()))
	if _, err := rand.Read(t.raw[9:tokenBody]); err != nil {
		return "", fmt.Errorf("make claim token: %w", err)
	}
	copy(t.raw[tokenBody:], t.mac(key, device))
	return secret.Text(t.text()), nil
}

// ParseToken reads a token in capital or small letters. It believes nothing yet.
func ParseToken(s string) (*Token, error) {
	s = strings.ToLower(s)
	if !IsToken(s) || len(s) != len(tokenPrefix)+base32.StdEncoding.WithPadding(base32.NoPadding).EncodedLen(tokenSize) {
		return nil, fmt.Errorf("read claim token: %w", ErrToken)
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(s[len(tokenPrefix):]))
	if err != nil || len(b) != tokenSize { // the library passes over line breaks
		return nil, fmt.Errorf("read claim token: %w", ErrToken)
	}
	t := &Token{raw: [tokenSize]byte(b)}
	if t.raw[0]&^tokenBound != 0 || binary.BigEndian.Uint64(t.raw[1:]) > maxTokenExpiry {
		return nil, fmt.Errorf("read claim token: %w", ErrToken)
	}
	return t, nil
}

// Check says whether the token may let this device in at that time: ErrToken or
// ErrTokenExpired if not. Whether it was used is not asked.
func (t *Token) Check(key [32]byte, device seal.ID, now time.Time) error {
	if !t.bound() {
		device = seal.ID{}
	}
	if !hmac.Equal(t.raw[tokenBody:], t.mac(key, device)) {
		return ErrToken
	}
	if !now.Before(t.Expires()) {
		return ErrTokenExpired
	}
	return nil
}

// Expires is until when the token holds.
func (t *Token) Expires() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(t.raw[1:])), 0)
}

// Hash names the token without giving it away.
func (t *Token) Hash() [sha256.Size]byte { return sha256.Sum256(t.raw[:]) }

func (t *Token) bound() bool { return t.raw[0]&tokenBound != 0 }

func (t *Token) text() string {
	return tokenPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(t.raw[:]))
}

// mac covers what the token says and the device that it is for, all zeros for any.
func (t *Token) mac(key [32]byte, device seal.ID) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(tokenLabel)) // a hash's Write never fails
	m.Write(t.raw[:tokenBody])
	m.Write(device[:])
	return m.Sum(nil)[:tokenMAC]
}
