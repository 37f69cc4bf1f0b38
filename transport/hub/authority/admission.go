package authority

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// Admission says what lets a new device in. A claim token and the fleet's own token do
// wherever anything is asked for.
type Admission string

// The admissions.
const (
	// AdmitAny asks for nothing, unless the fleet has a token of its own. For demos.
	AdmitAny Admission = "open"
	// AdmitToken asks for a token.
	AdmitToken Admission = "token"
	// AdmitPaired takes an ownership record that the device has accepted in a token's place.
	AdmitPaired Admission = "paired"
)

// Register is what the hubs of a fleet remember of who was let in.
type Register interface {
	// Claim notes for good that a device has used a token, and gives the device that was
	// the first to use it: the same, if it asks again.
	Claim(ctx context.Context, token [sha256.Size]byte, device seal.ID) (seal.ID, error)
	// Revoked says whether the fleet's operator has shut a device out.
	Revoked(device seal.ID) bool
}

// claimPurpose is what the key of claim tokens is derived for.
const claimPurpose = "claim tokens"

// ClaimToken makes a token that lets one device in, once, until expires: this one, or any
// for the zero ID.
func (a *Authority) ClaimToken(expires time.Time, device seal.ID) (secret.Text, error) {
	key, err := a.Secret(claimPurpose)
	if err != nil {
		return "", err
	}
	return enrol.NewToken(key, expires, device)
}

// refusal is an answer other than a certificate.
type refusal struct {
	status int
	msg    string
	hint   string
}

func (r *refusal) Error() string { return r.msg }

func refuse(status int, hint, format string, args ...any) *refusal {
	return &refusal{status: status, msg: fmt.Sprintf(format, args...), hint: hint}
}

// admit says what let a device in, or why it is not: a refusal, or what failed.
func (e *Enrolment) admit(r *http.Request, device seal.ID, record []byte) (by string, err error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case e.Token != "" && sameText(token, e.Token):
		return "the fleet's token", nil
	case enrol.IsToken(token):
		return e.claim(r.Context(), token, device)
	case e.Admission == AdmitPaired && token == "" && record != nil:
		return e.paired(device, record)
	case e.Token == "" && e.Admission == AdmitAny:
		return "nothing", nil
	}
	hint := "give the device a token that lensctl hub token made"
	if e.Admission == AdmitPaired {
		hint = "pair the device first, or give it a token that lensctl hub token made"
	}
	return "", refuse(http.StatusUnauthorized, hint, "enrolment token is missing or wrong")
}

// claim uses a token up.
func (e *Enrolment) claim(ctx context.Context, text string, device seal.ID) (string, error) {
	const hint = "make another with lensctl hub token"
	t, err := enrol.ParseToken(text)
	if err != nil {
		return "", refuse(http.StatusUnauthorized, hint, "%v", err)
	}
	key, err := e.Authority.Secret(claimPurpose)
	if err != nil {
		return "", err
	}
	if err := t.Check(key, device, time.Now()); err != nil {
		return "", refuse(http.StatusUnauthorized, hint, "%v", err)
	}
	hash := t.Hash()
	name := hex.EncodeToString(hash[:8])
	holder, err := e.Register.Claim(ctx, hash, device)
	if err != nil {
		return "", fmt.Errorf("note use of claim token: %w", err)
	}
	if holder != device {
		e.Log.Warn("a claim token is used a second time", "token", name, "by", device.String(), "first", holder.String())
		return "", refuse(http.StatusForbidden, hint, "the claim token was used by another device")
	}
	return "claim token " + name, nil
}

// paired takes an owner's word, and the device's that it has this owner.
func (e *Enrolment) paired(device seal.ID, record []byte) (string, error) {
	o, err := ownership.Parse(record)
	if err == nil {
		err = o.Verify()
	}
	if err == nil && o.Record.Device != device {
		err = errors.New("it is another device's")
	}
	if err != nil {
		return "", refuse(http.StatusForbidden, "pair the device again", "the ownership record is not good: %v", err)
	}
	if owner := o.Record.Owner; e.Owners != nil && !e.Owners[owner] {
		return "", refuse(http.StatusForbidden, "have the fleet's operator let the owner in, or give the device a token", "owner %s may not bring devices to this hub", owner.Short())
	}
	return "owner " + o.Record.Owner.String(), nil
}

// sameText compares in constant time.
func sameText(x, y string) bool {
	a, b := sha256.Sum256([]byte(x)), sha256.Sum256([]byte(y))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
