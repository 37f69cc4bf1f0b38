package hub

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/lensward/lensward/transport/hub/bridge"
)

// elsewhere says that devices' MQTT sessions are not the broker's.
func (o *Options) elsewhere() bool { return o.Gateway != nil || o.Bridge != "" }

// checkBridge refuses a bridge that cannot be meant.
func (o *Options) checkBridge() error {
	if o.Bridge == "" {
		return nil
	}
	if o.Gateway != nil || o.NATS != "" {
		return errors.New("a bridge to another broker beside another way to devices")
	}
	if _, _, err := net.SplitHostPort(o.Bridge); err != nil {
		return fmt.Errorf("broker address: %w; hint: give host:port", err)
	}
	return nil
}

// newGateway is what speaks with devices in the broker's stead; nil if nothing does.
func (h *Hub) newGateway(seen *presence) (Gateway, error) {
	if h.options.Bridge == "" {
		return h.options.Gateway, nil
	}
	cert, err := h.authority.Client(bridge.Name)
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b, err := bridge.New(bridge.Options{
		Address: h.options.Bridge, Lost: seen.lost, Log: h.log,
		TLS: &tls.Config{RootCAs: h.authority.Pool(), Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
