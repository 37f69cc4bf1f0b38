package hub

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/internal/durable"
	enrolment "github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// claimToken makes a token of a hub's.
func claimToken(t testing.TB, h *running, until time.Time, device seal.ID) string {
	t.Helper()
	token, err := ClaimToken(h.dir.Path(""), until, device)
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// tryEnrol asks for a certificate and gives the status.
func tryEnrol(t testing.TB, h *running, k *ecdsa.PrivateKey, token string, record []byte) int {
	t.Helper()
	block, _ := pem.Decode(request(t, k, idOf(t, k).String()))
	m := enrolment.Message{Request: block.Bytes, Record: record}
	return postEnrol(t, h, m.Encode(), token).StatusCode
}

func TestClaimTokenLetsOneDeviceIn(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Enrol: EnrolOptions{Admission: authority.AdmitToken}}
	h := startHub(t, o)
	first, second := newKey(t), newKey(t)
	soon := time.Now().Add(time.Hour)
	token := claimToken(t, h, soon, seal.ID{})
	check := func(what string, want, got int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, not %d", what, got, want)
		}
	}
	check("without a token", 401, tryEnrol(t, h, first, "", nil))
	check("paired, where a token is asked for", 401, tryEnrol(t, h, first, "", newCamera(t, newOwner(t)).record.Bytes()))
	check("the first", 200, tryEnrol(t, h, first, token, nil))
	check("the second", 403, tryEnrol(t, h, second, token, nil))
	check("the first, whose answer was lost", 200, tryEnrol(t, h, first, token, nil))
	h.stop(t)
	h = startHub(t, o)
	check("the second, after a restart", 403, tryEnrol(t, h, second, token, nil))
	check("the first, after a restart", 200, tryEnrol(t, h, first, token, nil))
	check("one that has expired", 401, tryEnrol(t, h, second, claimToken(t, h, time.Now(), seal.ID{}), nil))
	check("another hub's", 401, tryEnrol(t, h, second, claimToken(t, startHub(t, Options{}), soon, seal.ID{}), nil))
	bound := claimToken(t, h, soon, idOf(t, first))
	check("another device's", 401, tryEnrol(t, h, second, bound, nil))
	check("its own device's", 200, tryEnrol(t, h, first, bound, nil))
	spoilt := []byte(claimToken(t, h, soon, seal.ID{}))
	for i := range spoilt {
		b := bytes.Clone(spoilt)
		b[i] ^= 1
		if got := tryEnrol(t, h, second, string(b), nil); got != 401 {
			t.Errorf("spoilt at %d: %d", i, got)
		}
	}
	check("after all those", 200, tryEnrol(t, h, second, string(spoilt), nil))
	if _, err := ClaimToken(t.TempDir(), soon, seal.ID{}); err == nil {
		t.Error("a token of a hub that is not there")
	}
}

// However many devices show a token at the same moment, one gets in.
func TestClaimTokenInARace(t *testing.T) {
	hubs := startCluster(t, clusterDirs(t), Options{Enrol: EnrolOptions{Admission: authority.AdmitToken}})
	token := claimToken(t, hubs[0], time.Now().Add(time.Hour), seal.ID{})
	var keys []*ecdsa.PrivateKey
	for range 9 {
		keys = append(keys, newKey(t))
	}
	status := make([]int, len(keys))
	race := func() {
		var all sync.WaitGroup
		for i, k := range keys {
			all.Go(func() { status[i] = tryEnrol(t, hubs[(i+1)%3], k, token, nil) })
		}
		all.Wait()
	}
	race()
	var in []int
	for i, s := range status {
		switch s {
		case http.StatusOK:
			in = append(in, i)
		case http.StatusForbidden:
		default:
			t.Errorf("device %d: %d", i, s)
		}
	}
	if len(in) != 1 {
		t.Fatalf("%d devices are let in", len(in))
	}
	before := status[in[0]]
	if race(); status[in[0]] != before {
		t.Errorf("asking again: %v", status)
	}
	t.Run("revoked at all nodes", func(t *testing.T) { revokedAtAllNodes(t, hubs) })
}

