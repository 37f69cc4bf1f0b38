package keyring_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// transfer is an owner, their camera, and who is to have it next.
type transfer struct {
	*testing.T
	owner, buyer *ring
	camera       *camera
	first        []state
	old          [][]byte
	signed       map[seal.Hash]bool // records that the owner signed

	shared, sold, kept bool // what was seen to happen
}

func p256(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	spki, err := statement.SPKI(k.Public())
	must(t, err)
	return k, spki
}

// newTransfer begins with a camera whose record has been revised once; the courier has
// the record before, and a release of that one, which was taken back.
func newTransfer(t *testing.T) *transfer {
	t.Helper()
	x := &transfer{T: t, signed: map[seal.Hash]bool{}}
	key, spki := p256(t)
	x.camera = &camera{TB: t, device: key, id: seal.KeyID(spki), now: exploreNow(), buyers: map[string]*keyring.Keyring{}}
	root, err := keyring.New(t.TempDir())
	must(t, err)
	r, err := root.Draft(spki, nil, exploreNow().Add(-time.Hour))
	must(t, err)
	at := &cameraState{}
	for range 2 {
		signed, err := ownership.Sign(steady{root.Root()}, r)
		must(t, err)
		x.signed[signed.Hash()] = true
		at.owned, err = signed.Accept(steady{key}, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: exploreNow(), Firmware: "1.0"})
		must(t, err)
		must(t, root.Keep(at.owned))
		x.old = append(x.old, signed.Bytes(), at.owned.Bytes())
		if r.Revision == 1 {
			release, err := root.Release(x.camera.id, seal.ID{}, exploreNow().AddDate(0, 0, 30))
			must(t, err)
			x.old = append(x.old, release.Bytes())
		}
		r, err = root.Draft(spki, &at.owned.Signed, exploreNow().Add(-time.Minute))
		must(t, err)
	}
	x.made(at.owned)
	var owner, buyer *kept
	x.owner, owner = newRing(t, "owner", root)
	next, err := keyring.New(t.TempDir())
	must(t, err)
	x.camera.buyers["buyer"] = next
	x.buyer, buyer = newRing(t, "buyer", next)
	x.first = []state{owner, at, buyer}
	guest := x.guest(root.Owner())
	x.owner.plan, x.owner.more = []string{"share", "release", "take back"}, []string{"revise"}
	x.owner.do = func(k *keyring.Keyring, act string, _ *kept) ([][]byte, error) { return x.act(k, act, guest) }
	return x
}

// guest is the card of who is let in.
func (x *transfer) guest(owner seal.ID) *household.Card {
	x.Helper()
	id, err := household.NewIdentity()
	must(x, err)
	_, spki := p256(x)
	return &household.Card{Owner: owner, Key: spki, Number: 1, Recipient: id.Recipient()}
}

// made adds what somebody with keys of their own, and another camera of theirs, can say.
func (x *transfer) made(owned *ownership.Ownership) {
	x.Helper()
	thief, err := keyring.New(x.TempDir())
	must(x, err)
	x.camera.buyers["thief"] = thief
	say := func(r ownership.Record) {
		signed, err := ownership.Sign(steady{thief.Root()}, r)
		must(x, err)
		x.old = append(x.old, signed.Bytes())
	}
	draft := func(device []byte, epoch, revision uint64, how ownership.Acquired) ownership.Record {
		r, err := thief.Draft(device, nil, exploreNow())
		must(x, err)
		r.Epoch, r.Revision, r.Acquired, r.Previous = epoch, revision, how, owned.Hash()
		return r
	}
	known := owned.Record
	say(draft(known.DeviceKey, known.Epoch, known.Revision+1, ownership.AcquiredPaired))
	for _, how := range []ownership.Acquired{ownership.AcquiredPaired, ownership.AcquiredReleased, ownership.AcquiredReset} {
		say(draft(known.DeviceKey, known.Epoch+1, 1, how))
	}
	// Of the thief's own camera: a record, an ownership, a release, all of them good there.
	key, spki := p256(x)
	signed, err := ownership.Sign(steady{thief.Root()}, draft(spki, 1, 1, ownership.AcquiredPaired))
	must(x, err)
	own, err := signed.Accept(steady{key}, owned.Acceptance)
	must(x, err)
	release, err := ownership.SignRelease(steady{thief.Root()}, signed, seal.ID{}, exploreNow().AddDate(0, 0, 30))
	must(x, err)
	x.old = append(x.old, signed.Bytes(), own.Bytes(), release.Bytes())
}

