package hub

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/store"
)

//go:embed nats-server.conf.tmpl
var natsServerConf string

// The files that a NATS server is configured with.
const (
	natsDir  = "nats"
	natsConf = "nats-server.conf"
	natsCert = "server.pem"
	natsKey  = "server-key.pem"
)

// natsConfig fills the template. Texts are quoted where they are used.
type natsConfig struct {
	Node, Listen, MQTT, Store, Cert, Key, CA string
	Issuer, Auth, Hub                        string
	MaxPayload, Timeout, Replicas            int
	Cluster                                  *natsCluster
}

type natsCluster struct {
	Name, Listen, Advertise, User, Word, Ping string
	Pings                                     int
	Local, Routes                             []string
}

// NATSConfig writes the configuration of a NATS server that takes the place of the
// embedded one, its certificate and that one's key, into the directory nats of the hub's
// state directory, and returns the configuration's path. listen is the server's host:port
// for the hub. What the hub listens on does not count but MQTTListen, on which the server
// listens in its stead.
func (h *Hub) NATSConfig(listen string) (path string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("configure NATS server: %w", err)
		}
	}()
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen address: %w", err)
	}
	where, err := filepath.Abs(h.dir.Path(natsDir))
	if err != nil {
		return "", err
	}
	dir, err := durable.Open(where)
	if err != nil {
		return "", err
	}
	if err := h.writeNATSCert(dir, host); err != nil {
		return "", err
	}
	c, err := h.natsConfig(dir, listen)
	if err != nil {
		return "", err
	}
	t, err := template.New(natsConf).Parse(natsServerConf)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, c); err != nil {
		return "", err
	}
	return dir.Path(natsConf), dir.WriteFile(natsConf, b.Bytes(), 0o600)
}

func (h *Hub) natsConfig(dir *durable.Dir, listen string) (*natsConfig, error) {
	keys, err := deriveBrokerKeys(h.authority)
	if err != nil {
		return nil, err
	}
	public, err := keys.public()
	if err != nil {
		return nil, err
	}
	ca, err := filepath.Abs(h.dir.Path("ca.pem"))
	if err != nil {
		return nil, err
	}
	q := strconv.Quote
	c := &natsConfig{
		Node: q(h.node()), Listen: q(listen), MQTT: q(h.options.MQTTListen), Store: q(dir.Path("jetstream")),
		Cert: q(dir.Path(natsCert)), Key: q(dir.Path(natsKey)), CA: q(ca),
		Issuer: public[0], Auth: public[1], Hub: public[2],
		MaxPayload: store.MaxMessage, Timeout: int(handshakeTimeout / time.Second), Replicas: 1,
	}
	if h.cluster == nil {
		return c, nil
	}
	self := h.cluster.Self()
	c.Replicas = replicas
	c.Cluster = &natsCluster{
		Name: q(clusterName(h.authority)), Listen: q(net.JoinHostPort(listenHost(self.Host()), strconv.Itoa(self.Port()))),
		Advertise: q(self.Address), User: routeUser, Word: q(keys.route), Ping: q(routePing.String()), Pings: routePings,
	}
	for _, s := range localSubjects() {
		c.Cluster.Local = append(c.Cluster.Local, q(s))
	}
	for _, n := range h.cluster.Others() {
		u := url.URL{Scheme: "nats-route", User: url.UserPassword(routeUser, keys.route), Host: n.Address}
		c.Cluster.Routes = append(c.Cluster.Routes, q(u.String()))
	}
	return c, nil
}

// writeNATSCert makes the server a certificate, under the names by which the hub, the
// devices and the other servers call it.
func (h *Hub) writeNATSCert(dir *durable.Dir, host string) error {
	names := h.certHosts()
	if !isUnspecified(host) {
		names = append(names, host)
	}
	if h.cluster != nil {
		names = append(names, h.cluster.Self().Host())
	}
	cert, err := h.authority.Node(names)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	var chain bytes.Buffer
	for _, der := range cert.Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	return errors.Join(
		dir.WriteFile(natsKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
		dir.WriteFile(natsCert, chain.Bytes(), 0o644))
}
