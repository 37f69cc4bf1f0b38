package systest

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
	"github.com/lensward/lensward/transport/viewer/tap"
)

// robbery is a camera that is taken with all its files, after it was paired and has
// recorded, and all that it sent.
type robbery struct {
	*testing.T
	root   string // all of the camera's files are under it
	keys   *keyring.Keyring
	code   *pairing.Code
	hub    *hub.Hub
	end    func() // of the hub
	agent  *agent.Agent
	stored map[seal.Ref]*seal.Item // what the hub kept
}

// thiefSettings are of a camera whose files are all in one place, its log and its
// configuration too.
const thiefSettings = `
[camera]
source = "scene:?width=160&height=96&fps=5&seed=11"
[event]
pre_roll = "1s"
post_roll = "1s"
merge = "500ms"
per_hour = 3600
[state]
dir = %q
key = "file"
[hub]
broker = %q
url = %q
ca_file = %q
connect_window = "0s"
[pairing]
wifi = "none"
`

// wifiPassphrase is in the code that the camera is paired by.
const wifiPassphrase = "correct horse battery"

func newRobbery(t *testing.T) *robbery {
	t.Helper()
	dir := t.TempDir()
	r := &robbery{T: t, root: filepath.Join(dir, "camera"), stored: map[seal.Ref]*seal.Item{}}
	must(t, os.MkdirAll(r.root, 0o700))
	var err error
	r.hub, err = hub.New(hub.Options{Dir: filepath.Join(dir, "hub"), SyncInterval: time.Minute, Log: testLog()})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.hub.Run(ctx) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		must(t, <-done)
	})
	t.Cleanup(r.end)
	<-r.hub.Ready()
	r.keys, err = keyring.New(filepath.Join(dir, "owner"))
	must(t, err)
	at, err := url.Parse(r.hub.DeviceURL())
	must(t, err)
	r.code, err = pairing.NewCode(r.keys.Owner(), time.Now().Add(pairing.CodeLife),
		&pairing.Hub{ID: r.hub.ID(), Addresses: []string{at.Host}}, &pairing.WiFi{SSID: "home", Passphrase: wifiPassphrase})
	must(t, err)
	return r
}

func (r *robbery) path(name string) string { return filepath.Join(r.root, name) }

// run runs the camera's agent. Stop ends it: what is then under root is what a thief has.
func (r *robbery) run() (stop func()) {
	r.Helper()
	must(r, os.WriteFile(r.path("ca.pem"), r.hub.CAPEM(), 0o600))
	text := fmt.Sprintf(thiefSettings, r.path("state"), r.hub.MQTTAddr(), r.hub.DeviceURL(), r.path("ca.pem"))
	must(r, os.WriteFile(r.path("lensward.toml"), []byte(text), 0o600))
	c, err := config.Load(r.path("lensward.toml"))
	must(r, err)
	log, err := os.Create(r.path("log"))
	must(r, err)
	r.agent, err = agent.New(r.Context(), *c, agent.Options{Firmware: "1.0", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(r, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.agent.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.Errorf("the agent ended with %v", err)
		}
		must(r, errors.Join(r.agent.Close(), log.Close()))
	})
	r.Cleanup(stop)
	return stop
}

// pair has the camera become the owner's by the code, as lensctl pair does.
func (r *robbery) pair() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for {
		c, err := control.Dial(ctx, r.path("state"))
		if err == nil {
			err = c.TakeCode(ctx, r.code.Text())
		}
		if err == nil {
			break
		}
		if wait.For(ctx, 20*time.Millisecond) != nil {
			r.Fatal(err)
		}
	}
	owner, err := pairing.NewOwner(r.code, r.keys.Taker(), func([]byte) error { return nil })
	must(r, err)
	box, err := mailbox.New(mailbox.Options{URL: r.hub.ViewerURL(), Path: mailbox.ViewerPath, Side: mailbox.SideOwner})
	must(r, err)
	must(r, exchange.Run(ctx, exchange.Options{Side: owner, Carriers: []exchange.Carrier{box}}))
	own, err := owner.Ownership()
	must(r, err)
	if own == nil {
		r.Fatalf("the pairing ended in %v: %v", owner.Phase(), owner.Failure())
	}
	must(r, r.keys.Keep(own))
}

// hear has the owner look until so many pictures and parts of clips are there, and keeps
// what the hub gave.
func (r *robbery) hear(thumbnails, clips int) {
	r.Helper()
	heard := make(chan *seal.Item, 1024)
	v := newViewer(r, r.keys, r.hub.ViewerURL(), r.hub.ID(), &http.Client{Transport: &tap.Tap{
		Hub: http.DefaultTransport, Heard: func(a tap.Answer) {
			if a.Item.Body != nil {
				heard <- a.Item
			}
		},
	}})
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	opened := map[seal.Kind]int{}
	err := v.Run(ctx, func(e viewer.Event) {
		if o, ok := e.(viewer.Opened); ok {
			if opened[o.Header.Kind]++; opened[seal.KindThumbnail] >= thumbnails && opened[seal.KindClip] >= clips {
				cancel()
			}
		}
	})
	for len(heard) > 0 {
		it := <-heard
		r.stored[it.Header.Ref()] = it
	}
	if opened[seal.KindThumbnail] < thumbnails || opened[seal.KindClip] < clips {
		r.Fatalf("opened: %v; %v", opened, err)
	}
}

