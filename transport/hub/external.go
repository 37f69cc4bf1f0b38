package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// startBroker starts the broker that the options ask for.
func (h *Hub) startBroker(ctx context.Context, device *tls.Config) (*broker, error) {
	keys, err := deriveBrokerKeys(h.authority)
	if err != nil {
		return nil, err
	}
	nodes, err := h.clusterOptions()
	if err != nil {
		return nil, err
	}
	o := brokerOptions{
		listen: h.options.MQTTListen, dir: h.dir.Path("jetstream"), tls: device, gateway: h.options.elsewhere(),
		sync: h.options.SyncInterval, maxStore: h.options.MaxStore, keys: keys, node: h.node(), cluster: nodes,
		decide: h.decide, log: h.log,
	}
	if h.options.NATS != "" {
		return useServer(ctx, o, h.options.NATS, h.authority.Pool())
	}
	return startBroker(ctx, o)
}

// useServer uses a NATS server that runs on its own, as NATSConfig configures it, in
// place of the embedded one. Should the connection be lost it is made again, to this
// server and no other: the hub handles the devices that are connected there.
func useServer(ctx context.Context, o brokerOptions, url string, ca *x509.CertPool) (*broker, error) {
	addr, err := net.ResolveTCPAddr("tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("MQTT address: %w", err)
	}
	b := &broker{replicas: 1, addr: addr, open: func() {}}
	err = b.use(ctx, o, url,
		nats.Secure(&tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12}), nats.IgnoreDiscoveredServers(),
		nats.Timeout(handshakeTimeout), nats.ReconnectWait(500*time.Millisecond), nats.Name("lensward "+o.node))
	if err == nil && b.conn.ConnectedServerName() != o.node {
		err = fmt.Errorf("the server at %s is %q, not %q", url, b.conn.ConnectedServerName(), o.node)
	}
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("use NATS server: %w", err)
	}
	if o.cluster != nil {
		if b.conn.ConnectedClusterName() != o.cluster.name {
			b.stop()
			return nil, errors.New("use NATS server: it is of another cluster, or of none")
		}
		b.replicas = o.cluster.replicas()
	}
	return b, nil
}
