package systest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport"
	people "github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/viewer"
)

// stand is a hub in memory that can be stopped and started again.
type stand struct {
	t   *testing.T
	dir string

	mu                   sync.Mutex
	hub                  *hub.Hub
	mqtt, device, viewer *hubtest.Listener
	conns                []net.Conn // of devices
	stopped              func()
}

func (s *stand) start(change ...func(*hub.Options)) {
	s.t.Helper()
	mq, dev, view := hubtest.Listen("hub:8883"), hubtest.Listen("hub:8443"), hubtest.Listen("hub:8080")
	o := hub.Options{Dir: s.dir, Gateway: hubtest.NewGateway(mq), DeviceListener: dev, ViewerListener: view, SyncInterval: time.Hour, Drain: 1000, Log: testLog(),
		Enrol: hub.EnrolOptions{Admission: authority.AdmitAny}}
	for _, f := range change {
		f(&o)
	}
	h, err := hub.New(o)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-h.Ready()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub, s.mqtt, s.device, s.viewer = h, mq, dev, view
	s.stopped = func() {
		cancel()
		must(s.t, <-done)
	}
}

func (s *stand) stop() {
	s.stopped()
	s.cut()
}

// restart stops the hub and starts it as it is told.
func (s *stand) restart(change ...func(*hub.Options)) {
	s.stop()
	s.start(change...)
}

// cut breaks every device's connection.
func (s *stand) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *stand) listener(which func(*stand) *hubtest.Listener) *hubtest.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return which(s)
}

func ofDevices(s *stand) *hubtest.Listener { return s.device }
func ofViewers(s *stand) *hubtest.Listener { return s.viewer }

// client reaches one of the hub's HTTP listeners, whichever stands there at the moment.
func (s *stand) client(which func(*stand) *hubtest.Listener) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := s.listener(which).Dial(ctx)
			if err != nil {
				return nil, err
			}
			return newPosted(c), nil
		},
		TLSClientConfig:   &tls.Config{RootCAs: s.hub.CAPool(), ServerName: "localhost"},
		DisableKeepAlives: true,
	}}
}

// posted is a connection whose writes do not wait for a reader, as the kernel's do not.
// On a bare pipe net/http says goodbye by TLS while it holds a lock, and a bubble's time
// does not pass while another waits for that.
type posted struct {
	net.Conn
	post chan []byte
	done chan struct{}
	end  func()
}

func newPosted(c net.Conn) *posted {
	p := &posted{Conn: c, post: make(chan []byte, 1024), done: make(chan struct{})}
	p.end = sync.OnceFunc(func() { close(p.done) })
	go func() {
		defer c.Close()
		for {
			select {
			case b := <-p.post:
				if _, err := c.Write(b); err != nil {
					return
				}
			case <-p.done:
				return
			}
		}
	}()
	return p
}

func (p *posted) Write(b []byte) (int, error) {
	select {
	case p.post <- bytes.Clone(b):
		return len(b), nil
	case <-p.done:
		return 0, net.ErrClosed
	}
}

func (p *posted) Close() error {
	p.end()
	return p.Conn.Close()
}

// dial is a device's way in. What it gives can be cut.
func (s *stand) dial(ctx context.Context) (net.Conn, error) {
	c, err := s.listener(func(s *stand) *hubtest.Listener { return s.mqtt }).Dial(ctx)
	if err == nil {
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
	}
	return c, err
}

// Upload puts a clip part where the hub granted it.
func (s *stand) Upload(ctx context.Context, url string, item []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(item))
	if err != nil {
		return err
	}
	res, err := s.client(ofDevices).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("upload: %s", res.Status)
	}
	return nil
}

// rootKeys are an owner's, who signs in with the root key.
type rootKeys struct {
	key       *ecdsa.PrivateKey
	spki      []byte
	id        seal.ID
	identity  age.Identity
	recipient string
	held      people.Identities // that the household begins with
}

func newRoot(t *testing.T) *rootKeys {
	key, spki, id := newP256(t)
	identity, err := age.GenerateX25519Identity()
	must(t, err)
	return &rootKeys{key: key, spki: spki, id: id, identity: identity, recipient: identity.Recipient().String()}
}

func newP256(t *testing.T) (*ecdsa.PrivateKey, []byte, seal.ID) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	spki, err := statement.SPKI(key.Public())
	must(t, err)
	return key, spki, seal.KeyID(spki)
}

