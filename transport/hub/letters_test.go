package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	ownerside "github.com/lensward/lensward/transport/viewer"
)

// drafted is the record that would follow a camera's, signed by its owner and not
// accepted.
func (c *camera) drafted(t testing.TB, by *owner, change func(*ownership.Record)) *ownership.Signed {
	t.Helper()
	r := c.record.Record
	r.Owner, r.OwnerKey, r.Revision, r.Previous = by.id, spkiOf(t, by.key), r.Revision+1, c.record.Hash()
	if change != nil {
		change(&r)
	}
	s, err := ownership.Sign(by.key, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *camera) released(t testing.TB, expires time.Time) []byte {
	t.Helper()
	r, err := ownership.SignRelease(c.owner.key, &c.record.Signed, seal.ID{}, expires)
	if err != nil {
		t.Fatal(err)
	}
	return r.Bytes()
}

// letter is the next message to the device, which must be a letter with these bytes.
func (l *link) letter(t testing.TB, want []byte) {
	t.Helper()
	d := l.next(t)
	if d.Type != downLetter || !bytes.Equal(d.Letter, want) || d.Hash != hashOf(want) {
		t.Fatalf("%s with %d bytes comes, not the letter %s", d.Type, len(d.Letter), hashOf(want))
	}
}

// say answers a letter.
func (l *link) say(t testing.TB, letter []byte, reason string) {
	t.Helper()
	b, err := json.Marshal(letterAnswer{Hash: hashOf(letter), OK: reason == "", Reason: reason})
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t, topicAnswer, b)
}

// tell sends the camera's record, as it does first in a session, and expects the receipt
// and these letters. The client that tests use keeps no order.
func (l *link) tell(t testing.TB, c *camera, letters ...[]byte) {
	t.Helper()
	l.publish(t, topicRecord, c.record.Bytes())
	want := map[seal.Hash]string{c.record.Hash(): downRecordReceipt}
	for _, letter := range letters {
		want[hashOf(letter)] = downLetter
	}
	for range len(want) {
		d := l.next(t)
		if want[d.Hash] != d.Type {
			t.Fatalf("the record is answered with %s %s", d.Type, d.Hash)
		}
		delete(want, d.Hash)
	}
}

// state waits until the hub says of a letter what it should.
func state(t testing.TB, c *ownerside.Courier, device seal.ID, letter []byte, answered bool, reason string) {
	t.Helper()
	var last []ownerside.LetterState
	eventually(t, fmt.Sprintf("letter %s answered=%v %q", hashOf(letter), answered, reason), func() bool {
		var err error
		if last, err = c.Letters(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(last, func(s ownerside.LetterState) bool {
			return s.Hash == hashOf(letter) && s.Answered.IsZero() != answered && s.OK == (answered && reason == "") && s.Reason == reason && !s.Sent.IsZero()
		})
	})
}

func TestLetters(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	o := newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, h, cam)
	c := courierTo(t, h, o.id, o.key)
	if got, err := c.Letters(t.Context(), cam.id); err != nil || len(got) != 0 {
		t.Fatalf("letters before there are any: %v, %v", got, err)
	}

	// A device that is there gets it at once, and answers.
	first := cam.drafted(t, o, nil).Bytes()
	putLetter(t, c, cam, first)
	l.letter(t, first)
	state(t, c, cam.id, first, false, "")
	l.say(t, first, "bad-signature")
	state(t, c, cam.id, first, true, "bad-signature")

	// One that is answered is not sent again; one that is not is, in the next session, by
	// a hub that was started anew meanwhile. Each kind is kept.
	release := cam.released(t, time.Now().Add(time.Hour))
	putLetter(t, c, cam, release)
	l.letter(t, release)
	second := cam.drafted(t, o, func(r *ownership.Record) { r.Created = r.Created.Add(time.Minute) }).Bytes()
	putLetter(t, c, cam, second)
	l.letter(t, second)
	h.stop(t)
	h = startHub(t, Options{Dir: dir})
	c = courierTo(t, h, o.id, o.key)
	l = connect(t, h, cam, enrol(t, h, cam.key))
	l.tell(t, cam, second, release)
	l.say(t, release, "")
	state(t, c, cam.id, release, true, "")
	state(t, c, cam.id, second, false, "")

	// The record that comes back is an answer, even if no other is heard.
	accept(t, cam, second)
	l.tell(t, cam)
	state(t, c, cam.id, second, true, "")
	l.tell(t, cam)
	l.quiet(t)
}