func TestPairedDeviceIsLetIn(t *testing.T) {
	mine, other := newOwner(t), newOwner(t)
	cam, theirs := newCamera(t, mine), newCamera(t, other)
	half := bytes.Clone(cam.record.Bytes())
	half[len(half)-1] ^= 1 // the acceptance's signature
	any := startHub(t, Options{Enrol: EnrolOptions{Admission: authority.AdmitPaired}})
	listed := startHub(t, Options{Enrol: EnrolOptions{Admission: authority.AdmitPaired, Owners: []seal.ID{mine.id}}})
	for _, c := range []struct {
		name   string
		hub    *running
		cam    *camera
		token  string
		record []byte
		want   int
	}{
		{"paired", any, cam, "", cam.record.Bytes(), 200},
		{"of any owner", any, theirs, "", theirs.record.Bytes(), 200},
		{"not paired", any, cam, "", nil, 401},
		{"with another device's record", any, cam, "", theirs.record.Bytes(), 403},
		{"with a broken record", any, cam, "", half, 403},
		{"with rubbish", any, cam, "", []byte("rubbish"), 403},
		{"with a wrong token and a record", any, cam, "wrong", cam.record.Bytes(), 401},
		{"of a listed owner", listed, cam, "", cam.record.Bytes(), 200},
		{"of another owner", listed, theirs, "", theirs.record.Bytes(), 403},
		{"of another owner, with a token", listed, theirs, claimToken(t, listed, time.Now().Add(time.Hour), seal.ID{}), nil, 200},
	} {
		if got := tryEnrol(t, c.hub, c.cam.key, c.token, c.record); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}

// standing leaves an order and waits until it is carried out.
func standing(t testing.TB, h *running, device seal.ID, revoke bool) {
	t.Helper()
	if err := Order(h.dir.Path(""), device, revoke); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := Obeyed(ctx, h.dir.Path(""), device); err != nil {
		t.Fatal(err)
	}
}

// canConnect says whether a session gets an answer, with a TLS session that was kept if
// the cache has one.
func canConnect(t testing.TB, h *running, c *camera, cert tls.Certificate, cache tls.ClientSessionCache) bool {
	t.Helper()
	o := pahoOptions(h, cert, c.id.String())
	config := o.TLSConfig.Clone()
	config.ClientSessionCache = cache
	o.SetTLSConfig(config)
	client := mqtt.NewClient(o)
	defer client.Disconnect(0)
	tok := client.Connect()
	return tok.WaitTimeout(patience) && tok.Error() == nil
}

func TestRevocation(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	cam, other := newCamera(t, newOwner(t)), newCamera(t, newOwner(t))
	cert := enrol(t, h, cam.key)
	cache := tls.NewLRUClientSessionCache(4)
	for range 2 { // the second is resumed
		if !canConnect(t, h, cam, cert, cache) {
			t.Fatal("it cannot connect")
		}
	}
	l, bystander := connect(t, h, cam, cert), attach(t, h, other)
	l.publish(t, topicRecord, cam.record.Bytes())
	l.next(t)
	clip := cam.sealed(t, seal.KindClip, 1000)
	granted := l.granted(t, clip)

	standing(t, h, cam.id, true)
	select {
	case <-l.lost:
	case <-time.After(patience):
		t.Error("its session goes on")
	}
	refused := func(h *running) {
		t.Helper()
		if canConnect(t, h, cam, cert, nil) {
			t.Error("it connects")
		}
		if canConnect(t, h, cam, cert, cache) {
			t.Error("it connects with a TLS session from before")
		}
		if got := tryEnrol(t, h, cam.key, "", cam.record.Bytes()); got != http.StatusForbidden {
			t.Errorf("it enrols: %d", got)
		}
	}
	refused(h)
	if status, _ := put(t, h, granted, bytes.NewReader(clip.Bytes())); status != http.StatusForbidden {
		t.Errorf("it uploads what was granted: %d", status)
	}
	bystander.deliver(t, other.sealed(t, seal.KindThumbnail, 100))
	h.stop(t)

	// An order that was left while the hub was off; and what it knew before.
	if err := Order(dir, other.id, true); err != nil {
		t.Fatal(err)
	}
	h = startHub(t, Options{Dir: dir})
	refused(h)
	eventually(t, "the other one is revoked", func() bool { return h.roll.Revoked(other.id) })

	standing(t, h, cam.id, false)
	if !canConnect(t, h, cam, cert, cache) || tryEnrol(t, h, cam.key, "", nil) != http.StatusOK {
		t.Error("it is not let in again")
	}
	if err := Order(t.TempDir(), cam.id, true); err == nil {
		t.Error("an order to a hub that is not there")
	}
}

// A session at a broker that this hub cannot end is not listened to.
func TestRevokedSessionIsNotHeard(t *testing.T) {
	h := startHub(t, Options{})
	cam := newCamera(t, newOwner(t))
	l := attach(t, h, cam)
	h.roll.mu.Lock()
	h.roll.revoked[cam.id] = struct{}{} // and nobody ends the session
	h.roll.mu.Unlock()
	before := cam.sealed(t, seal.KindThumbnail, 100)
	l.publish(t, topicItem, before.Bytes())
	v := signIn(t, h, cam.owner.key, cam.owner.id)
	eventually(t, "the item is dropped", func() bool { return v.metric(t, "lensward_hub_dropped_messages_total") == 1 })
	if n := len(v.timeline(t, "").Items); n != 0 {
		t.Errorf("%d items of a revoked device", n)
	}
}

// Orders that make no sense are dropped, and those that were begun are carried out.
func TestOrders(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	h.stop(t)
	orders := filepath.Join(dir, ordersDir)
	var ids []seal.ID
	for range 5 {
		ids = append(ids, idOf(t, newKey(t)))
	}
	for name, text := range map[string]string{
		ids[0].String():             orderRevoke,
		ids[1].String() + orderTake: orderRevoke,
		ids[2].String():             "reboot\n",
		ids[3].String():             string(make([]byte, 10<<10)),
		ids[4].String() + orderTake: orderRevoke, // and then
		ids[4].String():             orderAllow,
		"README":                    "nothing",
	} {
		if err := os.WriteFile(filepath.Join(orders, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h = startHub(t, Options{Dir: dir})
	eventually(t, "the orders are gone", func() bool {
		names, err := os.ReadDir(orders)
		return err == nil && len(names) == 1
	})
	for i, want := range []bool{true, true, false, false, false} {
		if h.roll.Revoked(ids[i]) != want {
			t.Errorf("device %d revoked: %v", i, !want)
		}
	}
}

// revokedAtAllNodes revokes at one node what is connected at another.
func revokedAtAllNodes(t *testing.T, hubs []*running) {
	cam := newCamera(t, newOwner(t))
	block, _ := pem.Decode(request(t, cam.key, cam.id.String()))
	m := enrolment.Message{Request: block.Bytes}
	res := postEnrol(t, hubs[0], m.Encode(), claimToken(t, hubs[0], time.Now().Add(time.Hour), cam.id))
	cert := chainOf(wholeBody(t, res), cam.key)
	l := connect(t, hubs[2], cam, cert)
	standing(t, hubs[0], cam.id, true)
	select {
	case <-l.lost:
	case <-time.After(patience):
		t.Error("its session at another node goes on")
	}
	for i, h := range hubs {
		eventually(t, "it is revoked at each node", func() bool { return h.roll.Revoked(cam.id) })
		if canConnect(t, h, cam, cert, nil) {
			t.Errorf("it connects to node %d", i)
		}
	}
}

// A device's whole way with the real hub: enrolled, connected, renewed, connected.
func TestRenewalAtAHub(t *testing.T) {
	h := startHub(t, Options{Enrol: EnrolOptions{Admission: authority.AdmitPaired, Life: time.Hour}})
	cam := newCamera(t, newOwner(t))
	dir := openDir(t)
	o := enrolment.Options{URL: h.DeviceURL(), TLS: &tls.Config{RootCAs: h.CAPool()}, Key: cam.key, Dir: dir, Record: cam.record.Bytes()}
	first, err := enrolment.LoadOrEnrol(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(first.Leaf.NotAfter); left > time.Hour || left < 50*time.Minute {
		t.Errorf("%v are left of an hour", left)
	}
	second, err := enrolment.Renew(t.Context(), o, first)
	if err != nil || second.Leaf.Equal(first.Leaf) || second.Leaf.NotAfter.Before(first.Leaf.NotAfter) {
		t.Fatalf("renewed: %v", err)
	}
	for _, cert := range []tls.Certificate{first, second} {
		if !canConnect(t, h, cam, cert, nil) {
			t.Error("it cannot connect")
		}
	}
	standing(t, h, cam.id, true)
	if _, err := enrolment.Renew(t.Context(), o, second); err == nil {
		t.Error("a revoked device renews")
	}
}

// foreign is another CA as an issuer, of which the hub believes nothing.
type foreign struct {
	*authority.Devices
	spoil func([]byte) []byte
}

func (f foreign) Issue(ctx context.Context, r *x509.CertificateRequest) ([]byte, error) {
	b, err := f.Devices.Issue(ctx, r)
	return f.spoil(b), err
}

func TestForeignIssuer(t *testing.T) {
	ca, err := authority.Open(openDir(t))
	if err != nil {
		t.Fatal(err)
	}
	good := func(b []byte) []byte { return b }
	h := startHub(t, Options{Enrol: EnrolOptions{Issuer: foreign{ca.Devices(0), good}}})
	cam := newCamera(t, newOwner(t))
	cert := enrol(t, h, cam.key)
	if cert.Leaf == nil {
		cert.Leaf, _ = x509.ParseCertificate(cert.Certificate[0])
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: h.CAPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the hub's own CA signed it")
	}
	if !canConnect(t, h, cam, cert, nil) {
		t.Error("the issuer's certificate does not let it in")
	}
	_, another, err := ca.Enrol(request(t, cam.key, idOf(t, cam.key).String()))
	if err != nil {
		t.Fatal(err)
	}
	stranger := newKey(t)
	_, wrong, err := ca.Enrol(request(t, stranger, idOf(t, stranger).String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"nothing": func([]byte) []byte { return nil }, "rubbish": func([]byte) []byte { return []byte("x") },
		"another device's": func([]byte) []byte { return wrong }, "the CA's": func([]byte) []byte { return ca.PEM() },
		"cut off": func(b []byte) []byte { return b[:len(b)/2] }, "a flood": func(b []byte) []byte { return bytes.Repeat(another, 100) },
	} {
		h := startHub(t, Options{Enrol: EnrolOptions{Issuer: foreign{ca.Devices(0), spoil}}})
		if got := tryEnrol(t, h, cam.key, "", nil); got != http.StatusServiceUnavailable {
			t.Errorf("%s is given out: %d", name, got)
		}
	}
	if _, err := New(Options{Dir: t.TempDir(), Enrol: EnrolOptions{Admission: "sometimes"}}); err == nil {
		t.Error("an admission that is not known")
	}
}

func openDir(t testing.TB) *durable.Dir {
	t.Helper()
	d, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wholeBody(t testing.TB, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