// look makes a viewer of the owner's at a hub.
func (o *rootKeys) look(s *stand, state viewer.State, heads ...viewer.MemberHeads) *viewer.Viewer {
	s.t.Helper()
	v, err := viewer.New(viewer.Options{
		HubURL: "http://127.0.0.1:8080", Hub: s.hub.ID(), HTTPClient: s.client(ofViewers), State: state, Heads: heads, Log: testLog(),
		Keys: viewer.Keys{Owner: o.id, Signer: o.key, Identities: []age.Identity{o.identity}},
	})
	must(s.t, err)
	return v
}

// found makes the owner's household, and has the hub keep its first two statements.
func (o *rootKeys) found(s *stand) {
	s.t.Helper()
	member, spki, _ := newP256(s.t)
	id, err := people.NewIdentity()
	must(s.t, err)
	signed, err := people.SignCard(member, people.Card{Owner: o.id, Key: spki, Number: 1, Recipient: id.Recipient()})
	must(s.t, err)
	card, err := people.VerifyCard(signed, o.id)
	must(s.t, err)
	first, held, err := people.Found(o.key, o.held, people.Invitation{Card: card, Name: "one", Role: ownership.RoleOwner}, people.Change{}, time.Now())
	must(s.t, err)
	second, _, err := first.Change(o.key, held, people.Change{NewPeriod: true}, time.Now())
	must(s.t, err)
	c, err := viewer.NewCourier(viewer.CourierOptions{
		HubURL: "http://127.0.0.1:8080", Hub: s.hub.ID(), HTTPClient: s.client(ofViewers), Owner: o.id, Signer: o.key,
	})
	must(s.t, err)
	must(s.t, c.PutStatement(s.t.Context(), first))
	must(s.t, c.PutStatement(s.t.Context(), second))
}

// eye is a camera without a lens: its key, its spool, and what delivers it.
type eye struct {
	t       *testing.T
	owner   *rootKeys
	key     *ecdsa.PrivateKey
	spki    []byte
	id      seal.ID
	record  *ownership.Ownership
	history []*ownership.Ownership
	boot    uint64
	dir     string
	cert    tls.Certificate
	store   *spool.Spool
	budgets spool.Budgets
	ago     time.Duration // how old what it seals is

	delivery *transport.Delivery
	greeted  uint64
	end      func()
	counts   eyeCounts
}

// eyeCounts say what a camera went through.
type eyeCounts struct{ appended, refused, sessions, boots, revisions, epochs int }

func newEye(t *testing.T, owner *rootKeys, s *stand) *eye {
	key, spki, id := newP256(t)
	e := &eye{t: t, owner: owner, key: key, spki: spki, id: id, dir: filepath.Join(t.TempDir(), "spool"), budgets: spool.DefaultBudgets()}
	e.budgets.Clips, e.budgets.Reserve = 96<<10, 0
	e.budgets.Total = e.budgets.Clips + e.budgets.Thumbnails + e.budgets.Records
	e.enrol(s)
	e.own(1, 1)
	e.wake()
	return e
}

func (e *eye) enrol(s *stand) {
	e.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: e.id.String()}}, e.key)
	must(e.t, err)
	res, err := s.client(ofDevices).Post(s.hub.DeviceURL()+"/enrol", "application/x-pem-file",
		bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	must(e.t, err)
	defer res.Body.Close()
	chain, err := io.ReadAll(res.Body)
	must(e.t, err)
	block, _ := pem.Decode(chain)
	if block == nil {
		e.t.Fatalf("enrol: %s %s", res.Status, chain)
	}
	e.cert = tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: e.key}
}

// own makes a record and takes it into force.
func (e *eye) own(epoch, revision uint64) {
	e.t.Helper()
	r := ownership.Record{
		Device: e.id, DeviceKey: e.spki, Owner: e.owner.id, OwnerKey: e.owner.spki, Epoch: epoch, Revision: revision,
		Acquired: ownership.AcquiredPaired, Created: time.Now(),
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: e.owner.recipient}},
	}
	if e.record != nil {
		r.Previous = e.record.Hash()
	}
	if epoch > 1 {
		r.Acquired = ownership.AcquiredReset
	}
	signed, err := ownership.Sign(e.owner.key, r)
	must(e.t, err)
	e.record, err = signed.Accept(e.key, ownership.Acceptance{Boot: max(e.boot, 1), Protection: seal.ProtectionFile, Accepted: time.Now(), Firmware: "test"})
	must(e.t, err)
	if e.store != nil && epoch > e.history[len(e.history)-1].Record.Epoch {
		must(e.t, e.store.End(e.t.Context()))
	}
	e.history = append(e.history, e.record)
	if e.store != nil {
		must(e.t, e.store.Rebind(e.t.Context(), e.sealer()))
	}
}

func (e *eye) sealer() *seal.Sealer {
	e.t.Helper()
	binding, err := e.record.Binding()
	must(e.t, err)
	s, err := seal.NewSealer(seal.Device{Key: e.key, Protection: seal.ProtectionFile, Firmware: "test", Boot: e.boot}, binding)
	must(e.t, err)
	return s
}

