package viewer

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/vectortest"
)

// scene is a household with a camera, of which a vector is made.
type scene struct {
	*testing.T
	owner *person
	cam   *camera
}

func newScene(t *testing.T) *scene {
	owner := newPerson(t)
	return &scene{t, owner, newCamera(t, owner)}
}

// look is a visit to a hub that gives these items in rows, one after another, and each
// by its name, found as expected.
func (s *scene) look(items []*seal.Item, find ...found) visit {
	v := visit{
		At: time.Now().UnixMilli(), Records: []string{b64url(s.cam.latest.Bytes())}, Items: map[string]string{},
		Devices: []deviceWord{}, Rows: []row{}, Find: []found{},
	}
	for i, it := range items {
		v.Rows = append(v.Rows, row{uint64(i + 1), b64url(it.Envelope)})
		v.Items[it.Header.Ref().String()] = b64url(it.Bytes())
	}
	v.Find = append(v.Find, find...)
	slices.SortFunc(v.Find, func(a, b found) int { return cmp.Compare(a.String(), b.String()) })
	return v
}

// is names a finding about a run of the camera's chain.
func (s *scene) is(name FindingName, from, to uint64) found {
	return found{name, &s.cam.id, 1, 1, from, to}
}

// checkpoint is one that says how far the chain was delivered.
func (s *scene) checkpoint(settled uint64) *seal.Item {
	return s.cam.sayJSON(seal.KindCheckpoint, seal.Checkpoint{Cause: "periodic", Settled: settled})
}

// write writes the vector.
func (s *scene) write(name, about string, visits ...visit) {
	vectortest.Write(s, findingsDir, name, findingVector{
		Name: name, About: about, Owner: s.owner.id, Identity: s.owner.identity.String(), Visits: visits,
	})
}

// but leaves items out.
func but(items []*seal.Item, out ...*seal.Item) []*seal.Item {
	return slices.DeleteFunc(slices.Clone(items), func(it *seal.Item) bool { return slices.Contains(out, it) })
}

// day is two events, nine items: the last is a checkpoint that all before it is settled.
func (s *scene) day() []*seal.Item {
	items := append(s.cam.visit(), s.cam.visit()...)
	return append(items, s.checkpoint(s.cam.seq))
}

