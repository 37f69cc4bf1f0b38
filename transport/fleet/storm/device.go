package storm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
	"github.com/lensward/lensward/transport/statement"
)

// firmware is what the devices say that they run.
const firmware = "storm"

// Item is one item that a device sealed.
type Item struct {
	Ref  seal.Ref
	Hash seal.Hash
	// Left says that it is in the spool in the end.
	Left bool
}

// Device is what became of one device.
type Device struct {
	ID, Owner seal.ID
	Attempts  []Attempt
	// Backlog is when it sent items of its backlog, again or for the first time; for the
	// policy Ours alone.
	Backlog []time.Time
	Items   []Item
	// Online says that its session stands in the end.
	Online bool
	// Delivery is what its delivery loop counted.
	Delivery transport.Stats
}

// device is a camera without a camera: its own key, certificate, owner and spool, and
// the agent's own delivery loop.
type device struct {
	id       seal.ID
	dir      *durable.Dir
	keys     *keyring.Keyring
	owned    *ownership.Ownership
	spool    *spool.Spool
	dialer   transport.Dialer // the policy's
	log      logbook
	delivery *transport.Delivery // nil until the loops are made

	mu    sync.Mutex
	items []Item
}

// newDevice makes the n-th device of the fleet in a directory of its own.
func newDevice(ctx context.Context, p *Plan, n int) (*device, error) {
	path := filepath.Join(p.Dir, fmt.Sprintf("device%d", n))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make device %d: %w", n, err)
	}
	d := &device{}
	if d.id, err = seal.IDOf(key.Public()); err == nil {
		d.dir, err = durable.Open(path)
	}
	if err == nil {
		d.keys, err = keyring.New(filepath.Join(path, "owner"))
	}
	if err == nil {
		d.owned, err = pair(d.keys, key)
	}
	if err == nil {
		d.spool, err = openSpool(ctx, filepath.Join(path, "spool"), key, d.owned)
	}
	if err != nil {
		return nil, fmt.Errorf("make device %d: %w", n, err)
	}
	mutual, err := enrolled(ctx, p, key, d.dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make device %d: %w", n, err), d.spool.Close())
	}
	line := &line{device: d.id, address: p.Hub.MQTT, tls: mutual, source: source(n), log: &d.log}
	if d.dialer = line; p.Policy == Paho {
		d.dialer = newRival(ctx, line)
	}
	return d, nil
}

// pair makes a device an owner's.
func pair(keys *keyring.Keyring, key *ecdsa.PrivateKey) (*ownership.Ownership, error) {
	spki, err := statement.SPKI(key.Public())
	if err != nil {
		return nil, err
	}
	draft, err := keys.Draft(spki, nil, time.Now())
	if err != nil {
		return nil, err
	}
	signed, err := ownership.Sign(keys.Root(), draft)
	if err != nil {
		return nil, err
	}
	return signed.Accept(key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Now(), Firmware: firmware})
}

func openSpool(ctx context.Context, dir string, key *ecdsa.PrivateKey, owned *ownership.Ownership) (*spool.Spool, error) {
	binding, err := owned.Binding()
	if err != nil {
		return nil, err
	}
	sealer, err := seal.NewSealer(seal.Device{Key: key, Protection: seal.ProtectionFile, Firmware: firmware, Boot: 1}, binding)
	if err != nil {
		return nil, err
	}
	return spool.Open(ctx, spool.Options{Dir: dir, Sealer: sealer, Boot: 1})
}

// enrolled has the hub issue the device's certificate.
func enrolled(ctx context.Context, p *Plan, key *ecdsa.PrivateKey, dir *durable.Dir) (*tls.Config, error) {
	pool, err := p.Hub.pool()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	cert, err := enrol.Enrol(ctx, enrol.Options{URL: p.Hub.Devices, TLS: config.Clone(), Key: key, Dir: dir})
	config.Certificates, config.ClientSessionCache = []tls.Certificate{cert}, tls.NewLRUClientSessionCache(1)
	return config, err
}

// source is a loopback address of the device's own, since each camera of a fleet has
// one: what a hub does by address it does to one camera.
func source(n int) net.IP {
	const each = 250 // keeps the last two bytes from 0 and 255
	return net.IPv4(127, byte(1+n/(each*each)), byte(1+n/each%each), byte(1+n%each))
}

// seal appends n items to the spool: events, each a picture and then its record.
func (d *device) seal(ctx context.Context, n int) error {
	for i := range n {
		var event seal.EventID
		event[0], event[1], event[2] = 1, byte(i/2), byte(i/2>>8)
		draft, err := d.picture(event)
		if i%2 == 1 {
			draft, err = d.record(event)
		}
		if err == nil {
			err = d.append(ctx, draft)
		}
		if err != nil {
			return fmt.Errorf("seal items of device %s: %w", d.id.Short(), err)
		}
	}
	return nil
}

// picture is a thumbnail of 3 KiB, which looks like a JPEG from outside and says whose
// it is.
func (d *device) picture(event seal.EventID) (seal.Draft, error) {
	body := make([]byte, 3<<10)
	if _, err := rand.Read(body); err != nil {
		return seal.Draft{}, err
	}
	copy(body, "\xff\xd8\xff\xfe"+d.id.String())
	return d.draft(seal.KindThumbnail, event, body), nil
}

func (d *device) record(event seal.EventID) (seal.Draft, error) {
	now := time.Now().UnixMilli()
	body, err := json.Marshal(seal.Event{Start: now, End: now + 1000, Score: 0.1})
	return d.draft(seal.KindEvent, event, body), err
}

func (d *device) draft(kind seal.Kind, event seal.EventID, body []byte) seal.Draft {
	return seal.Draft{
		Kind: kind, Event: event, Captured: time.Now(), Clock: seal.ClockNetwork,
		MediaType: kind.MediaType(), Body: body,
	}
}

// checkpoint says where the chain stands, as the agent does at each connect.
func (d *device) checkpoint(ctx context.Context) error {
	body, err := json.Marshal(seal.Checkpoint{Cause: "connect", Depth: uint64(d.spool.Stats().Depth)})
	if err != nil {
		return err
	}
	return d.append(ctx, d.draft(seal.KindCheckpoint, seal.EventID{}, body))
}

// append puts an item into the spool and takes it down.
func (d *device) append(ctx context.Context, draft seal.Draft) error {
	e, err := d.spool.Append(ctx, draft)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.items = append(d.items, Item{Ref: e.Ref, Hash: e.Hash})
	return nil
}

// sealed gives every item that the device sealed.
func (d *device) sealed() []Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Item(nil), d.items...)
}

// account sums the device up and closes its spool. Its delivery has ended.
func (d *device) account(online bool) (Device, error) {
	out := Device{ID: d.id, Owner: d.keys.Owner(), Items: d.sealed(), Online: online, Delivery: d.delivery.Stats()}
	out.Attempts, out.Backlog = d.log.all()
	for i, it := range out.Items {
		_, err := d.spool.Read(it.Ref)
		out.Items[i].Left = err == nil
	}
	return out, d.spool.Close()
}
