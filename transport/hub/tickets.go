package hub

import (
	"context"
	"crypto/tls"
	"slices"
	"time"
)

// ticketCheck is how often the keys of session tickets are looked at. They change with
// the day.
const ticketCheck = time.Hour

// secured are the TLS configurations of what listens for devices. Sessions of both can
// be resumed, after a restart of the hub and at another hub with the same CA too.
type secured struct {
	mqtt, https *tls.Config
	// bare is mqtt without the gate, where its tickets' keys are.
	bare *tls.Config
}

func (h *Hub) secure(cert tls.Certificate) (secured, error) {
	bare := resumable(h.mqttTLS(cert))
	s := secured{bare: bare, mqtt: h.gate.Guard(bare), https: resumable(h.deviceTLS(cert))}
	return s, h.renewTickets(s)
}

// resumable gives tickets to TLS 1.3 alone: who later stole the CA's key could read what
// an older version resumed.
func resumable(c *tls.Config) *tls.Config {
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
			return nil, nil
		}
		old := c.Clone()
		old.SessionTicketsDisabled = true
		return old, nil
	}
	return c
}

func (h *Hub) renewTickets(s secured) error {
	for listener, c := range map[string]*tls.Config{"mqtt": s.bare, "https": s.https} {
		keys, err := h.authority.TicketKeys(listener, time.Now())
		if err != nil {
			return err
		}
		c.SetSessionTicketKeys(keys)
	}
	return nil
}

// keepTickets changes the tickets' keys as the days go by, until ctx ends.
func (h *Hub) keepTickets(ctx context.Context, s secured) error {
	tick := time.NewTicker(ticketCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := h.renewTickets(s); err != nil {
			return err
		}
	}
}
