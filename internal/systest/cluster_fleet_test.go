package systest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// herd is many devices of one owner with the agent's own way to deliver, each with all
// nodes' addresses.
type herd struct {
	brokers, uploads []string
	pool             *x509.CertPool
	keys             *keyring.Keyring
	members          []*member
}

// member is one device: a spool that fills and a delivery loop that empties it.
type member struct {
	dev      *device.Device
	owned    *ownership.Ownership
	spool    *spool.Spool
	delivery *transport.Delivery
	route    *mqtt.Route
	sealed   map[seal.Ref]seal.Hash
}

func (h *herd) grow(t *testing.T, dir string, n int) {
	t.Helper()
	var hosts []string
	for _, u := range h.uploads {
		base, err := url.Parse(u)
		must(t, err)
		hosts = append(hosts, base.Host)
	}
	uploader, err := blob.New(blob.Options{Hosts: hosts, TLS: &tls.Config{RootCAs: h.pool, MinVersion: tls.VersionTLS13}})
	must(t, err)
	var g errgroup.Group
	g.SetLimit(4)
	h.members = make([]*member, n)
	for i := range n {
		state := filepath.Join(dir, fmt.Sprintf("device%d", i))
		dev, err := device.Open(state, "test")
		must(t, err)
		t.Cleanup(func() { must(t, dev.Close()) })
		m := &member{dev: dev, owned: pairDevice(t, h.keys, dev), sealed: map[seal.Ref]seal.Hash{}}
		m.spool = openSpool(t, state, dev)
		t.Cleanup(func() { must(t, m.spool.Close()) })
		h.members[i] = m
		g.Go(func() error { return h.equip(t.Context(), m, i, uploader) })
	}
	must(t, g.Wait())
}

// equip enrols a device and makes its delivery loop, hurried so that a test ends.
func (h *herd) equip(ctx context.Context, m *member, i int, up transport.Uploader) error {
	trust := &tls.Config{RootCAs: h.pool, MinVersion: tls.VersionTLS13}
	cert, err := enrol.Enrol(ctx, enrol.Options{URL: h.uploads[i%len(h.uploads)], TLS: trust, Key: m.dev.Key(), Dir: m.dev.Dir()})
	if err != nil {
		return err
	}
	mutual := trust.Clone()
	mutual.Certificates = []tls.Certificate{cert}
	if m.route, err = mqtt.NewRoute(h.brokers); err != nil {
		return err
	}
	set := recovery.Settings{First: time.Second, Cap: 4 * time.Second, Good: time.Second}
	how := transport.DefaultSettings()
	how.Receipt, how.Sends, how.Rest = 4*time.Second, 2, time.Second
	m.delivery, err = transport.New(transport.Options{
		Dialer:   &herdDialer{options: mqtt.Options{Device: m.dev.ID(), Route: m.route, TLS: mutual}},
		Queue:    m.spool,
		Schedule: recovery.New(&set, rand.Uint64()),
		Uploader: up, Settings: how,
		Record: func() transport.Record {
			return transport.Record{Bytes: m.owned.Bytes(), Hash: m.owned.Hash()}
		},
		Checkpoint: func(context.Context) error { return nil },
		Status:     func() transport.Status { return transport.Status{Firmware: "test"} },
	})
	return err
}

type herdDialer struct{ options mqtt.Options }

// Dial opens a session at the next address.
func (d *herdDialer) Dial(ctx context.Context) (transport.Session, error) {
	s, err := mqtt.Dial(ctx, d.options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// graze has all devices deliver until ctx ends, and seal until full does.
func (h *herd) graze(ctx, full context.Context) *errgroup.Group {
	var g errgroup.Group
	// All together no more than the hubs can take on a small machine.
	pause := max(2*time.Second, time.Duration(len(h.members))*40*time.Millisecond)
	for _, m := range h.members {
		g.Go(func() error { return ended(m.delivery.Run(ctx)) })
		g.Go(func() error { return m.graze(full, pause) })
	}
	return &g
}

// ended forgives that a context was cancelled.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// graze seals events about every pause: a picture and a record, sometimes with a clip.
func (m *member) graze(ctx context.Context, pause time.Duration) error {
	for n := byte(1); ; n++ {
		event := seal.EventID{n, byte(rand.IntN(256))}
		list := []seal.Kind{seal.KindThumbnail, seal.KindEvent}
		if rand.IntN(4) == 0 {
			list = append(list, seal.KindClip)
		}
		for _, kind := range list {
			d, err := draft(mark{m.owned.Record.Owner, m.dev.ID(), kind}, event)
			if err != nil {
				return err
			}
			e, err := m.spool.Append(context.WithoutCancel(ctx), d)
			if err != nil {
				return err
			}
			m.sealed[e.Ref] = e.Hash
		}
		if wait.For(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) != nil {
			return nil
		}
	}
}

// waiting is how many items are not delivered yet.
func (h *herd) waiting() (n int) {
	for _, m := range h.members {
		n += m.spool.Stats().Depth
	}
	return n
}

// at is how many devices' last connects went to an address.
func (h *herd) at(address string) (n int) {
	for _, m := range h.members {
		if m.route.Last() == address && m.delivery.Stats().State == transport.Delivering {
			n++
		}
	}
	return n
}
