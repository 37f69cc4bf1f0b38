package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/cluster"
	"github.com/lensward/lensward/transport/hub/front"
)

const (
	// replicas is how many nodes keep everything, however many there are.
	replicas = 3
	// A node that answers none of routePings in a row is cut off, and what was meant for
	// it goes elsewhere.
	routePing  = 3 * time.Second
	routePings = 3
	// routeUser is what brokers call themselves to one another. The word is derived.
	routeUser = "hub"
	// settleTry is how long the leader of one of the server's own streams may take to
	// answer, and settlePause the time between two tries.
	settleTry   = 2 * time.Second
	settlePause = 200 * time.Millisecond
)

// node is this hub's name among those of its cluster.
func (h *Hub) node() string {
	if h.cluster == nil {
		return loneNode
	}
	return h.cluster.Node
}

// loneNode is what a hub that stands alone is called where nodes have names.
const loneNode = "hub"

// clusterOptions make the broker a server of a cluster.
type clusterOptions struct {
	name  string // the cluster's
	nodes *cluster.Cluster
	tls   *tls.Config
}

// clusterOptions are nil for a hub that stands alone.
func (h *Hub) clusterOptions() (*clusterOptions, error) {
	if h.cluster == nil {
		return nil, nil
	}
	cert, err := h.authority.Node(append(h.certHosts(), h.cluster.Self().Host()))
	if err != nil {
		return nil, err
	}
	return &clusterOptions{
		name: clusterName(h.authority), nodes: h.cluster,
		tls: &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: h.authority.Pool(), RootCAs: h.authority.Pool(),
		},
	}, nil
}

// clusterName keeps the brokers of different fleets apart.
func clusterName(a *authority.Authority) string { return "lensward-" + a.ID().Short() }

// replicas is how many servers keep each stream.
func (c *clusterOptions) replicas() int {
	if c == nil {
		return 1
	}
	return replicas
}

// apply sets what the server needs to find the others. The certificate says that a
// server is of this CA, as a device is, and the word that it is a broker.
func (c *clusterOptions) apply(opts *server.Options, word string) {
	// The server does not look for the others before it listens for clients. There are
	// none but those in the process, and nobody else is let in.
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", server.RANDOM_PORT
	self := c.nodes.Self()
	opts.Cluster = server.ClusterOpts{
		Name: c.name, Host: listenHost(self.Host()), Port: self.Port(), Advertise: self.Address, NoAdvertise: true,
		Username: routeUser, Password: word, AuthTimeout: handshakeTimeout.Seconds(),
		TLSConfig: c.tls, TLSTimeout: handshakeTimeout.Seconds(),
		PingInterval: routePing, MaxPingsOut: routePings,
		Permissions: &server.RoutePermissions{
			Import: &server.SubjectPermission{Deny: localSubjects()},
			Export: &server.SubjectPermission{Deny: localSubjects()},
		},
	}
	for _, n := range c.nodes.Others() {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", User: url.UserPassword(routeUser, word), Host: n.Address})
	}
}

// localSubjects are those whose messages stay at the server that they come to: what a
// device sends and whether it may connect is for the hub there and no other. So a
// device's messages are handled once, in their order, and by a hub that is alive.
// Messages for devices go wherever the device is.
func localSubjects() []string {
	local := []string{authSubject}
	for _, t := range upTopics() {
		local = append(local, subjectOfAny(t))
	}
	return local
}

// mqttStreams are those that the server keeps MQTT sessions in (server/mqtt.go). They are
// made when the first device comes.
func mqttStreams() []string {
	return []string{"$MQTT_sess", "$MQTT_msgs", "$MQTT_rmsgs", "$MQTT_qos2in", "$MQTT_out"}
}

// settle waits until the server's own streams have leaders. Whoever connected earlier
// would be cut off by a server that waits for them in vain.
func (b *broker) settle(ctx context.Context) error {
	if b.replicas == 1 {
		return nil
	}
	for _, name := range mqttStreams() {
		for {
			one, cancel := context.WithTimeout(ctx, settleTry)
			_, err := b.js.Stream(one, name)
			cancel()
			if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
				break
			}
			if err := wait.For(ctx, settlePause); err != nil {
				return fmt.Errorf("wait for stream %s: %w", name, err)
			}
		}
	}
	return nil
}

// listenHost is where a node listens that others reach at host: on every address, since
// the machine may be called otherwise by itself than by others, but never beyond the
// loopback for one that is reached there.
func listenHost(host string) string {
	if front.IsLoopback(host) {
		return host
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "::"
	}
	return "0.0.0.0"
}
