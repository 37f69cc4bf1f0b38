package hub

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// authSubject is where the server asks who may connect (NATS auth callout).
const authSubject = "$SYS.REQ.USER.AUTH"

// decider says which device a connection is, or why it is none.
type decider func(*jwt.AuthorizationRequest) (seal.ID, error)

// deviceOf is the decider for devices: the connection is MQTT, its certificate is
// verified, and the certificate's key, its common name, the client ID and the
// user name, where there is one, are all the same device's. The client ID has to
// be among them because the broker ends an older session with the same one.
func deviceOf(r *jwt.AuthorizationRequest) (seal.ID, error) {
	if r.ClientInformation.Type != "mqtt" {
		return seal.ID{}, fmt.Errorf("connection of type %q", r.ClientInformation.Type)
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return seal.ID{}, errors.New("no verified client certificate")
	}
	block, _ := pem.Decode([]byte(r.TLS.VerifiedChains[0][0]))
	if block == nil {
		return seal.ID{}, errors.New("client certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return seal.ID{}, fmt.Errorf("client certificate: %w", err)
	}
	id, err := authority.DeviceID(cert)
	if err != nil {
		return seal.ID{}, err
	}
	if got := r.ClientInformation.MQTT; got != id.String() {
		return seal.ID{}, fmt.Errorf("client ID %.64q is not that of certificate %s", got, id)
	}
	if got := r.ConnectOptions.Username; got != "" && got != id.String() {
		return seal.ID{}, fmt.Errorf("user name %.64q is not that of certificate %s", got, id)
	}
	return id, nil
}

// permissionsOf are a device's: its own topics, in NATS' spelling. Anything that
// is not allowed here is denied, the broker's own subjects and JetStream's API
// among it. Nothing more is needed at QoS 0.
func permissionsOf(id seal.ID) jwt.Permissions {
	var p jwt.Permissions
	for _, t := range upTopics() {
		p.Pub.Allow.Add(subjectOf(id, t))
	}
	p.Sub.Allow.Add(subjectOf(id, topicDown))
	return p
}

// gatekeeper answers the broker's question of who may connect.
type gatekeeper struct {
	issuer nkeys.KeyPair
	decide decider
	log    *slog.Logger
}

// gatekeepers is how many connections are decided at once.
const gatekeepers = 4

// serve answers until the connection closes.
func (g gatekeeper) serve(conn *nats.Conn) error {
	for range gatekeepers {
		if _, err := conn.QueueSubscribe(authSubject, "gatekeepers", g.answer); err != nil {
			return fmt.Errorf("answer who may connect: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("answer who may connect: %w", err)
	}
	return nil
}

func (g gatekeeper) answer(m *nats.Msg) {
	request, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		g.log.Warn("connection refused", "err", fmt.Errorf("read the broker's question: %w", err))
		return
	}
	response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	response.Audience = request.Server.ID
	id, err := g.decide(&request.AuthorizationRequest)
	if err == nil {
		response.Jwt, err = g.user(request.UserNkey, id)
	}
	if err != nil {
		g.log.Warn("connection refused", "from", request.ClientInformation.Host, "err", err)
		response.Error = "not authorised"
	}
	token, err := response.Encode(g.issuer)
	if err == nil {
		err = m.Respond([]byte(token))
	}
	if err != nil {
		g.log.Warn("connection refused", "err", fmt.Errorf("answer the broker: %w", err))
	}
}

// user is the broker's user for a device.
func (g gatekeeper) user(nkey string, id seal.ID) (string, error) {
	u := jwt.NewUserClaims(nkey)
	u.Name = id.String()
	u.Audience = accountFleet
	u.AllowedConnectionTypes.Add(jwt.ConnectionTypeMqtt)
	u.Permissions = permissionsOf(id)
	return u.Encode(g.issuer)
}
