package store

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// open starts a broker on dir and opens the store on it, which runs. stop ends both.
func open(t testing.TB, dir string) (s *Store, js jetstream.JetStream, stop func()) {
	t.Helper()
	js, down := broker(t, dir)
	s, err := Open(t.Context(), js, Options{})
	if err != nil {
		t.Fatal(err)
	}
	halt := running(t, s)
	stop = sync.OnceFunc(func() {
		halt()
		down()
	})
	t.Cleanup(stop)
	return s, js, stop
}

// running runs a store until stop, or the test's end.
func running(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the store ran until %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// broker starts a broker on dir.
func broker(t testing.TB, dir string) (js jetstream.JetStream, stop func()) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, MaxPayload: MaxMessage,
		JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the broker does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		conn.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	t.Cleanup(stop)
	if js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	return js, stop
}

// party is an owner with a camera.
type party struct {
	owner, device *ecdsa.PrivateKey
	id            seal.ID // the owner's
	age           string
}

func newParty(t testing.TB) *party {
	t.Helper()
	p := &party{}
	for _, k := range []**ecdsa.PrivateKey{&p.owner, &p.device} {
		var err error
		if *k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p.age, p.id = x.Recipient().String(), seal.KeyID(spki(t, p.owner))
	return p
}

func spki(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *party) record(t testing.TB, epoch, revision uint64) *ownership.Ownership {
	t.Helper()
	dev := spki(t, p.device)
	signed, err := ownership.Sign(p.owner, ownership.Record{
		Device: seal.KeyID(dev), DeviceKey: dev, Owner: p.id, OwnerKey: spki(t, p.owner),
		Epoch: epoch, Revision: revision, Previous: seal.Hash{1}, Acquired: ownership.AcquiredPaired,
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: p.age}},
		Created:    time.UnixMilli(1_700_000_000_000),
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := signed.Accept(p.device, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.UnixMilli(0), Firmware: "1"})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (p *party) item(t *testing.T, kind seal.Kind, size int, seq uint64) *seal.Item {
	t.Helper()
	o := p.record(t, 1, 1)
	b, err := o.Binding()
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.NewSealer(seal.Device{Key: p.device, Boot: 1, Firmware: "1", Protection: seal.ProtectionFile}, b)
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Seal(seal.Draft{
		Kind: kind, Event: seal.EventID{1}, Captured: time.UnixMilli(0), Clock: seal.ClockUnset,
		MediaType: kind.MediaType(), Body: make([]byte, size),
	}, seal.Link{Chain: 1, Seq: seq, Prev: b.Record})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// A clip whose write failed half-way is not there, and is there once it is
// written again: the pair of "failed and not persisted".
func TestClipWithoutItsEnvelopeIsNotThere(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := open(t, dir)
	p := newParty(t)
	clip := p.item(t, seal.KindClip, 300<<10, 1)
	if err := s.putBody(t.Context(), clip); err != nil { // and then the power went
		t.Fatal(err)
	}
	stop()
	s, _, _ = open(t, dir)
	ref := clip.Header.Ref()
	if _, err := s.Item(t.Context(), p.id, ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unfinished clip is %v", err)
	}
	if held, err := s.Holds(t.Context(), ref, clip.Hash()); held || err != nil {
		t.Errorf("an unfinished clip is held: %v, %v", held, err)
	}
	if rows, _, err := s.Timeline(t.Context(), p.id, 0, 10); len(rows) != 0 || err != nil {
		t.Errorf("an unfinished clip makes %d rows, %v", len(rows), err)
	}
	if err := s.PutItem(t.Context(), clip); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Item(t.Context(), p.id, ref); err != nil || !bytes.Equal(b, clip.Bytes()) {
		t.Errorf("%d bytes, not %d, %v", len(b), clip.Size(), err)
	}
	info, err := s.bodies.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 3 {
		t.Errorf("%d chunks are kept, not 3", info.State.Msgs)
	}
}

// An item whose write failed for the caller but reached the disk is stored once
// when it is written again: the pair of "failed but persisted".
func TestLostAcknowledgementStoresOnce(t *testing.T) {
	s, js, _ := open(t, t.TempDir())
	p := newParty(t)
	for seq, kind := range map[uint64]seal.Kind{1: seal.KindThumbnail, 2: seal.KindClip} {
		it := p.item(t, kind, 1000, seq)
		if kind == seal.KindClip {
			if err := s.putBody(t.Context(), it); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := js.PublishMsg(t.Context(), itemMessage(it)); err != nil {
			t.Fatal(err)
		}
		if err := s.PutItem(t.Context(), it); err != nil {
			t.Errorf("%s again: %v", kind, err)
		}
		if b, err := s.Item(t.Context(), p.id, it.Header.Ref()); err != nil || !bytes.Equal(b, it.Bytes()) {
			t.Errorf("%s: %d bytes, %v", kind, len(b), err)
		}
	}
	if rows, _, err := s.Timeline(t.Context(), p.id, 0, 10); len(rows) != 2 || err != nil {
		t.Errorf("%d rows, not 2, %v", len(rows), err)
	}
}

func TestWriteThatIsCancelledIsNoSuccess(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for seq, kind := range map[uint64]seal.Kind{1: seal.KindThumbnail, 2: seal.KindClip} {
		if err := s.PutItem(ctx, p.item(t, kind, 1000, seq)); err == nil || errors.Is(err, ErrFork) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := s.PutRecord(ctx, p.record(t, 1, 1)); err == nil || errors.Is(err, ErrFork) || errors.Is(err, ErrRollBack) {
		t.Errorf("record: %v", err)
	}
}

func TestHistoryKeepsOldRevisions(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	for r := uint64(1); r <= 3; r++ {
		if err := s.PutRecord(t.Context(), p.record(t, 1, r)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.History(t.Context(), p.id)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, o := range got {
		if o.Record.Revision != uint64(i)+1 {
			t.Errorf("record %d is revision %d", i, o.Record.Revision)
		}
	}
	if other, err := s.History(t.Context(), seal.ID{9}); err != nil || len(other) != 0 {
		t.Errorf("a stranger has %d records, %v", len(other), err)
	}
}

func TestRecordsAtOnce(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	var records []*ownership.Ownership
	for r := uint64(1); r <= 8; r++ {
		records = append(records, p.record(t, 1, r))
	}
	var g sync.WaitGroup
	for _, o := range records {
		g.Go(func() {
			if err := s.PutRecord(t.Context(), o); err != nil && !errors.Is(err, ErrRollBack) {
				t.Errorf("revision %d: %v", o.Record.Revision, err)
			}
		})
	}
	g.Wait()
	got, err := s.Records(t.Context(), p.id)
	if err != nil || len(got) != 1 || got[0].Record.Revision != 8 || !got[0].Newest {
		t.Errorf("the newest of %d records is %+v, %v", len(records), got, err)
	}
	info, err := s.records.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	// Whatever order they came in, what is stored only goes forward.
	var before place
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := s.records.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		pl, err := parsePlace(m.Subject)
		if err != nil || !pl.after(before) {
			t.Errorf("revision %d is stored after %d, %v", pl.revision, before.revision, err)
		}
		before = pl
	}
}

func TestForksAtOnceLeaveOneItem(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	var stored, forked sync.Map
	var g sync.WaitGroup
	for range 8 {
		it := p.item(t, seal.KindThumbnail, 100, 1)
		g.Go(func() {
			switch err := s.PutItem(t.Context(), it); {
			case err == nil:
				stored.Store(it.Hash(), true)
			case errors.Is(err, ErrFork):
				forked.Store(it.Hash(), true)
			default:
				t.Error(err)
			}
		})
	}
	g.Wait()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if count(&stored) != 1 || count(&forked) != 7 {
		t.Errorf("%d stored, %d forks", count(&stored), count(&forked))
	}
}

func TestChangedRingsForThatOwner(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	a, b := newParty(t), newParty(t)
	rungA, leaveA := s.Changed(a.id)
	rungB, leaveB := s.Changed(b.id)
	defer leaveA()
	if err := s.PutItem(t.Context(), a.item(t, seal.KindThumbnail, 100, 1)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-rungA:
	case <-time.After(20 * time.Second):
		t.Error("A is not told")
	}
	select {
	case <-rungB:
		t.Error("B is told of A's item")
	default:
	}
	leaveB()
	s.bell.mu.Lock()
	defer s.bell.mu.Unlock()
	if len(s.bell.rings) != 0 {
		t.Errorf("%d rings are left", len(s.bell.rings))
	}
}

func TestSeenAndEvidence(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := open(t, dir)
	p := newParty(t)
	device := seal.ID{7}
	if at, err := s.Seen(t.Context(), device); !at.IsZero() || err != nil {
		t.Errorf("never heard, and seen at %v, %v", at, err)
	}
	it := p.item(t, seal.KindThumbnail, 100, 1)
	for range 2 {
		if note, err := s.PutSeen(t.Context(), device, true, 0); note == 0 || err != nil {
			t.Fatal(note, err)
		}
		if err := s.PutFork(t.Context(), device, it.Hash(), it.Envelope); err != nil {
			t.Fatal(err)
		}
	}
	if fresh, err := s.PutReport(t.Context(), p.id, it, seal.ReasonWrongOwner); !fresh || err != nil {
		t.Errorf("the first report: %v, %v", fresh, err)
	}
	if fresh, err := s.PutReport(t.Context(), p.id, it, seal.ReasonWrongOwner); fresh || err != nil {
		t.Errorf("the same report: %v, %v", fresh, err)
	}
	stop()
	s, _, _ = open(t, dir)
	if at, err := s.Seen(t.Context(), device); at.IsZero() || err != nil {
		t.Errorf("seen at %v, %v", at, err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	for within, want := range map[time.Duration]int{time.Hour: 1, time.Nanosecond: 0} {
		if n, err := s.Heard(t.Context(), within); n != want || err != nil {
			t.Errorf("%d devices were heard within %v, %v", n, within, err)
		}
	}
	if n, err := s.Evidence(t.Context()); n != 2 || err != nil {
		t.Errorf("%d pieces of evidence, not 2, %v", n, err)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add("ward.record.d.1.2.o.h")
	f.Add("ward.record.d.x.2.o.h")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePlace(s)
		if err == nil && (p.after(p) || p.hash != s[len(s)-len(p.hash):]) {
			t.Fatalf("%q is read as %+v", s, p)
		}
	})
}
