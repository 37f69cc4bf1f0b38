package keyring_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const day = 24 * time.Hour

// world is what a courier sees of an owner, their members and a camera, and keeps for ever.
type world struct {
	testing.TB
	now        time.Time
	key        *ecdsa.PrivateKey // the camera's
	owned      *ownership.Ownership
	statements [][]byte // the owner's, in order
	boxes      [][]byte
	items      []sealed
}

// sealed is a picture on its way, and in which period of the owner it was taken.
type sealed struct {
	item   *seal.Item
	period string // its recipient
	plain  []byte
}

func newWorld(t testing.TB) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &world{TB: t, now: time.UnixMilli(1_771_000_000_000), key: key}
}

func (w *world) newOwner() *keyring.Keyring {
	w.Helper()
	k, err := keyring.New(w.TempDir())
	must(w, err)
	return k
}

// change has an owner change the household, and tells everyone through the courier.
func (w *world) change(k *keyring.Keyring, c household.Change) *household.Signed {
	w.Helper()
	var before uint64
	if n := k.Newest(); n != nil {
		before = n.Serial
	}
	_, err := k.Change(c, w.now)
	must(w, err)
	all, err := k.Statements()
	must(w, err)
	for _, s := range all {
		if s.Serial > before {
			w.statements = append(w.statements, s.Bytes())
		}
	}
	if w.owned != nil && w.owned.Record.Owner == k.Owner() {
		w.revise(k)
	}
	return k.Newest()
}

// revise has the camera record for the household as it is.
func (w *world) revise(k *keyring.Keyring) {
	w.Helper()
	outdated, err := k.Outdated()
	must(w, err)
	for _, o := range outdated {
		r, err := k.Draft(o.Record.DeviceKey, &o.Signed, w.now)
		must(w, err)
		w.accept(k, r, ownership.Right{})
	}
	if outdated, err = k.Outdated(); err != nil || len(outdated) != 0 {
		w.Fatalf("still outdated: %d, %v", len(outdated), err)
	}
}

// pair makes the camera an owner's who has a right to it.
func (w *world) pair(k *keyring.Keyring, how ownership.Acquired, by ownership.Right) {
	w.Helper()
	spki, err := statement.SPKI(w.key.Public())
	must(w, err)
	r, err := k.Draft(spki, nil, w.now)
	must(w, err)
	if w.owned != nil {
		r.Epoch, r.Previous = w.owned.Record.Epoch+1, w.owned.Hash()
	}
	r.Acquired = how
	w.accept(k, r, by)
}

// accept has the owner sign, the camera check and countersign, and the owner keep it.
func (w *world) accept(k *keyring.Keyring, r ownership.Record, by ownership.Right) {
	w.Helper()
	s, err := ownership.Sign(k.Root(), r)
	must(w, err)
	var known *ownership.Signed
	if w.owned != nil {
		known = &w.owned.Signed
	}
	must(w, s.Succeeds(known, by, w.now))
	o, err := s.Accept(w.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: w.now, Firmware: "1.0"})
	must(w, err)
	must(w, k.Keep(o))
	w.owned = o
}

// record has the camera seal a picture and send it.
func (w *world) record() sealed {
	w.Helper()
	b, err := w.owned.Binding()
	must(w, err)
	s, err := seal.NewSealer(seal.Device{Key: w.key, Protection: seal.ProtectionFile, Firmware: "1.0", Boot: 1}, b)
	must(w, err)
	plain := append([]byte("picture "), w.now.String()...)
	it, err := s.Seal(seal.Draft{
		Kind: seal.KindThumbnail, Event: seal.EventID{1}, Captured: w.now, Clock: seal.ClockNetwork, MediaType: "image/jpeg", Body: plain,
	}, seal.Link{Chain: 1, Seq: 1, Prev: b.Record})
	must(w, err)
	must(w, it.Verify())
	out := sealed{it, w.owned.Record.Recipients[0].Age, plain}
	w.items = append(w.items, out)
	return out
}

// opens says whether these identities open a picture.
func (w *world) opens(s sealed, ids []age.Identity) bool {
	w.Helper()
	if len(ids) == 0 {
		return false
	}
	plain, err := s.item.Open(ids...)
	if err == nil && !bytes.Equal(plain, s.plain) {
		w.Fatal("it opens as another picture")
	}
	return err == nil
}

// take has a member's device hear all that the courier has, and send a card if it should.
func (w *world) take(m *keyring.Keyring, from int) *household.Card {
	w.Helper()
	for _, b := range w.statements[from:] {
		if _, err := m.Take(b, w.now); err != nil {
			w.Fatal(err)
		}
	}
	b, err := m.Card()
	must(w, err)
	if b == nil {
		return nil
	}
	c, err := household.VerifyCard(b, m.Owner())
	must(w, err)
	return c
}