// act is one of the owner's. It gives the letters that follow.
func (x *transfer) act(k *keyring.Keyring, act string, guest *household.Card) ([][]byte, error) {
	switch act {
	case "share":
		c := household.Change{Add: []household.Invitation{{Card: guest, Name: "guest", Role: ownership.RoleViewer}}}
		if _, err := k.Change(c, exploreNow()); err != nil {
			return nil, err
		}
		return x.revise(k, false)
	case "release":
		to := x.buyer.owner
		r, err := k.Release(x.camera.id, to, exploreNow().AddDate(0, 0, 30))
		must(x, err)
		return [][]byte{r.Bytes()}, nil
	case "take back":
		return x.revise(k, true)
	default:
		return x.revise(k, false)
	}
}

// revise signs the next revision of the camera's record as the owner knows it, if it is
// due or all the same.
func (x *transfer) revise(k *keyring.Keyring, anyway bool) ([][]byte, error) {
	x.Helper()
	due, err := k.Outdated()
	must(x, err)
	if len(due) == 0 && !anyway {
		return nil, nil
	}
	newest, err := k.Taker().Newest(x.camera.id)
	must(x, err)
	r, err := k.Draft(newest.Record.DeviceKey, newest, exploreNow())
	must(x, err)
	signed, err := ownership.Sign(steady{k.Root()}, r)
	must(x, err)
	x.signed[signed.Hash()] = true
	return [][]byte{signed.Bytes()}, nil
}

// check is what must hold wherever they are.
func (x *transfer) check(at []state) {
	x.Helper()
	owner, camera, buyer := at[0].(*kept), at[1].(*cameraState), at[2].(*kept)
	r := camera.owned.Record
	switch r.Owner {
	case x.owner.owner:
		if !x.signed[camera.owned.Hash()] || r.Epoch != 1 {
			x.Errorf("the record in force, epoch %d revision %d, is not one that the owner signed", r.Epoch, r.Revision)
		}
		x.shared = x.shared || len(r.Viewers) == 2
		x.kept = x.kept || owner.done == len(x.owner.plan) && r.Revision > 2 && camera.release == nil
	case x.buyer.owner:
		if r.Acquired == ownership.AcquiredReleased && owner.done < 2 {
			x.Errorf("the camera was released, and the owner released nothing")
		}
		x.sold = x.sold || len(buyer.files) > len(x.first[2].(*kept).files)
	default:
		x.Errorf("the camera is owner %s's", r.Owner.Short())
	}
	for _, who := range []*kept{owner, buyer} {
		for name, b := range who.files {
			o, err := ownership.Parse([]byte(b))
			if err != nil {
				continue // another file
			}
			if o.Record.Epoch > r.Epoch || o.Record.Device != x.camera.id {
				x.Errorf("%s is kept, which is not the camera's", name)
			}
		}
	}
}

// Whatever a courier does with letters, records and releases, old and new: a camera
// changes hands as its owner said, to whom they said, or by its button to who stands
// before it; it never goes back; and each side keeps what is its own.
func TestExploreTransfer(t *testing.T) {
	t.Parallel()
	for _, button := range []bool{false, true} {
		t.Run(fmt.Sprintf("button=%v", button), func(t *testing.T) {
			x := newTransfer(t)
			if x.camera.button = button; button {
				delete(x.camera.buyers, "thief") // who stands before a camera that is free may have it
			}
			e := newExplorer(t, x.owner, x.camera, x.buyer)
			nodes := e.explore(x.first, x.old, x.check)
			e.tell(nodes, 12)
			if !x.shared || !x.sold || !x.kept {
				t.Errorf("it was never so that the camera was shared (%v), sold (%v), and taken back (%v)", x.shared, x.sold, x.kept)
			}
		})
	}
}