// putLetter hands the hub a letter that it must take.
func putLetter(t testing.TB, c *ownerside.Courier, cam *camera, letter []byte) {
	t.Helper()
	if err := c.PutLetter(t.Context(), cam.id, letter); err != nil {
		t.Fatal(err)
	}
}

// accept is what the device does with a record.
func accept(t testing.TB, c *camera, letter []byte) {
	t.Helper()
	s, err := ownership.ParseSigned(letter)
	if err != nil {
		t.Fatal(err)
	}
	c.record, err = s.Accept(c.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Unix(1_700_000_000, 0), Firmware: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
}

// Only the newest of a kind is kept, and an older one does not come back.
func TestNewestLetter(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, h, cam)
	c := courierTo(t, h, o.id, o.key)
	older := cam.drafted(t, o, nil).Bytes()
	newer := cam.drafted(t, o, func(r *ownership.Record) { r.Created = r.Created.Add(time.Second) }).Bytes()
	for _, letter := range [][]byte{older, newer, newer} {
		putLetter(t, c, cam, letter)
		l.letter(t, letter)
	}
	refusedWith(t, "an older one", c.PutLetter(t.Context(), cam.id, older), http.StatusConflict)
	l.say(t, older, "") // too late
	l.tell(t, cam, newer)
	state(t, c, cam.id, newer, false, "")
	accept(t, cam, newer)
	l.tell(t, cam)
	refusedWith(t, "one that is in force", c.PutLetter(t.Context(), cam.id, newer), http.StatusConflict)
	refusedWith(t, "one that is over", c.PutLetter(t.Context(), cam.id, older), http.StatusConflict)
}

