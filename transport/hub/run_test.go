package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	l.publish(t, topicStatus, []byte(`{"online":true}`))
	thumb, clip, late := c.sealed(t, seal.KindThumbnail, 1000), c.sealed(t, seal.KindClip, 300<<10), c.sealed(t, seal.KindClip, 1000)
	l.deliver(t, thumb)
	if status, msg := put(t, h, l.granted(t, clip), bytes.NewReader(clip.Bytes())); status != http.StatusNoContent {
		t.Fatalf("upload: %d %s", status, msg)
	}
	l.next(t)
	grantedBefore := l.granted(t, late)
	id, pool := h.ID(), h.CAPEM()
	cert := enrol(t, h, c.key)
	v := signIn(t, h, o.key, o.id)
	h.stop(t)

	h = startHub(t, Options{Dir: dir, DeviceListen: strings.TrimPrefix(h.DeviceURL(), "https://")})
	if h.ID() != id || !bytes.Equal(h.CAPEM(), pool) {
		t.Error("the hub has another ID or CA")
	}
	if status, _ := (&viewer{hub: h, token: v.token}).call(t, http.MethodGet, "/api/v1/records", nil); status != http.StatusUnauthorized {
		t.Errorf("a session outlives the restart: %d", status)
	}
	v = signIn(t, h, o.key, o.id)
	if p := v.timeline(t, ""); len(p.Items) != 2 {
		t.Errorf("%d rows, not 2", len(p.Items))
	}
	for _, it := range []*seal.Item{thumb, clip} {
		if _, b := v.item(t, it.Header.Ref()); !bytes.Equal(b, it.Bytes()) {
			t.Errorf("%s is another", it.Header.Kind)
		}
	}
	if d := v.devices(t); len(d) != 1 || d[0].Online || d[0].Seen == 0 {
		t.Errorf("devices: %+v", d)
	}
	l = connect(t, h, c, cert) // the certificate still holds
	l.deliver(t, thumb)        // without the record being sent again
	if status, msg := put(t, h, grantedBefore, bytes.NewReader(late.Bytes())); status != http.StatusNoContent {
		t.Errorf("a grant from before the restart: %d %s", status, msg)
	}
}

func TestLiarLiesToViewersOnly(t *testing.T) {
	h := startHub(t, Options{Mixup: 0.5, MixupSeed: 1})
	a, b := newOwner(t), newOwner(t)
	var mine []*seal.Item
	own := make(map[seal.ID]bool)
	for _, o := range []*owner{a, a, b} {
		c := newCamera(t, o)
		l := attach(t, h, c)
		for range 20 {
			it := c.sealed(t, seal.KindThumbnail, 100)
			l.deliver(t, it) // receipts are honest
			if o == a {
				mine = append(mine, it)
				own[c.id] = true
			}
		}
	}
	v := signIn(t, h, a.key, a.id)
	var about about
	v.get(t, "/api/v1/hub", &about)
	if about.Mixup != 0.5 {
		t.Errorf("the hub says mixup %v", about.Mixup)
	}
	rows := v.timeline(t, "")
	if len(rows.Items) != len(mine) {
		t.Fatalf("%d rows, not %d", len(rows.Items), len(mine))
	}
	var wrongOwner, wrongCamera, right int
	judge := func(it *seal.Item, err error, want *seal.Item) {
		t.Helper()
		if err != nil || it.VerifyEnvelope() != nil {
			t.Fatalf("a lie does not verify: %v", err)
		}
		switch {
		case it.Hash() == want.Hash():
			right++
		case it.Header.Owner != a.id:
			wrongOwner++
		case it.Header.Device != want.Header.Device && own[it.Header.Device]:
			wrongCamera++
		default:
			t.Errorf("another item of the right camera")
		}
	}
	for i, row := range rows.Items {
		it, err := seal.ParseEnvelope(row.Envelope)
		judge(it, err, mine[i])
	}
	for _, want := range mine {
		status, b := v.item(t, want.Header.Ref())
		if status != http.StatusOK {
			t.Fatalf("item: %d", status)
		}
		it, err := seal.Parse(b)
		judge(it, err, want)
	}
	if wrongOwner == 0 || wrongCamera == 0 || right == 0 || right+wrongOwner+wrongCamera != 2*len(mine) {
		t.Errorf("of %d answers %d are right, %d another owner's, %d another camera's", 2*len(mine), right, wrongOwner, wrongCamera)
	}
}

func TestLiarWithNothingToLieWith(t *testing.T) {
	h := startHub(t, Options{Mixup: 1})
	o := newOwner(t)
	c := newCamera(t, o)
	it := c.sealed(t, seal.KindThumbnail, 100)
	attach(t, h, c).deliver(t, it)
	v := signIn(t, h, o.key, o.id)
	if _, b := v.item(t, it.Header.Ref()); !bytes.Equal(b, it.Bytes()) {
		t.Error("the only item there is does not come")
	}
}