// wake boots the camera.
func (e *eye) wake() {
	e.t.Helper()
	e.boot++
	e.counts.boots++
	var err error
	e.store, err = spool.Open(e.t.Context(), spool.Options{Dir: e.dir, Sealer: e.sealer(), Boot: e.boot, Budgets: e.budgets, Log: testLog()})
	must(e.t, err)
	must(e.t, e.checkpoint(e.t.Context(), "start"))
}

// sleep ends the camera, as a power switch would.
func (e *eye) sleep() {
	e.detach()
	must(e.t, e.store.Close())
}

// checkpoint says what agent says.
func (e *eye) checkpoint(ctx context.Context, cause string) error {
	st := e.store.Stats()
	body, err := json.Marshal(seal.Checkpoint{Cause: cause, Depth: uint64(st.Depth), Dropped: st.Dropped, Aside: st.Aside, Settled: st.Settled})
	if err != nil {
		return err
	}
	return e.append(ctx, seal.Draft{Kind: seal.KindCheckpoint, Body: body})
}

func (e *eye) append(ctx context.Context, d seal.Draft) error {
	d.Captured, d.Clock, d.MediaType = time.Now().Add(-e.ago), seal.ClockNetwork, d.Kind.MediaType()
	_, err := e.store.Append(ctx, d)
	if errors.Is(err, spool.ErrFull) {
		e.counts.refused++
		return nil
	}
	if err == nil {
		e.counts.appended++
	}
	return err
}

// visit is somebody who comes by: five items.
func (e *eye) visit() {
	e.t.Helper()
	var event seal.EventID
	_, err := rand.Read(event[:])
	must(e.t, err)
	record, err := json.Marshal(seal.Event{Start: 1, End: 2, Score: 0.5, Parts: 2})
	must(e.t, err)
	for _, d := range []seal.Draft{
		{Kind: seal.KindThumbnail, Body: make([]byte, 900)}, {Kind: seal.KindClip, Body: make([]byte, 2000)},
		{Kind: seal.KindClip, Body: make([]byte, 2000), Part: 1}, {Kind: seal.KindClip, Body: make([]byte, 500), Part: 2, Last: true},
		{Kind: seal.KindEvent, Body: record},
	} {
		d.Event = event
		must(e.t, e.append(e.t.Context(), d))
	}
}

// attach has the camera deliver to a hub until detach.
func (e *eye) attach(s *stand) {
	e.t.Helper()
	set := recovery.DefaultSettings()
	set.First = time.Millisecond
	e.greeted = 0
	var err error
	e.delivery, err = transport.New(transport.Options{
		Dialer: &mqtt.Dialer{Options: mqtt.Options{
			Device: e.id, Address: "hub:8883", Dial: s.dial, Log: testLog(),
			TLS: &tls.Config{RootCAs: s.hub.CAPool(), ServerName: "localhost", Certificates: []tls.Certificate{e.cert}},
		}},
		Queue: e.store, Uploader: s, Schedule: recovery.New(&set, 1),
		Record: func() transport.Record { return transport.Record{Bytes: e.record.Bytes(), Hash: e.record.Hash()} },
		Checkpoint: func(ctx context.Context) error {
			cause := "periodic"
			if n := e.delivery.Stats().Sessions; n != e.greeted {
				e.greeted, cause = n, "connect"
			}
			return e.checkpoint(ctx, cause)
		},
		Status: func() transport.Status { return transport.Status{Firmware: "test"} }, Settings: transport.DefaultSettings(), Log: testLog(),
	})
	must(e.t, err)
	ctx, cancel := context.WithCancel(e.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.delivery.Run(ctx) }()
	e.end = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			e.t.Errorf("the delivery ended with %v", err)
		}
		e.counts.sessions += int(e.delivery.Stats().Sessions)
	}
}

func (e *eye) detach() {
	if e.end != nil {
		e.end()
		e.end = nil
	}
}

// delivered waits until nothing waits.
func (e *eye) delivered() {
	e.t.Helper()
	for range 4 * 3600 {
		if e.store.Stats().Depth == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	e.t.Fatalf("%d items wait after four hours: %s", e.store.Stats().Depth, e.delivery.Stats().LastError)
}

// names counts findings by name, as text.
func names(all []viewer.Finding) string {
	count := map[viewer.FindingName]int{}
	for _, f := range all {
		count[f.Name]++
	}
	out := ""
	for _, n := range slices.Sorted(maps.Keys(count)) {
		out += fmt.Sprintf("%s %d ", n, count[n])
	}
	return out
}
