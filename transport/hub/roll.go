package hub

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

const (
	// ordersDir is where the operator leaves orders, one file for each device.
	ordersDir = "orders"
	orderTake = ".taken" // what an order's name ends with once it is being carried out
	// ordersEvery is how often they are looked at.
	ordersEvery = time.Second
	// retryOrders is how long to wait after the store took nothing.
	retryOrders = 5 * time.Second

	orderRevoke = "revoke\n"
	orderAllow  = "allow\n"
	maxOrder    = 16
)

// errRevoked refuses a device that the operator has shut out.
var errRevoked = errors.New("the device was revoked")

// roll is who was shut out, here and at the other nodes. Until it is open nobody is let in.
type roll struct {
	dir *durable.Dir // of the hub
	log *slog.Logger

	mu       sync.RWMutex
	register *store.Register // nil until it is open
	evict    func(seal.ID)
	revoked  map[seal.ID]struct{}
}

func newRoll(dir *durable.Dir, log *slog.Logger) *roll {
	return &roll{dir: dir, log: log, revoked: make(map[seal.ID]struct{})}
}

// open reads who is revoked. From then on evict is called with each device that is
// revoked, to end its session.
func (r *roll) open(ctx context.Context, st *store.Store, evict func(seal.ID)) error {
	register, err := st.Register(ctx)
	if err != nil {
		return err
	}
	r.evict = func(seal.ID) {}
	if err := register.Load(ctx, r.see); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.register, r.evict = register, evict
	return nil
}

// run carries out the operator's orders and hears of other nodes', until ctx ends.
func (r *roll) run(ctx context.Context) error {
	dir, err := durable.Open(r.dir.Path(ordersDir))
	if err != nil {
		return fmt.Errorf("open orders: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.register.Watch(ctx, r.see) })
	g.Go(func() error {
		for pause := time.Duration(0); wait.For(ctx, pause) == nil; {
			pause = ordersEvery
			if err := r.carryOut(ctx, dir); err != nil && ctx.Err() == nil {
				r.log.Error("the operator's orders could not be carried out yet", "err", err)
				pause = retryOrders
			}
		}
		return nil
	})
	return g.Wait()
}

// see takes in whether a device is revoked.
func (r *roll) see(s store.Standing) {
	r.mu.Lock()
	_, was := r.revoked[s.Device]
	if s.Revoked {
		r.revoked[s.Device] = struct{}{}
	} else {
		delete(r.revoked, s.Device)
	}
	evict := r.evict
	r.mu.Unlock()
	if s.Revoked == was {
		return
	}
	r.log.Info("standing of a device", "device", s.Device.String(), "revoked", s.Revoked)
	if s.Revoked {
		evict(s.Device)
	}
}

// Revoked says that a device is shut out. It is authority.Register's.
func (r *roll) Revoked(device seal.ID) bool { return r.admits(device) != nil }

// Claim is authority.Register's.
func (r *roll) Claim(ctx context.Context, token [sha256.Size]byte, device seal.ID) (seal.ID, error) {
	r.mu.RLock()
	register := r.register
	r.mu.RUnlock()
	if register == nil {
		return seal.ID{}, errors.New("the hub is still starting")
	}
	return register.Claim(ctx, token, device)
}

// admits is nil for a device that is not shut out.
func (r *roll) admits(device seal.ID) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.register == nil {
		return errors.New("the hub is still starting")
	}
	if _, is := r.revoked[device]; is {
		return errRevoked
	}
	return nil
}

// verify refuses a revoked device within its TLS handshake, a resumed one too.
func (r *roll) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("no client certificate")
	}
	id, err := authority.DeviceID(cs.PeerCertificates[0])
	if err != nil {
		return err
	}
	return r.admits(id)
}

// count is how many are revoked.
func (r *roll) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.revoked)
}

// carryOut carries out each order that there is. One that a power cut interrupted has
// been taken and is carried out again; a newer one for the same device comes after it.
func (r *roll) carryOut(ctx context.Context, dir *durable.Dir) error {
	names, err := dir.Names()
	if err != nil {
		return fmt.Errorf("look for orders: %w", err)
	}
	var taken, fresh []seal.ID
	for _, name := range names {
		rest := name[:max(0, len(name)-len(orderTake))]
		if id, err := seal.ParseID(name); err == nil {
			fresh = append(fresh, id)
		} else if id, err := seal.ParseID(rest); err == nil && name == rest+orderTake {
			taken = append(taken, id)
		}
	}
	for _, id := range taken {
		if err := r.obey(ctx, dir, id); err != nil {
			return err
		}
	}
	for _, id := range fresh {
		if err := dir.Rename(id.String(), id.String()+orderTake); err != nil {
			return fmt.Errorf("take order for device %s: %w", id.Short(), err)
		}
		if err := r.obey(ctx, dir, id); err != nil {
			return err
		}
	}
	return nil
}

// obey carries out an order that was taken, and forgets it once that is stored.
func (r *roll) obey(ctx context.Context, dir *durable.Dir, device seal.ID) error {
	name := device.String() + orderTake
	b, err := dir.ReadFile(name, maxOrder)
	if err != nil && !errors.Is(err, durable.ErrTooLarge) {
		return fmt.Errorf("read order for device %s: %w", device.Short(), err)
	}
	if text := string(b); text == orderRevoke || text == orderAllow {
		s := store.Standing{Device: device, Revoked: text == orderRevoke}
		if err := r.register.PutStanding(ctx, s); err != nil {
			return err
		}
		r.see(s)
	} else {
		r.log.Error("an order that says neither revoke nor allow was dropped", "device", device.String())
	}
	return dir.Remove(name)
}

// Order has the hub on a state directory revoke a device or, with revoke false, take it
// back. It returns once the order is on the disk; a running hub carries it out within
// seconds, another when it starts.
func Order(dir string, device seal.ID, revoke bool) error {
	d, err := openOrders(dir)
	if err != nil {
		return fmt.Errorf("leave order for hub: %w", err)
	}
	text := orderAllow
	if revoke {
		text = orderRevoke
	}
	if err := d.WriteFile(device.String(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("leave order for hub: %w", err)
	}
	return nil
}

// Obeyed waits until the hub on a state directory has carried out what was ordered for a
// device, or ctx ends.
func Obeyed(ctx context.Context, dir string, device seal.ID) error {
	d, err := openOrders(dir)
	for err == nil {
		var names []string
		if names, err = d.Names(); err == nil &&
			!slices.Contains(names, device.String()) && !slices.Contains(names, device.String()+orderTake) {
			return nil
		}
		if err == nil {
			err = wait.For(ctx, ordersEvery/10)
		}
	}
	return fmt.Errorf("wait for hub to carry out order: %w", err)
}

// openOrders opens the orders' directory of a hub that there is.
func openOrders(dir string) (*durable.Dir, error) {
	if err := isHub(dir); err != nil {
		return nil, err
	}
	return durable.Open(filepath.Join(dir, ordersDir))
}

// isHub refuses a directory in which no hub was.
func isHub(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, authority.Files()[0])); err != nil {
		return fmt.Errorf("no hub keeps its state in %s: %w", dir, err)
	}
	return nil
}