func TestLettersAreRefused(t *testing.T) {
	h := startHub(t, Options{})
	o, stranger := newOwner(t), newOwner(t)
	cam, other := newCamera(t, o), newCamera(t, o)
	l := attach(t, h, cam)
	c, thief := courierTo(t, h, o.id, o.key), courierTo(t, h, stranger.id, stranger.key)
	good := cam.drafted(t, o, nil).Bytes()
	bent := bytes.Clone(good)
	bent[len(bent)-1] ^= 1
	soon := time.Now().Add(time.Hour)
	for name, x := range map[string]struct {
		by     *ownerside.Courier
		device seal.ID
		letter []byte
		want   int
	}{
		"nothing":                      {c, cam.id, nil, http.StatusBadRequest},
		"junk":                         {c, cam.id, []byte("junk"), http.StatusBadRequest},
		"too much":                     {c, cam.id, make([]byte, maxLetter+1), http.StatusRequestEntityTooLarge},
		"a broken signature":           {c, cam.id, bent, http.StatusBadRequest},
		"an acceptance with it":        {c, cam.id, cam.record.Bytes(), http.StatusBadRequest},
		"a card":                       {c, cam.id, cardOf(t, o.key, o.id, 1), http.StatusBadRequest},
		"for another device":           {c, cam.id, other.drafted(t, o, nil).Bytes(), http.StatusBadRequest},
		"for one that never came":      {c, other.id, other.drafted(t, o, nil).Bytes(), http.StatusForbidden},
		"another owner's letter":       {c, cam.id, cam.drafted(t, stranger, nil).Bytes(), http.StatusForbidden},
		"another owner's session":      {thief, cam.id, good, http.StatusForbidden},
		"a stranger's own":             {thief, cam.id, cam.drafted(t, stranger, nil).Bytes(), http.StatusForbidden},
		"a stranger's of a next epoch": {thief, cam.id, cam.drafted(t, stranger, nextEpoch).Bytes(), http.StatusForbidden},
		"of the next epoch":            {c, cam.id, cam.drafted(t, o, nextEpoch).Bytes(), http.StatusConflict},
		"the record in force":          {c, cam.id, cam.record.Signed.Bytes(), http.StatusConflict},
		"one that follows another":     {c, cam.id, cam.drafted(t, o, func(r *ownership.Record) { r.Previous = seal.Hash{1} }).Bytes(), http.StatusConflict},
		"an expired release":           {c, cam.id, cam.released(t, time.Now().Add(-time.Second)), http.StatusConflict},
		"a release of another device":  {c, cam.id, other.released(t, soon), http.StatusBadRequest},
		"a stranger with a release":    {thief, cam.id, cam.released(t, soon), http.StatusForbidden},
	} {
		refusedWith(t, name, x.by.PutLetter(t.Context(), x.device, x.letter), x.want)
	}
	v := signIn(t, h, o.key, o.id)
	if status, _ := v.raw(t, http.MethodPost, "/api/v1/devices/x/letters", good); status != http.StatusBadRequest {
		t.Errorf("to no device: %d", status)
	}
	v.token = ""
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		if status, _ := v.raw(t, method, "/api/v1/devices/"+cam.id.String()+"/letters", good); status != http.StatusUnauthorized {
			t.Errorf("%s without a session: %d", method, status)
		}
	}
	l.quiet(t)
	if got, err := c.Letters(t.Context(), cam.id); err != nil || len(got) != 0 {
		t.Errorf("%v is kept, %v", got, err)
	}
}

func nextEpoch(r *ownership.Record) { r.Epoch, r.Revision = r.Epoch+1, 1 }

// A camera that became another's gets no letter of its former owner, who can send it
// none, and the new owner does not see what there was.
func TestLettersEndWithTheOwnership(t *testing.T) {
	h := startHub(t, Options{})
	o, buyer := newOwner(t), newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, h, cam)
	c := courierTo(t, h, o.id, o.key)
	old := cam.drafted(t, o, nil).Bytes()
	putLetter(t, c, cam, old)
	l.letter(t, old)

	cam.own(t, buyer, ownership.Record{Epoch: 2, Revision: 1})
	l.tell(t, cam)
	l.quiet(t)
	refusedWith(t, "a former owner's letter", c.PutLetter(t.Context(), cam.id, old), http.StatusForbidden)
	b := courierTo(t, h, buyer.id, buyer.key)
	if got, err := b.Letters(t.Context(), cam.id); err != nil || len(got) != 0 {
		t.Errorf("the new owner sees %v, %v", got, err)
	}
	cam.owner = buyer
	fresh := cam.drafted(t, buyer, nil).Bytes()
	putLetter(t, b, cam, fresh)
	l.letter(t, fresh)
}

// The largest record passes through the broker, and a device answers for itself alone.
func TestLargestLetterAndForeignAnswers(t *testing.T) {
	h, a, b, la, lb := pair(t)
	c := courierTo(t, h, a.owner.id, a.owner.key)
	large := a.drafted(t, a.owner, func(r *ownership.Record) {
		for n := range 64 {
			r.Viewers = append(r.Viewers, ownership.Viewer{Key: spkiOf(t, newKey(t)), Name: strings.Repeat("ñ", 63) + string(rune('A'+n%26)), Role: ownership.RoleViewer})
		}
	}).Bytes()
	putLetter(t, c, a, large)
	la.letter(t, large)

	// B answers on its own topic and on A's: neither counts.
	lb.say(t, large, "")
	answer, err := json.Marshal(letterAnswer{Hash: hashOf(large), OK: true})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "answer for another", lb.client.Publish(la.topic(topicAnswer), 0, false, answer))
	lb.deliver(t, b.sealed(t, seal.KindThumbnail, 100))
	state(t, c, a.id, large, false, "")
	la.say(t, large, "no-right")
	state(t, c, a.id, large, true, "no-right")
}

