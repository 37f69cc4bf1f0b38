package hub

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/time/rate"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// attestPurpose is what the key of attestation challenges is derived for.
const attestPurpose = "attestation challenges"

// EnrolOptions are what a device has to show for a certificate, and what it gets
// (docs/ref/enrolment.md). The zero value lets in devices that are paired; where the fleet
// has a token, those alone that have one.
type EnrolOptions struct {
	// Admission is what lets a device in; empty is authority.AdmitPaired, or
	// authority.AdmitToken where the fleet has a token.
	Admission authority.Admission
	// Owners are those whose devices authority.AdmitPaired lets in; empty is any.
	Owners []seal.ID
	// Life is how long a certificate holds; 0 is 90 days. Not for an Issuer's.
	Life time.Duration
	// Grace is for how long one that has expired may still be renewed; 0 is a year.
	Grace time.Duration
	// Issuer signs devices' certificates in the hub's CA's place; nil for that.
	Issuer authority.Issuer
	// Attester makes the judge of how keys are kept, from a secret of the fleet's; nil
	// for none.
	Attester func(key [32]byte) authority.Attester
}

// ClaimToken makes a claim token of the hub on a state directory, which may be running: it
// lets one device in until expires, this one, or any for the zero ID.
func ClaimToken(dir string, expires time.Time, device seal.ID) (secret.Text, error) {
	if err := isHub(dir); err != nil { // rather than make a CA there
		return "", fmt.Errorf("make claim token: %w", err)
	}
	d, err := durable.Open(dir)
	if err != nil {
		return "", fmt.Errorf("make claim token: %w", err)
	}
	ca, err := authority.Open(d)
	if err != nil {
		return "", fmt.Errorf("make claim token: %w", err)
	}
	return ca.ClaimToken(expires, device)
}

// admission is what lets a device in where the options say it, and where they do not.
func (o *Options) admission() authority.Admission {
	switch {
	case o.Enrol.Admission != "":
		return o.Enrol.Admission
	case o.EnrolToken != "":
		return authority.AdmitToken
	}
	return authority.AdmitPaired
}

// complete refuses what cannot be meant.
func (o *EnrolOptions) complete() error {
	switch o.Admission {
	case "", authority.AdmitAny, authority.AdmitToken, authority.AdmitPaired:
	default:
		return fmt.Errorf("enrolment %q is not known", o.Admission)
	}
	if o.Life < 0 || o.Grace < 0 {
		return errors.New("a certificate's life or grace is negative")
	}
	return nil
}

// enrolment answers devices that ask for a certificate.
func (h *Hub) enrolment() (*authority.Enrolment, error) {
	o := h.options.Enrol
	e := &authority.Enrolment{
		Authority: h.authority, Issuer: h.issuer(), Admission: h.options.admission(), Token: string(h.options.EnrolToken),
		Register: h.roll, Grace: o.Grace, Log: h.log,
		Rate: rate.NewLimiter(rate.Limit(h.options.EnrolRate), max(1, int(10*h.options.EnrolRate))),
	}
	if len(o.Owners) > 0 {
		e.Owners = make(map[seal.ID]bool)
		for _, id := range o.Owners {
			e.Owners[id] = true
		}
	}
	if o.Attester != nil {
		key, err := h.authority.Secret(attestPurpose)
		if err != nil {
			return nil, err
		}
		e.Attester = o.Attester(key)
	}
	if e.Token == "" && e.Admission == authority.AdmitAny {
		h.log.Warn("enrolment is open: any device that reaches this hub is let in")
	}
	return e, nil
}

// issuer signs devices' certificates.
func (h *Hub) issuer() authority.Issuer {
	if h.options.Enrol.Issuer != nil {
		return h.options.Enrol.Issuer
	}
	return h.authority.Devices(h.options.Enrol.Life)
}

// deviceCAs are whose certificates devices are let in with: the issuer's, and the hub's
// own CA's, from which the fleet may have come.
func (h *Hub) deviceCAs() *x509.CertPool {
	pool := h.authority.Pool()
	for _, c := range h.issuer().Roots() {
		pool.AddCert(c)
	}
	return pool
}

// decide is the decider for devices that are not shut out.
func (h *Hub) decide(r *jwt.AuthorizationRequest) (seal.ID, error) {
	id, err := deviceOf(r)
	if err == nil {
		err = h.roll.admits(id)
	}
	if err != nil {
		return seal.ID{}, err
	}
	return id, nil
}

// evicter ends a device's session.
type evicter interface{ Evict(device seal.ID) }

// evict ends the session of a device that was revoked, where this hub can: at a broker in
// another process it lasts until its connection ends, and nothing that it says is taken.
func (h *Hub) evict(b *broker, gateway Gateway) func(seal.ID) {
	return func(device seal.ID) {
		if e, ok := gateway.(evicter); ok {
			e.Evict(device)
		}
		if b.server == nil || h.options.elsewhere() {
			return
		}
		conns, err := b.server.Connz(&server.ConnzOptions{MQTTClient: device.String()})
		if err != nil {
			h.log.Error("session of revoked device goes on", "device", device.String(), "err", err)
			return
		}
		for _, c := range conns.Conns {
			// It has ended by itself if this fails.
			_ = b.server.DisconnectClientByID(c.Cid)
		}
	}
}