// gather waits until the spool holds at least so many items, with the hub gone.
func (r *robbery) gather(items int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for r.agent.Stats().Spool.Depth < items {
		if wait.For(ctx, 50*time.Millisecond) != nil {
			r.Fatalf("%+v", r.agent.Stats().Spool)
		}
	}
}

// loot are all items: those that the hub has, and those in the camera's spool.
func (r *robbery) loot() (items []*seal.Item, spooled int) {
	r.Helper()
	all := map[seal.Ref]*seal.Item{}
	must(r, filepath.WalkDir(r.path("state"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if it, err := seal.Parse(b); err == nil {
			all[it.Header.Ref()] = it
		}
		return nil
	}))
	spooled = len(all)
	for ref, it := range r.stored {
		all[ref] = it
	}
	for _, it := range all {
		must(r, it.Verify())
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b *seal.Item) int { return strings.Compare(a.Header.Ref().String(), b.Header.Ref().String()) })
	return items, spooled
}

// TestThiefOfTheCamera takes a camera with all its files, when it has sent some of what it
// recorded and has the rest in its spool, and tries everything in them that could be a key
// on all of it. Then the same search finds keys that were put there.
func TestThiefOfTheCamera(t *testing.T) {
	r := newRobbery(t)
	stop := r.run()
	r.pair()
	r.hear(2, 2)
	r.end()
	r.gather(8)
	stop()
	items, spooled := r.loot()
	if len(r.stored) < 4 || spooled < 8 {
		t.Fatalf("%d items are at the hub, %d in the spool", len(r.stored), spooled)
	}
	for _, it := range items {
		if _, err := it.Open(r.keys.Household()...); err != nil {
			t.Errorf("the owner does not open %s: %v", it.Header.Ref(), err)
		}
	}
	for what, secret := range r.secrets() {
		if files := r.holding(secret); len(files) > 0 {
			t.Errorf("%s is in %v", what, files)
		}
	}
	s := newSearch(t, items)
	s.search(r.root)
	t.Logf("%d items at the hub, %d in the spool; %s", len(r.stored), spooled, s)
	if len(s.opened) > 0 {
		t.Errorf("a thief opens %d items: %v", len(s.opened), s.how())
	}
	if s.signing == 0 {
		t.Error("the search did not find the key that the camera signs with")
	}
	r.controls(items)
}

// controls puts keys among the camera's files, in the forms in which one might get there,
// and wants the search to find each.
func (r *robbery) controls(items []*seal.Item) {
	r.Helper()
	for what, secret := range r.secrets() {
		planted := r.path("state/planted")
		must(r, os.WriteFile(planted, slices.Concat([]byte("left"), secret, []byte("over")), 0o600))
		if files := r.holding(secret); !slices.Equal(files, []string{planted}) {
			r.Errorf("%s was put into a file, and is found in %v", what, files)
		}
		must(r, os.Remove(planted))
	}
	text := string(bytes.TrimSpace(r.identity()))
	seed := seedOf(r.T, text)
	header, err := age.ExtractHeader(bytes.NewReader(items[0].Body))
	must(r, err)
	fileKey, err := age.DecryptHeader(header, r.keys.Household()...)
	must(r, err)
	for _, c := range []struct {
		name    string
		content []byte
		opens   int
	}{
		{"an identities file", []byte("# household\n" + text + "\n"), len(items)},
		{"an identity in a log line", []byte("level=DEBUG msg=\"" + strings.ToLower(text) + "\""), len(items)},
		{"its seed among other bytes", slices.Concat([]byte("\x01\x02\x03seed"), seed, []byte("\xff\xfe")), len(items)},
		{"its seed in base64", []byte(`{"seed":"` + base64.RawURLEncoding.EncodeToString(seed) + `"}`), len(items)},
		{"its seed in hex", fmt.Appendf(nil, "seed=%x\n", seed), len(items)},
		{"one item's file key", append([]byte("key"), fileKey...), 1},
	} {
		planted := r.path("state/planted")
		must(r, os.WriteFile(planted, c.content, 0o600))
		s := newSearch(r.T, items)
		s.file(planted)
		r.Logf("control: %s: %s; found %v", c.name, s, s.how())
		if len(s.opened) != c.opens {
			r.Errorf("%s opens %d items, is to open %d", c.name, len(s.opened), c.opens)
		}
		must(r, os.Remove(planted))
	}
}

// identity is the owner's first identity, as age writes it.
func (r *robbery) identity() []byte {
	r.Helper()
	b, err := os.ReadFile(filepath.Join(r.keys.Dir(), "household.txt"))
	must(r, err)
	first, _, _ := bytes.Cut(b, []byte("\n"))
	return first
}

// secrets are those of the pairing, which is over.
func (r *robbery) secrets() map[string][]byte {
	r.Helper()
	_, body, _ := strings.Cut(string(r.code.Text()), ":")
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(body)
	must(r, err)
	// docs/ref/pairing.md: a map, of which 1 is the owner, 32 bytes, and 2 the secret, 16.
	if !bytes.Equal(b[1:4], []byte{1, 0x58, 32}) || !bytes.Equal(b[36:38], []byte{2, 0x50}) {
		r.Fatalf("read the code: %x", b)
	}
	return map[string][]byte{"the code": []byte(body), "the code's secret": b[38:54], "the Wi-Fi passphrase": []byte(wifiPassphrase)}
}

// holding are the camera's files in which a secret is.
func (r *robbery) holding(secret []byte) (files []string) {
	r.Helper()
	must(r, filepath.WalkDir(r.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, secret) {
			files = append(files, path)
		}
		return err
	}))
	return files
}