func makeFindingVectors(t *testing.T) {
	old, err := filepath.Glob(filepath.Join(findingsDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(24 * time.Hour)
	for _, f := range []func(*scene){
		honestVectors, honestGapVectors, honestOtherVectors, droppedVectors, tailVectors, swapVectors,
		forkVectors, rollBackVectors, silentVectors, misroutedVectors,
	} {
		f(newScene(t))
	}
}

func honestVectors(s *scene) {
	d := s.day()
	s.write("honest-in-order", "everything, in order", s.look(d), s.look(d))
	s = newScene(s.T)
	d = s.day()
	order := []*seal.Item{d[4], d[0], d[8], d[3], d[1], d[7], d[2], d[6], d[5]}
	s.write("honest-out-of-order", "the newest picture first, clips last; the first visit comes before the end",
		s.look(order[:2]), s.look(order))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	d = append(d, s.checkpoint(1))
	s.write("honest-not-settled", "holes that a checkpoint does not call settled: the camera still has them", s.look(but(d, d[1], d[2])))
	s = newScene(s.T)
	d = s.cam.visit()
	d = append(d, s.checkpoint(40)) // its own number is 5
	s.write("honest-settled-beyond", "a settled that is not below the checkpoint's own number means nothing", s.look(but(d, d[1])))
	s = newScene(s.T)
	d = s.day()
	late := s.look(d)
	late.Retention = 86400
	late.At += (36 * time.Hour).Milliseconds()
	gone := late
	gone.Rows, gone.Items = s.look(d[3:]).Rows, s.look(d[3:]).Items
	gone.Items[d[3].Header.Ref().String()] = b64url(d[3].Bytes())
	s.write("honest-retention", "the hub keeps items for a day, and the oldest have gone", late, gone)
}

func honestGapVectors(s *scene) {
	gapOf := func(it *seal.Item) seal.Gap {
		h := it.Header
		return seal.Gap{Dropped: []seal.Dropped{{
			Chain: h.Chain, From: h.Seq, To: h.Seq, FirstPrev: h.Prev, LastHash: it.Hash(), Kind: h.Kind, Reason: "budget",
		}}}
	}
	d := s.cam.visit()
	d = append(d, s.cam.sayJSON(seal.KindGap, gapOf(d[1])))
	d = append(d, s.checkpoint(s.cam.seq))
	s.write("honest-gap", "the camera dropped an item and said so", s.look(but(d, d[1])))
	s = newScene(s.T)
	d = s.cam.visit()
	own := s.cam.owner.identity
	s.cam.owner.identity = newPerson(s.T).identity // a period before this viewer's
	s.cam.revise()
	s.cam.owner.identity = own
	d = append(d, s.cam.sayJSON(seal.KindGap, gapOf(d[1])))
	before := s.cam.latest
	s.cam.revise()
	d = append(d, s.checkpoint(s.cam.seq))
	v := s.look(but(d, d[1]))
	v.Records = append([]string{b64url(before.Bytes())}, v.Records...)
	s.write("honest-gap-closed", "the gap item that names the missing one is of a period that this viewer cannot open", v)
}

func honestOtherVectors(s *scene) {
	// A revision that the hub never gave is not held against it.
	d := s.day()
	first := s.look(d)
	s.cam.revise()
	items := append(slices.Clone(d), s.cam.visit()...)
	second := s.look(items)
	second.Records = append(first.Records, second.Records...)
	s.write("honest-new-record", "a second revision of the record, and items under both", first, second)
	s = newScene(s.T)
	d = s.day()
	v := s.look(d[:4])
	v.Heads = s.heads(d[3])
	s.write("honest-member", "another member has seen the same", v)
}

// heads is another member's file.
func (s *scene) heads(items ...*seal.Item) *headsFile {
	f := &headsFile{Label: headsLabel, Owner: s.owner.id, Made: time.Now().UnixMilli(), Heads: []string{}}
	for _, it := range items {
		f.Heads = append(f.Heads, b64url(it.Envelope))
	}
	return f
}

func droppedVectors(s *scene) {
	d := s.day()
	s.write("dropped-settled", "two items are missing that a checkpoint calls settled", s.look(but(d, d[1], d[2]), s.is(FoundDropped, 2, 3)))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.checkpoint(1))
	v := s.look(d, s.is(FoundDropped, 2, 2))
	delete(v.Items, d[1].Header.Ref().String())
	s.write("dropped-listed", "a row lists an item that is not given", v)
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	s.write("dropped-before", "an item that was given at the first visit is not given at the second",
		s.look(d), s.look(but(d, d[2]), s.is(FoundDropped, 3, 3)), s.look(but(d, d[2]), s.is(FoundDropped, 3, 3)))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	s.write("dropped-hole-stays", "what was missing at the first visit is still missing: nothing says that the hub has it",
		s.look(but(d, d[2])), s.look(but(d, d[2])))
	s = newScene(s.T)
	d = s.day()
	v = s.look(but(d, d[4]), s.is(FoundDropped, 5, 5))
	v.Retention = 86400
	s.write("dropped-within-retention", "the hub keeps items for a day, and the one before the missing one is younger", v)
}

func tailVectors(s *scene) {
	d := s.day()
	s.write("tail-before", "the second visit is given less than the first", s.look(d), s.look(d[:5], s.is(FoundTail, 6, 9)))
	s = newScene(s.T)
	d = s.day()
	v := s.look(d[:5], s.is(FoundTail, 6, 8))
	v.Heads = s.heads(d[7])
	s.write("tail-member", "another member has seen more", v)
	s = newScene(s.T)
	d = s.day()
	v = s.look(d[:5])
	stranger := newCamera(s.T, newPerson(s.T))
	v.Heads = s.heads(stranger.visit()[0])
	s.write("tail-stranger", "a head that is not of this household says nothing", v)
}

func swapVectors(s *scene) {
	d := s.day()
	v := s.look(d, s.is(FoundThumbnail, 2, 2), s.is(FoundThumbnail, 5, 5))
	v.Items[d[1].Header.Ref().String()] = b64url(d[4].Bytes())
	v.Items[d[4].Header.Ref().String()] = b64url(d[0].Bytes())
	s.write("swapped-thumbnail", "a picture of another event in place of a clip part, and of another picture", v)
	s = newScene(s.T)
	d = s.day()
	v = s.look(d, s.is(FoundEvents, 3, 3), s.is(FoundEvents, 8, 8))
	v.Items[d[2].Header.Ref().String()] = b64url(d[6].Bytes())
	v.Items[d[7].Header.Ref().String()] = b64url(d[3].Bytes())
	s.write("swapped-events", "a clip part and an event's record of another event", v)
	s = newScene(s.T)
	d = s.day()
	again := append(slices.Clone(d), d[2])
	s.write("replayed", "a row at the end gives an item that came before", s.look(again, s.is(FoundReplayed, 3, 3)))
}

func forkVectors(s *scene) {
	d := append(s.cam.visit(), s.cam.visit()...)
	other := s.branch(d, 7, "otherwise")
	s.write("fork-place", "two items in one place", s.look(append(slices.Clone(d), other[0]), s.is(FoundFork, 8, 8)))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	other = s.branch(d, 6, "otherwise", "and on")
	s.write("fork-chain", "an item that follows another one than was given",
		s.look(append(slices.Clone(d[:7]), other[1]), s.is(FoundFork, 8, 8)))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	other = s.branch(d, 7, "otherwise")
	s.write("fork-visits", "another history than at the first visit",
		s.look(d), s.look(append(slices.Clone(d[:7]), other[0]), s.is(FoundFork, 8, 8)))
	s = newScene(s.T)
	d = append(s.cam.visit(), s.cam.visit()...)
	other = s.branch(d, 6, "otherwise")
	v := s.look(d, s.is(FoundFork, 7, 7))
	v.Heads = s.heads(other[0])
	s.write("fork-member", "another member was given another history", v)
}

// branch goes on from item n as a copy of the camera would.
func (s *scene) branch(items []*seal.Item, n int, bodies ...string) []*seal.Item {
	s.cam.seq, s.cam.prev = uint64(n), items[n-1].Hash()
	var out []*seal.Item
	for _, b := range bodies {
		out = append(out, s.cam.say(seal.KindThumbnail, []byte(b)))
	}
	return out
}

func rollBackVectors(s *scene) {
	d := s.day()
	first := s.look(d)
	s.cam.revise()
	second := s.look(d)
	second.Records = append(slices.Clone(first.Records), second.Records...)
	third := s.look(d, found{FoundRollBack, &s.cam.id, 1, 0, 2, 2})
	third.Records = first.Records
	s.write("rolled-back-record", "the second revision was given, and is given no more", second, third)

	s = newScene(s.T)
	d = s.day()
	one, two, otherTwo := s.statements()
	a, b := s.look(d), s.look(d, found{Name: FoundRollBack, From: 2, To: 2})
	a.Statements, b.Statements = []string{one, two}, []string{one}
	s.write("rolled-back-household", "the household's second statement was given, and is given no more", a, b)
	c := s.look(d, found{Name: FoundFork, From: 2, To: 2})
	c.Statements = []string{one, otherTwo}
	s.write("fork-household", "another second statement than before", a, c)

	s = newScene(s.T)
	d = s.day()
	s.cam.revise()
	a = s.look(d)
	time.Sleep(time.Second)
	r := s.cam.latest.Record
	other := s.cam.record(s.owner, r.Epoch, r.Revision, r.Previous)
	b = s.look(d, found{FoundFork, &s.cam.id, 1, 0, 2, 2})
	b.Records = append(slices.Clone(a.Records), b64url(other.Bytes()))
	s.write("fork-record", "two records of one epoch and revision", a, b)
}

// statements are a household's first, its second, and another second.
func (s *scene) statements() (one, two, other string) {
	member, spki := newKey(s.T)
	id, err := household.NewIdentity()
	if err != nil {
		s.Fatal(err)
	}
	signed, err := household.SignCard(member, household.Card{Owner: s.owner.id, Key: spki, Number: 1, Recipient: id.Recipient()})
	if err != nil {
		s.Fatal(err)
	}
	card, err := household.VerifyCard(signed, s.owner.id)
	if err != nil {
		s.Fatal(err)
	}
	first, held, err := household.Found(s.owner.key, nil, household.Invitation{Card: card, Name: "one", Role: ownership.RoleOwner}, household.Change{}, time.Now())
	if err != nil {
		s.Fatal(err)
	}
	var next [2]string
	for i := range next {
		n, _, err := first.Change(s.owner.key, held, household.Change{NewPeriod: true}, time.Now())
		if err != nil {
			s.Fatal(err)
		}
		next[i] = b64url(n.Bytes())
	}
	return b64url(first.Bytes()), next[0], next[1]
}

func silentVectors(s *scene) {
	d := s.day()
	word := []deviceWord{{s.cam.id, true, -1}}
	v := s.look(d, s.is(FoundSilent, 9, 9))
	v.Devices = word
	v.At += (20 * time.Minute).Milliseconds()
	s.write("silent", "online by the hub's word, and nothing for 20 minutes", v)
	v.Find = []found{}
	v.Devices = []deviceWord{{s.cam.id, false, -1}}
	s.write("honest-offline", "offline by the hub's word, and nothing for 20 minutes", v)
	v.Devices = word
	v.At -= (8 * time.Minute).Milliseconds()
	s.write("honest-quiet", "online, and nothing for 12 minutes", v)
	s = newScene(s.T)
	d = s.cam.visit()
	v = s.look(d)
	v.Devices = []deviceWord{{s.cam.id, true, -1}}
	v.At += (20 * time.Minute).Milliseconds()
	s.write("honest-no-beat", "a camera that never says something by itself", v)
}

func misroutedVectors(s *scene) {
	d := s.day()
	stranger := newCamera(s.T, newPerson(s.T))
	theirs := stranger.visit()
	v := s.look(append(slices.Clone(d), theirs[0]), found{FoundMisrouted, &stranger.id, 1, 1, 1, 1}, found{FoundMisrouted, &stranger.id, 1, 1, 2, 2})
	v.Items[d[1].Header.Ref().String()] = b64url(theirs[1].Bytes())
	s.write("misrouted", "a stranger's item in a row, and another in place of an item", v)
	uninvited := newCamera(s.T, s.owner)
	s.write("misrouted-device", "a camera that names this owner, and no record makes theirs",
		s.look(append(slices.Clone(d), uninvited.visit()[0]), found{FoundMisrouted, &uninvited.id, 1, 1, 1, 1}))
}