func TestStopLeavesNothingRunning(t *testing.T) {
	// The broker's library starts a few goroutines once in a process: let it.
	h := startHub(t, Options{})
	h.stop(t)
	before := stacks()
	h = startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	l.deliver(t, c.sealed(t, seal.KindThumbnail, 100))
	v := signIn(t, h, o.key, o.id)
	polled := make(chan int, 1)
	go func() {
		status, _ := v.call(t, http.MethodGet, "/api/v1/timeline?after=1&wait=55", nil)
		polled <- status
	}()
	eventually(t, "the long poll waits", func() bool {
		buf := make([]byte, 4<<20)
		return bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("waitForRows"))
	})
	h.stop(t) // with a device connected and a long poll open
	select {
	case status := <-polled:
		if status != http.StatusServiceUnavailable {
			t.Errorf("the long poll ended with %d", status)
		}
	case <-time.After(patience):
		t.Error("the long poll goes on")
	}
	l.client.Disconnect(0)
	var left string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left = newSince(before); left == "" {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// stacks counts goroutines by the function that started them.
func stacks() map[string]int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	out := make(map[string]int)
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		_, creator, _ := strings.Cut(g, "created by ")
		creator, _, _ = strings.Cut(creator, " in goroutine")
		out[creator]++
	}
	return out
}

// newSince names the goroutines of the hub and its libraries that were not there before.
func newSince(before map[string]int) string {
	var b strings.Builder
	for creator, n := range stacks() {
		if creator != "" && n > before[creator] && !strings.HasPrefix(creator, "testing.") {
			fmt.Fprintf(&b, "%d by %s\n", n-before[creator], creator)
		}
	}
	return b.String()
}

func TestOptionsThatCannotBeMeant(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no directory":               {Options{}, "no state directory"},
		"a probability above 1":      {Options{Dir: dir, Mixup: 1.5}, "mix-up"},
		"no port":                    {Options{Dir: dir, MQTTListen: "127.0.0.1"}, "listen address"},
		"viewers for all, in clear":  {Options{Dir: dir, ViewerListen: ":0"}, "hint: serve it over HTTPS"},
		"viewers for all IPv6":       {Options{Dir: dir, ViewerListen: "[::]:0"}, "not loopback"},
		"viewers for the network":    {Options{Dir: dir, ViewerListen: "192.0.2.1:80"}, "not loopback"},
		"a negative retention":       {Options{Dir: dir, Retention: -1}, "negative"},
		"viewers at a resolved name": {Options{Dir: dir, ViewerListen: "example.org:80"}, "not loopback"},
	} {
		if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoHubsOnOneDirectory(t *testing.T) {
	h := startHub(t, Options{})
	second, err := New(Options{Dir: h.options.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("the second hub: %v", err)
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	h := startHub(t, Options{})
	for _, o := range []Options{
		{MQTTListen: h.MQTTAddr()},
		{DeviceListen: strings.TrimPrefix(h.DeviceURL(), "https://")},
		{ViewerListen: strings.TrimPrefix(h.ViewerURL(), "http://")},
	} {
		o.Dir = t.TempDir()
		second, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a port that is taken: %v", err)
		}
		cancel()
	}
}

func TestViewersOverTLS(t *testing.T) {
	h := startHub(t, Options{ViewerListen: "0.0.0.0:0", ViewerTLS: true, Hosts: []string{"hub.example"}})
	if !strings.HasPrefix(h.ViewerURL(), "https://hub.example:") {
		t.Errorf("viewers are told %s", h.ViewerURL())
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(h.ViewerURL(), "https://"), ":")
	for _, name := range []string{"hub.example", "localhost", "127.0.0.1"} {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: h.CAPool(), ServerName: name})
		if err != nil {
			t.Errorf("as %s: %v", name, err)
			continue
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+port+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status := do(t, h, req).StatusCode; status != http.StatusNotFound {
		t.Errorf("metrics off loopback: %d", status)
	}
}

func TestEnrolment(t *testing.T) {
	h := startHub(t, Options{EnrolToken: "sesame", EnrolRate: 0.1})
	k := newKey(t)
	good := request(t, k, idOf(t, k).String())
	if got := postEnrol(t, h, good, "sesame").StatusCode; got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if res := postEnrol(t, h, good, "sesame"); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("too many: %d", res.StatusCode)
	}
}

func TestEnrolmentIsRefused(t *testing.T) {
	h := startHub(t, Options{EnrolToken: "sesame"})
	k, other := newKey(t), newKey(t)
	good := request(t, k, idOf(t, k).String())
	for _, tc := range []struct {
		name  string
		body  []byte
		token string
		want  int
	}{
		{"without the token", good, "", 401},
		{"with another token", good, "open", 401},
		{"another's name", request(t, k, idOf(t, other).String()), "sesame", 400},
		{"no name", request(t, k, ""), "sesame", 400},
		{"junk", []byte("junk"), "sesame", 400},
		{"too large", bytes.Repeat([]byte("x"), 113<<10), "sesame", 413},
	} {
		if got := postEnrol(t, h, tc.body, tc.token).StatusCode; got != tc.want {
			t.Errorf("%s: %d, not %d", tc.name, got, tc.want)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	o := Options{EnrolToken: "sesame"}
	log.Info("options", "token", o.EnrolToken, "options", fmt.Sprintf("%v %+v %#v", o, o, o))
	if strings.Contains(b.String(), "sesame") {
		t.Errorf("the token shows: %s", b.String())
	}
}

func TestStateFilesAreItsOwners(t *testing.T) {
	h := startHub(t, Options{})
	for _, name := range []string{"ca-key.pem", "grant-key"} {
		info, err := os.Stat(h.dir.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}