// join makes a member's directory whose card the owner takes in.
func (w *world) join(k *keyring.Keyring, name string, past bool) *keyring.Keyring {
	w.Helper()
	m, err := keyring.Join(w.TempDir(), k.Owner())
	must(w, err)
	card := w.take(m, len(w.statements))
	w.change(k, household.Change{Add: []household.Invitation{{Card: card, Name: name, Role: ownership.RoleViewer, Past: past}}})
	w.take(m, len(w.statements)-1)
	return m
}

// loot is everything that a thief of a directory can open with, together with all that
// the courier ever had: every identity in its files, and every one that those unwrap.
func (w *world) loot(dir string) []age.Identity {
	w.Helper()
	var found household.Identities
	names, err := os.ReadDir(dir)
	must(w, err)
	var owners []seal.ID
	for _, e := range names {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(w, err)
		if ids, err := household.ParseIdentities(b); err == nil {
			found = found.With(ids...)
		}
	}
	if k, err := keyring.Open(dir); err == nil {
		owners = append(owners, k.Owner())
	}
	for more := true; more; {
		before := len(found)
		for _, b := range w.statements {
			for _, owner := range owners {
				s, err := household.Verify(b, owner)
				if err != nil {
					continue
				}
				if ids, err := s.Open(found); err == nil {
					found = found.With(ids...)
				}
			}
		}
		for _, box := range w.boxes { // an age file lies in it
			at := bytes.Index(box, []byte("age-encryption.org/v1"))
			if r, err := age.Decrypt(bytes.NewReader(box[at:]), found.Age()...); err == nil {
				w.Fatalf("the box opens: %v", r)
			}
		}
		more = len(found) > before
	}
	return found.Age()
}

func TestThiefOfTheCameraOpensNothing(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	w.record()
	w.change(k, household.Change{NewPeriod: true})
	w.record()
	// All that a camera keeps: its key, its record with all signatures, its items.
	dir := t.TempDir()
	der, err := statement.SPKI(w.key.Public())
	must(t, err)
	for name, b := range map[string][]byte{"key": der, "ownership": w.owned.Bytes(), "item": w.items[0].item.Bytes(), "item2": w.items[1].item.Bytes()} {
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		if bytes.Contains(b, []byte("AGE-SECRET-KEY")) {
			t.Errorf("the camera's %s holds an identity", name)
		}
	}
	ids := w.loot(dir)
	for i, s := range w.items {
		if len(ids) != 0 || w.opens(s, ids) {
			t.Errorf("who took the camera opens item %d", i)
		}
		if !w.opens(s, k.Household()) {
			t.Errorf("the owner does not open item %d", i)
		}
	}
}

// Who takes an owner's or a member's device, and has all that the courier ever had, opens
// the periods that are within retention and no other.
func TestThiefOfADeviceOpensWhatIsWithinRetention(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	must(t, k.KeepSheet(household.NewSecret()))
	phone := w.join(k, "phone", true)
	for range 12 { // a year
		w.record()
		w.now = w.now.Add(household.DefaultRotation)
		w.change(k, household.Change{NewPeriod: true})
		if card := w.take(phone, len(w.statements)-1); card != nil {
			w.change(k, household.Change{Cards: []*household.Card{card}})
			w.take(phone, len(w.statements)-1)
		}
		_, box, err := k.Box(w.now)
		must(t, err)
		w.boxes = append(w.boxes, box)
	}
	w.record()
	for name, dir := range map[string]string{"owner's": k.Dir(), "member's": phone.Dir()} {
		ids := w.loot(dir)
		for i, s := range w.items {
			ended := w.now.Sub(s.item.Header.Captured) - household.DefaultRotation
			within := ended < household.DefaultRetention || i >= len(w.items)-2
			if got := w.opens(s, ids); got != within {
				t.Errorf("who took the %s device opens a picture whose period ended %v ago: %v", name, ended, got)
			}
		}
	}
	// Long after, without any new statement, each device has destroyed the past by itself.
	w.now = w.now.Add(household.DefaultRetention + day)
	for _, d := range []*keyring.Keyring{k, phone} {
		gone, err := d.Expire(w.now)
		must(t, err)
		ids := w.loot(d.Dir())
		for i, s := range w.items[:len(w.items)-1] {
			if w.opens(s, ids) {
				t.Errorf("item %d opens after its retention; %d were destroyed", i, len(gone))
			}
		}
		if !w.opens(w.items[len(w.items)-1], ids) || !w.opens(w.items[len(w.items)-1], d.Household()) {
			t.Error("the current period does not open")
		}
	}
}

func TestRemovedViewerOpensNothingAfter(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	phone, tablet := w.join(k, "phone", true), w.join(k, "tablet", true)
	w.take(phone, len(w.statements)-1)
	before := w.record()
	spki, err := statement.SPKI(phone.Viewer().Public())
	must(t, err)
	w.change(k, household.Change{Remove: [][]byte{spki}})
	after := w.record()
	if card := w.take(phone, len(w.statements)-1); card == nil {
		t.Error("one who was removed cannot ask to be let in again")
	}
	w.take(tablet, len(w.statements)-1)
	ids := w.loot(phone.Dir())
	if !w.opens(before, ids) || w.opens(after, ids) {
		t.Errorf("who was removed opens what was before: %v, after: %v", w.opens(before, ids), w.opens(after, ids))
	}
	if !w.opens(before, tablet.Household()) || !w.opens(after, tablet.Household()) || !w.opens(after, k.Household()) {
		t.Error("who stayed cannot open")
	}
	if w.owned.Record.MayView(spki, w.now) {
		t.Error("the camera's record still lists who was removed")
	}
}

