package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

func letterWith(text string, created int64) Letter {
	return Letter{
		Kind: LetterRecord, Owner: seal.ID{1}, Epoch: 1, Created: created, Hash: sha256.Sum256([]byte(text)), Bytes: []byte(text), Sent: 1,
	}
}

func TestLetters(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := open(t, dir)
	ctx, device := t.Context(), seal.ID{7}
	put := func(l Letter, want error) {
		t.Helper()
		if err := s.PutLetter(ctx, device, l); !errors.Is(err, want) {
			t.Errorf("%s letter created %d: %v, not %v", l.Kind, l.Created, err, want)
		}
	}
	newest := func(want string, answered bool) {
		t.Helper()
		all, err := s.Letters(ctx, device)
		if err != nil || len(all) == 0 {
			t.Fatalf("%d letters, %v", len(all), err)
		}
		l := all[0]
		if l.Kind != LetterRecord || l.Hash != sha256.Sum256([]byte(want)) || (l.Answered != 0) != answered || answered == (l.Bytes != nil) {
			t.Errorf("the newest is %+v, not %q", l, want)
		}
	}
	put(letterWith("second", 2), nil)
	put(letterWith("first", 1), ErrRollBack)
	put(letterWith("second", 2), nil)
	newest("second", false)
	release := letterWith("release", 0)
	release.Kind = LetterRelease
	put(release, nil)
	if all, err := s.Letters(ctx, seal.ID{8}); err != nil || len(all) != 0 {
		t.Errorf("another device has %d letters, %v", len(all), err)
	}
	if found, err := s.AnswerLetter(ctx, seal.ID{8}, letterWith("second", 2).Hash, 5, true, ""); err != nil || found {
		t.Errorf("another device answers: %v, %v", found, err)
	}
	for _, want := range []bool{true, false} { // once
		if found, err := s.AnswerLetter(ctx, device, letterWith("second", 2).Hash, 5, false, "roll-back"); err != nil || found != want {
			t.Errorf("answered: %v, %v", found, err)
		}
	}
	newest("second", true)
	stop()
	s, _, _ = open(t, dir)
	newest("second", true)
	put(letterWith("first", 1), nil) // nothing waits any more
	newest("first", false)
}

// The oldest messages of pairings go first, each side's alone.
func TestMailIsBounded(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	config := s.mail.CachedInfo().Config
	if config.MaxMsgs != mailMessages || config.MaxAge != mailAge || config.MaxMsgsPerSubject != 1 {
		t.Errorf("messages are kept as %+v", config)
	}
	box := MailBox{strings.Repeat("0", 32), "owner"}
	if _, err := s.Mail(t.Context(), box); !errors.Is(err, ErrNotFound) {
		t.Errorf("an empty mailbox: %v", err)
	}
	changed, leave := s.MailChanged(box)
	if err := s.PutMail(t.Context(), box, []byte("offer")); err != nil {
		t.Fatal(err)
	}
	<-changed
	leave()
	if b, err := s.Mail(t.Context(), box); err != nil || string(b) != "offer" {
		t.Errorf("%q, %v", b, err)
	}
	if _, leave := s.MailChanged(box); len(s.bells.rings) != 1 {
		t.Error("nobody waits")
	} else if leave(); len(s.bells.rings) != 0 {
		t.Error("who left still waits")
	}
}

// A box in another's place leaves nothing of that.
func TestBoxTakesThePlace(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	at := strings.Repeat("0f", 16)
	for n := range 3 {
		box := bytes.Repeat([]byte{byte(n)}, chunkSize+n)
		if err := s.PutBox(t.Context(), at, box); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Box(t.Context(), at); err != nil || !bytes.Equal(got, box) {
			t.Errorf("box %d comes as %d bytes, %v", n, len(got), err)
		}
	}
	info, err := s.household.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 1+2 && info.State.Msgs != 1+1 {
		t.Errorf("%d messages for one box", info.State.Msgs)
	}
}

func FuzzStoredLetter(f *testing.F) {
	l := letterWith("letter", 2)
	b, err := l.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte("bGV0dGVy"), []byte("bGV0dGVz"), 1))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"answered":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLetter(LetterRecord, b)
		if err != nil {
			return
		}
		if l.Answered == 0 && l.Hash != sha256.Sum256(l.Bytes) {
			t.Fatalf("a letter with another's hash: %+v", l)
		}
		again, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := parseLetter(LetterRecord, again); err == nil && (v.Hash != l.Hash || v.Reason != l.Reason) {
			t.Fatalf("%+v is read again as %+v", l, v)
		}
	})
}
