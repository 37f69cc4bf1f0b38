package pairing

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// mqttPort is where a hub's broker is unless the hub says otherwise.
const mqttPort = "8883"

// found is the hub of a code, found at one of its addresses.
type found struct {
	id            seal.ID
	ca            []byte // PEM
	brokers, urls []string
	address       string // where it was found
}

// find looks for the hub of a code at its addresses, one after the other. Nothing of what
// it returns is unproven: the certificate by the code's hub ID, the broker by the
// certificate.
func find(ctx context.Context, hub *pairing.Hub, dial mailbox.Dial) (*found, error) {
	var errs []error
	for _, address := range hub.Addresses {
		f, err := findAt(ctx, hub, address, dial)
		if err == nil {
			return f, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func findAt(ctx context.Context, hub *pairing.Hub, address string, dial mailbox.Dial) (*found, error) {
	ca, err := mailbox.FetchCA(ctx, dial, address, hub.ID)
	if err != nil {
		return nil, err
	}
	f := &found{id: hub.ID, ca: ca, address: address}
	// The address that answers comes first.
	for _, a := range append([]string{address}, hub.Addresses...) {
		if u := "https://" + a; len(f.urls) == 0 || u != f.urls[0] {
			f.urls = append(f.urls, u)
		}
	}
	where, err := mailbox.FetchWhere(ctx, dial, address, ca)
	var status *mailbox.StatusError
	switch {
	case err == nil:
		f.brokers = []string{where.Broker}
	case errors.As(err, &status): // a hub that does not say it
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("read hub address: %w", err)
		}
		f.brokers = []string{net.JoinHostPort(host, mqttPort)}
	default:
		return nil, err
	}
	return f, nil
}