func TestNewViewerWithoutThePast(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	w.change(k, household.Change{})
	before := w.record()
	guest := w.join(k, "guest", false)
	after := w.record()
	ids := w.loot(guest.Dir())
	if w.opens(before, ids) || !w.opens(after, ids) {
		t.Errorf("a new viewer opens what was before: %v, after: %v", w.opens(before, ids), w.opens(after, ids))
	}
	friend := w.join(k, "friend", true)
	if ids := friend.Household(); !w.opens(before, ids) || !w.opens(after, ids) {
		t.Error("who was let see the past does not")
	}
}

// A camera changes hands by a release, and again by its button.
func TestOwnersOpenTheirOwnTimeAlone(t *testing.T) {
	w := newWorld(t)
	seller, buyer, finder := w.newOwner(), w.newOwner(), w.newOwner()
	w.pair(seller, ownership.AcquiredPaired, ownership.Right{})
	w.change(seller, household.Change{NewPeriod: true})
	sellers := w.record()
	release, err := seller.Release(w.owned.Record.Device, buyer.Owner(), w.now.Add(day))
	must(t, err)
	w.now = w.now.Add(time.Hour)
	w.pair(buyer, ownership.AcquiredReleased, ownership.Right{Release: release})
	buyers := w.record()
	w.pair(finder, ownership.AcquiredReset, ownership.Right{Reset: true})
	finders := w.record()
	all := []sealed{sellers, buyers, finders}
	for i, k := range []*keyring.Keyring{seller, buyer, finder} {
		ids := w.loot(k.Dir())
		policy, err := k.Policy()
		must(t, err)
		for j, s := range all {
			if got := w.opens(s, ids); got != (i == j) {
				t.Errorf("owner %d opens what was recorded for owner %d: %v", i, j, got)
			}
			if err := policy.Check(s.item.Header); (err == nil) != (i == j) {
				t.Errorf("owner %d takes what was recorded for owner %d: %v", i, j, err)
			}
		}
	}
	if r := w.owned.Record; r.Epoch != 3 || r.Acquired != ownership.AcquiredReset {
		t.Errorf("epoch %d, acquired in way %d", r.Epoch, r.Acquired)
	}
	if _, err := seller.Release(w.owned.Record.Device, seal.ID{}, w.now.Add(day)); err != nil {
		t.Log(err) // they may sign it, of a record that is no longer in force
	} else if s, err := ownership.ParseRelease(release.Bytes()); err != nil || s.Frees(&w.owned.Signed, w.now) == nil {
		t.Errorf("a former owner's release counts: %v", err)
	}
}

// Everything is lost but the sheet, and the box at the courier.
func TestRestoreFromTheSheet(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	phone := w.join(k, "phone", true)
	sheet := household.NewSecret()
	must(t, k.KeepSheet(sheet))
	locator, box, err := k.Box(w.now)
	must(t, err)
	w.boxes = append(w.boxes, box)
	before := w.record()
	w.now = w.now.Add(day)
	w.change(k, household.Change{NewPeriod: true}) // of which the box knows nothing
	lost := w.record()

	words, err := household.ParseSecret(sheet.QR())
	must(t, err)
	got, err := keyring.Restore(t.TempDir(), words, box)
	must(t, err)
	if again, _, err := got.Box(w.now); got.Owner() != k.Owner() || err != nil || again != locator {
		t.Errorf("restored as owner %s, box %s: %v", got.Owner().Short(), again, err)
	}
	_, err = got.Take(w.statements[len(w.statements)-1], w.now)
	must(t, err)
	must(t, got.Keep(w.owned))
	spki, err := statement.SPKI(k.Viewer().Public())
	must(t, err)
	w.change(got, household.Change{Remove: [][]byte{spki}})
	w.take(phone, len(w.statements)-2)
	after := w.record()
	ids := got.Household()
	if !w.opens(before, ids) || w.opens(lost, ids) || !w.opens(after, ids) || !w.opens(after, phone.Household()) {
		t.Errorf("opens before %v, what no box held %v, after %v", w.opens(before, ids), w.opens(lost, ids), w.opens(after, ids))
	}
	if w.opens(after, w.loot(k.Dir())) {
		t.Error("the device that was lost opens what came after")
	}
	if events, err := got.Statements(); err != nil || len(events) == 0 {
		t.Errorf("%d statements, %v", len(events), err)
	}
	if _, err := keyring.Restore(t.TempDir(), household.NewSecret(), box); err == nil {
		t.Error("another sheet restored it")
	}
}
