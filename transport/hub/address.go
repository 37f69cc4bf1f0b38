package hub

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/hub/front"
)

// viewerCertLife is how long the viewer listener's certificate is valid: no
// longer than browsers take one. It is made anew at each start.
const viewerCertLife = 397 * 24 * time.Hour

// listen opens the HTTP listeners. The broker opens its own.
func (h *Hub) listen() (device, viewer net.Listener, err error) {
	device, viewer = h.options.DeviceListener, h.options.ViewerListener
	if device == nil {
		if device, err = net.Listen("tcp", h.options.DeviceListen); err != nil {
			return nil, nil, fmt.Errorf("listen for devices: %w", err)
		}
	}
	if viewer == nil {
		if viewer, err = net.Listen("tcp", h.options.ViewerListen); err != nil {
			_ = device.Close() // nothing was accepted
			return nil, nil, fmt.Errorf("listen for viewers: %w", err)
		}
	}
	return device, viewer, nil
}

// setAddresses works out what the hub is called by those who connect.
func (h *Hub) setAddresses(mqtt, device, viewer net.Addr) {
	h.mqttAddr = h.reachable(h.options.MQTTListen, mqtt)
	if h.options.Bridge != "" {
		h.mqttAddr = h.options.Bridge
	}
	h.deviceURL = "https://" + h.reachable(h.options.DeviceListen, device)
	scheme := "http://"
	if h.options.ViewerTLS || h.options.ViewerCert != nil {
		scheme = "https://"
	}
	h.viewerURL = scheme + h.reachable(h.options.ViewerListen, viewer)
}

// reachable is the host:port for a listener: its own host if it has one, else
// the first of Hosts, else an address of this machine.
func (h *Hub) reachable(listen string, got net.Addr) string {
	_, port, err := net.SplitHostPort(got.String())
	if err != nil {
		return got.String()
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil || isUnspecified(host) {
		host = "127.0.0.1"
		if a := machineAddrs(); len(a) > 0 {
			host = a[0]
		}
	}
	if len(h.options.Hosts) > 0 && !isLoopbackListen(listen) {
		host = h.options.Hosts[0]
	}
	return net.JoinHostPort(host, port)
}

// maxDeviceAddresses is how many a pairing code holds.
const maxDeviceAddresses = 4

// deviceAddresses are host:port under which devices reach the HTTPS listener, the one
// that they are told in URLs first.
func (h *Hub) deviceAddresses() []string {
	first := strings.TrimPrefix(h.deviceURL, "https://")
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		return []string{first}
	}
	out := []string{first}
	add := func(hosts ...string) {
		for _, host := range hosts {
			if a := net.JoinHostPort(host, port); len(out) < maxDeviceAddresses && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if isLoopbackListen(h.options.DeviceListen) {
		return out
	}
	add(h.options.Hosts...)
	if host, _, err := net.SplitHostPort(h.options.DeviceListen); err == nil && !isUnspecified(host) {
		add(host)
	} else {
		add(machineAddrs()...)
	}
	return out
}

// certHosts are the names in the hub's certificates.
func (h *Hub) certHosts() []string {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, h.options.Hosts...)
	for _, l := range []string{h.options.MQTTListen, h.options.DeviceListen, h.options.ViewerListen} {
		host, _, err := net.SplitHostPort(l)
		switch {
		case err != nil:
		case isUnspecified(host):
			hosts = append(hosts, machineAddrs()...)
		default:
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// mqttTLS asks devices for a certificate of the CA.
func (h *Hub) mqttTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: h.deviceCAs(), VerifyConnection: h.roll.verify,
	}
}

// deviceTLS takes whatever certificate is shown, or none: an upload's URL and an enrolment
// prove themselves, and a renewal judges for itself what has expired.
func (h *Hub) deviceTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert}
}

// viewerTLS is nil where viewers are served plain HTTP on loopback.
func (h *Hub) viewerTLS() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case h.options.ViewerCert != nil:
		c.Certificates = []tls.Certificate{*h.options.ViewerCert}
	case h.options.ViewerTLS:
		now := time.Now()
		cert, err := h.authority.Server(h.certHosts(), now.Add(-time.Hour), now.Add(viewerCertLife))
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	default:
		return nil, nil
	}
	return c, nil
}

// isLoopbackListen says that only this machine reaches a listen address.
func isLoopbackListen(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && host != "" && front.IsLoopback(host)
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// machineAddrs are the machine's addresses without loopback and link-local ones.
func machineAddrs() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then only the loopback's names are served
	}
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}
