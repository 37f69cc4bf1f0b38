package transport_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/seal"
)

// post is a letter as the hub sends it.
func post(text string) transport.Message {
	return transport.Message{Type: transport.Letter, Hash: sha256.Sum256([]byte(text)), Letter: base64.RawURLEncoding.EncodeToString([]byte(text))}
}

func named(text string) string { return seal.Hash(sha256.Sum256([]byte(text))).String()[:8] }

// mind is a device that takes what begins with "take", each making another record, and
// cannot decide on what begins with "disk".
type mind struct {
	mu     sync.Mutex
	record string
	read   []string
	moved  chan struct{}
}

// become puts another record in force, and says so or not.
func (m *mind) become(record string, say bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record = record
	if say {
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

func (m *mind) letter(b []byte) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read = append(m.read, string(b))
	switch {
	case strings.HasPrefix(string(b), "disk"):
		return "", errors.New("the disk fails")
	case strings.HasPrefix(string(b), "take"):
		m.record = string(b)
		return "", nil
	default:
		return "roll-back", nil
	}
}

func (m *mind) options(o *transport.Options) {
	m.moved = make(chan struct{})
	o.Letter = m.letter
	o.Record = func() transport.Record {
		m.mu.Lock()
		defer m.mu.Unlock()
		return transport.Record{Bytes: []byte(m.record), Hash: sha256.Sum256([]byte(m.record))}
	}
	o.RecordChanged = func() <-chan struct{} {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.moved
	}
}

func TestLettersAreAnsweredOnceASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mind{record: "first"}
		r := newRig(t, m.options)
		r.h.onRecord = func(s *session, hash seal.Hash) {
			s.say(post("take early")) // its order against the receipt is not promised
			s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
		}
		r.run()
		pass(10 * time.Second)
		for _, text := range []string{"take 2", "old", "take 2", "old", "disk"} {
			r.h.live.say(post(text))
			pass(time.Second)
		}
		bad := post("x")
		bad.Letter = "=x"
		r.h.live.say(bad)
		bad = post("y")
		bad.Hash[0] ^= 1
		r.h.live.say(bad)
		pass(time.Second)
		want := []string{
			"record", "status", // the connect
			"record", "answer took " + named("take early"),
			"record", "answer took " + named("take 2"),
			"answer roll-back " + named("old"),
			"answer malformed " + named("x"), "answer malformed " + bad.Hash.String()[:8],
		}
		if got := r.h.heard("record", "status", "answer"); got != strings.Join(want, ", ") {
			t.Errorf("heard\n%s, want\n%s", got, strings.Join(want, ", "))
		}
		// Another session may have all of it again.
		r.h.clear()
		r.h.live.lose(io.EOF)
		pass(10 * time.Second)
		r.h.live.say(post("old"))
		pass(time.Second)
		want = []string{"record", "status", "record", "answer took " + named("take early"), "answer roll-back " + named("old")}
		if got := r.h.heard("record", "status", "answer"); got != strings.Join(want, ", ") {
			t.Errorf("in the next session\n%s, want\n%s", got, strings.Join(want, ", "))
		}
		s := r.d.Stats()
		r.stop()
		if s.Letters != 3 || s.LettersRefused != 4 || s.Ignored != 5 || s.Sessions != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestFloodOfLetters has a hub that sends more than are looked at, before and after the
// device is admitted.
func TestFloodOfLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mind{record: "first"}
		r := newRig(t, m.options)
		r.h.onRecord = func(s *session, hash seal.Hash) {
			for i := range 10 {
				s.say(post(fmt.Sprint("early ", i)))
			}
			s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
		}
		r.run()
		pass(10 * time.Second)
		for i := range 30 {
			r.h.live.say(post(fmt.Sprint("late ", i)))
		}
		pass(time.Second)
		r.stop()
		s := r.d.Stats()
		if len(m.read) != 16 || s.LettersRefused != 16 || s.Ignored != 24 || s.Sessions != 1 {
			t.Errorf("%d were looked at: %+v", len(m.read), s)
		}
	})
}

// TestNewRecordIsShownFirst changes the record by itself, as a pairing on the spot does:
// the hub hears of it at once, and before anything that is sealed under it.
func TestNewRecordIsShownFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mind{record: "first"}
		r := newRig(t, m.options)
		r.run()
		pass(10 * time.Second)
		r.h.clear()
		m.become("second", true)
		pass(time.Second)
		if got := r.h.heard(); got != "record" {
			t.Errorf("heard %s", got)
		}
		m.become("third", false)
		r.q.add(seal.KindThumbnail)
		pass(time.Second)
		m.become("fourth", false)
		r.q.add(seal.KindClip)
		pass(time.Second)
		if got := r.h.heard(); got != "record, record, item 1, record, want 2, put 2" {
			t.Errorf("heard %s", got)
		}
		r.stop()
		r.empty()
	})
}

// TestRefusedRecordEndsTheSession has a hub that does not take the record that came into
// force: what is sealed under it must not be refused for that.
func TestRefusedRecordEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mind{record: "first"}
		r := newRig(t, m.options)
		var refuse atomic.Bool
		r.h.onRecord = func(s *session, hash seal.Hash) {
			if refuse.Load() && hash == sha256.Sum256([]byte("second")) {
				s.say(transport.Message{Type: transport.RecordRefusal, Hash: hash, Reason: "fork"})
				return
			}
			s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
		}
		r.run()
		pass(10 * time.Second)
		r.h.live.say(transport.Message{Type: transport.RecordRefusal, Hash: seal.Hash{9}, Reason: "x"}) // of another one
		pass(time.Second)
		sessions := r.d.Stats().Sessions
		refuse.Store(true)
		m.become("second", true)
		pass(10 * time.Second)
		s := r.d.Stats()
		if sessions != 1 || s.Sessions != 1 || s.Connects < 2 || !strings.Contains(s.LastError, "fork") {
			t.Errorf("%d sessions before, then %+v", sessions, s)
		}
		refuse.Store(false)
		pass(time.Minute)
		if s := r.d.Stats(); s.Sessions != 2 {
			t.Errorf("in the end %+v", s)
		}
		r.stop()
	})
}

// TestAnswerOnTheWire goes the whole way to a broker, with the longest letter there is.
func TestAnswerOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &brokered{t: t, device: seal.ID{1}, store: map[seal.Hash]int{}}
		var answers []string
		hub.broker.Watch("lensward/1/+/record", func(_ string, b []byte) {
			hub.say(transport.Message{Type: transport.RecordReceipt, Hash: sha256.Sum256(b)})
		})
		hub.broker.Watch("lensward/1/+/answer", func(_ string, b []byte) { answers = append(answers, string(b)) })
		m := &mind{record: "first"}
		r := newRig(t, m.options, func(o *transport.Options) {
			o.Dialer = &mqtt.Dialer{Options: mqtt.Options{Device: hub.device, Dial: hub.broker.Dial}}
		})
		r.run()
		pass(10 * time.Second)
		letter := "take " + strings.Repeat("x", transport.MaxLetter-5)
		hub.say(post(letter))
		pass(time.Second)
		hub.say(post("old"))
		pass(time.Second)
		r.stop()
		hub.broker.Close()
		want := []string{
			`{"hash":"` + post(letter).Hash.String() + `","ok":true}`,
			`{"hash":"` + post("old").Hash.String() + `","ok":false,"reason":"roll-back"}`,
		}
		if strings.Join(answers, "\n") != strings.Join(want, "\n") {
			t.Errorf("answered %v, want %v", answers, want)
		}
	})
}
