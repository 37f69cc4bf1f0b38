package viewer

import (
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// The witness is worth something only if it sees what the viewer's own checks
// would miss. Here they are made to take a stranger's camera for the owner's.
func TestWitnessSeesWhatThePolicyMisses(t *testing.T) {
	hub, owner, cam := house(t)
	stranger := newPerson(t)
	other := newCamera(t, stranger)
	own, foreign := cam.say(seal.KindThumbnail, []byte("own")), other.say(seal.KindThumbnail, []byte("foreign"))
	v := owner.look(hub)
	v.emit = func(Event) {}
	if err := v.takeRecords([][]byte{cam.latest.Bytes()}); err != nil {
		t.Fatal(err)
	}
	take := func(it *seal.Item) uint64 {
		t.Helper()
		opened := v.Summary().Opened
		v.emit = v.account.note
		j := job{kind: jobItem, ref: it.Header.Ref(), listed: true, hash: it.Hash()}
		if _, err := v.takeBody(it.Bytes(), j); err != nil {
			t.Fatal(err)
		}
		if v.Summary().Opened != opened+1 {
			t.Fatal("the item was not opened")
		}
		return v.Summary().WronglyShown
	}
	if n := take(own); n != 0 {
		t.Errorf("%d wrongly shown after the owner's own item", n)
	}
	v.policy.Owner = stranger.id
	v.policy.Cameras[other.id] = seal.Camera{Records: map[seal.Hash]uint64{other.latest.Hash(): 1}}
	v.keys.Identities = stranger.keys().Identities
	if n := take(foreign); n != 1 {
		t.Errorf("%d wrongly shown after a stranger's item, want 1", n)
	}
}

func TestWitness(t *testing.T) {
	owner := newPerson(t)
	cam, uninvited := newCamera(t, owner), newCamera(t, owner)
	stranger := newCamera(t, newPerson(t))
	w := newWitness(owner.id)
	w.see(cam.latest.Bytes())
	w.see(stranger.latest.Bytes())
	w.see([]byte("no record"))
	own, two := cam.say(seal.KindThumbnail, []byte("one")), cam.say(seal.KindThumbnail, []byte("two"))
	for name, c := range map[string]struct {
		item  []byte
		wrong bool
	}{
		"own":                     {own.Bytes(), false},
		"own with another's body": {append(append([]byte(nil), own.Envelope...), two.Body...), true},
		"a stranger's":            {stranger.say(seal.KindThumbnail, nil).Bytes(), true},
		"uninvited camera's":      {uninvited.say(seal.KindThumbnail, nil).Bytes(), true},
		"nothing":                 {nil, true},
		"something":               {[]byte("something"), true},
	} {
		if got := w.wrong(c.item); got != c.wrong {
			t.Errorf("%s: wrong is %v", name, got)
		}
	}
}