func TestLargestLetterFits(t *testing.T) {
	d := down{Type: downLetter, Letter: bytes.Repeat([]byte{0xff}, maxLetter), Hash: seal.Hash{1}}
	b, err := d.encode()
	if err != nil || len(b) > 96<<10 {
		t.Errorf("the largest letter makes a message of %d bytes, %v", len(b), err)
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for _, b := range []string{
		``, `{}`, `{"hash":"00","ok":true}`, `{"hash":"` + hash + `"}`, `{"hash":"` + hash + `","ok":true,"reason":"x"}`,
		`{"hash":"` + hash + `","ok":false,"reason":"two words"}`, `{"hash":"` + hash + `","reason":"` + strings.Repeat("x", 65) + `"}`,
		strings.Repeat(" ", maxControl) + `{"hash":"` + hash + `","ok":true}`,
	} {
		if a, err := parseAnswer([]byte(b)); err == nil {
			t.Errorf("%.80q is read as %+v", b, a)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	hash := strings.Repeat("0f", 32)
	f.Add([]byte(`{"hash":"` + hash + `","ok":true}`))
	f.Add([]byte(`{"hash":"` + hash + `","ok":false,"reason":"roll-back"}`))
	f.Add([]byte(`{"hash":"` + hash + `","ok":false,"reason":"\u0000"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err != nil {
			return
		}
		if len(b) > maxControl || a.Hash.IsZero() || a.OK != (a.Reason == "") || len(a.Reason) > maxWord {
			t.Fatalf("accepted %+v from %d bytes", a, len(b))
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := parseAnswer(again); err != nil || v != a {
			t.Fatalf("%+v is read again as %+v, %v", a, v, err)
		}
	})
}

// What is taken as a letter is signed by the owner of whom it says that it is, for the
// device that it was posted to.
func FuzzLetter(f *testing.F) {
	o := newOwner(f)
	cam := newCamera(f, o)
	now := time.Now()
	record, release := cam.drafted(f, o, nil).Bytes(), cam.released(f, now.Add(time.Hour))
	f.Add(record)
	f.Add(release)
	f.Add(cam.record.Bytes())
	f.Add(append(bytes.Clone(release), 0))
	f.Add([]byte{0xd2})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, signed, err := letterOf(b, cam.id, o.id, now)
		if err != nil {
			return
		}
		if !bytes.Equal(b, record) && !bytes.Equal(b, release) {
			// Nobody but the owner can sign another.
			t.Fatalf("a forged %s letter is taken", l.Kind)
		}
		if l.Owner != o.id || (l.Kind == store.LetterRecord) != (signed != nil) || fits(l, signed, cam.record) != nil {
			t.Fatalf("the letter is read as %+v", l)
		}
	})
}

// clusterLetters has a letter that is put at one node reach a device at another, and its
// answer be seen at the third.
func clusterLetters(t *testing.T, hubs []*running) {
	o := newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, hubs[0], cam)
	at := func(i int) *ownerside.Courier { return courierTo(t, hubs[i], o.id, o.key) }
	first := cam.drafted(t, o, nil).Bytes()
	putLetter(t, at(1), cam, first)
	l.letter(t, first)
	l.say(t, first, "not-next")
	state(t, at(2), cam.id, first, true, "not-next")

	second := cam.drafted(t, o, func(r *ownership.Record) { r.Created = r.Created.Add(time.Minute) }).Bytes()
	putLetter(t, at(2), cam, second)
	l.letter(t, second)
	l = connect(t, hubs[1], cam, enrol(t, hubs[1], cam.key))
	l.tell(t, cam, second)
	l.say(t, second, "")
	state(t, at(0), cam.id, second, true, "")
}
