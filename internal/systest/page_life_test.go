package systest

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	people "github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// heirloom is a camera that changes hands, and all that it ever filmed.
type heirloom struct {
	t     *testing.T
	hub   *hub.Hub
	conf  config.Config
	dev   *device.Device
	times []*spell
}

// spell is a time in which a camera belonged to the same people: an event of one colour.
type spell struct {
	name  string
	owner *keyring.Keyring
	paint paint
	items [][]byte
}

func newHeirloom(t *testing.T, h *hub.Hub) *heirloom {
	t.Helper()
	c := &heirloom{t: t, hub: h, conf: cameraConfig(t, h)}
	c.open()
	t.Cleanup(func() { must(t, c.dev.Close()) })
	return c
}

func (c *heirloom) open() {
	c.t.Helper()
	var err error
	c.dev, err = device.Open(c.conf.State.Dir, "test")
	must(c.t, err)
}

// film seals an event, and delivers it.
func (c *heirloom) film(name string, owner *keyring.Keyring, p paint) *spell {
	c.t.Helper()
	c.deliver() // what changed first
	s := &spell{name: name, owner: owner, paint: p}
	store := openSpool(c.t, c.conf.State.Dir, c.dev)
	for _, d := range paintedDrafts(c.t, seal.EventID{byte(len(c.times) + 1)}, p) {
		e, err := store.Append(c.t.Context(), d)
		must(c.t, err)
		b, err := store.Read(e.Ref)
		must(c.t, err)
		s.items = append(s.items, b)
	}
	must(c.t, store.Close())
	c.times = append(c.times, s)
	c.deliver()
	return s
}

// deliver runs the agent until nothing waits.
func (c *heirloom) deliver() {
	t := c.t
	t.Helper()
	must(t, c.dev.Close())
	still := func(context.Context) (capture.Source, source.Info, error) {
		return stillSource{}, source.Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, Live: true}, nil
	}
	a, err := agent.New(t.Context(), c.conf, agent.Options{Firmware: "test", OpenSource: still, NoControl: true, Log: testLog()})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	awaitAll(t, []*agent.Agent{a}, "deliver all", func(s agent.Stats) bool {
		return s.Delivery.Sessions > 0 && s.Spool.Depth == 0 && a.Device().Former() == nil
	})
	cancel()
	<-ended
	must(t, a.Close())
	c.open()
}

// revise has the camera take its owner's next record.
func (c *heirloom) revise(k *keyring.Keyring) {
	c.t.Helper()
	known, err := c.dev.Ownership()
	must(c.t, err)
	draft, err := k.Draft(c.dev.Key().SPKI(), &known.Signed, time.Now())
	must(c.t, err)
	s, err := ownership.Sign(k.Root(), draft)
	must(c.t, err)
	o, err := c.dev.Accept(s, time.Now())
	must(c.t, err)
	must(c.t, k.Keep(o))
}

// handOver has one owner release the camera, and the next take it.
func (c *heirloom) handOver(from, to *keyring.Keyring) {
	c.t.Helper()
	r, err := from.Release(c.dev.ID(), to.Owner(), time.Now().AddDate(0, 0, 1))
	must(c.t, err)
	must(c.t, c.dev.TakeLetter(r.Bytes(), time.Now()))
	known, err := c.dev.Ownership()
	must(c.t, err)
	draft, err := to.Draft(c.dev.Key().SPKI(), nil, time.Now())
	must(c.t, err)
	draft.Epoch, draft.Previous, draft.Acquired = known.Record.Epoch+1, known.Hash(), ownership.AcquiredReleased
	s, err := ownership.Sign(to.Root(), draft)
	must(c.t, err)
	o, err := c.dev.Accept(s, time.Now())
	must(c.t, err)
	must(c.t, to.Keep(o))
}

// shares makes a member of an owner's household.
func shares(t *testing.T, k *keyring.Keyring, name string) *keyring.Keyring {
	t.Helper()
	m, err := keyring.Join(t.TempDir(), k.Owner())
	must(t, err)
	b, err := m.Card()
	must(t, err)
	card, err := people.VerifyCard(b, k.Owner())
	must(t, err)
	_, err = k.Change(people.Change{Add: []people.Invitation{{Card: card, Name: name, Role: ownership.RoleViewer, Past: true}}}, time.Now())
	must(t, err)
	all, err := k.Statements()
	must(t, err)
	for _, s := range all {
		_, err = m.Take(s.Bytes(), time.Now())
		must(t, err)
	}
	return m
}

// pageLife has a camera shared, taken from one member, and given to another owner; and
// each of them look, with the keys that they have.
func pageLife(t *testing.T, c *chromium) {
	h := pairingHub(t)
	cam := newHeirloom(t, h)
	var owners []*keyring.Keyring
	for range 2 {
		k, err := keyring.New(t.TempDir())
		must(t, err)
		owners = append(owners, k)
	}
	first, next := owners[0], owners[1]
	guest := shares(t, first, "guest")
	pairDevice(t, first, cam.dev)
	shared := cam.film("shared", first, paintOf(1, 0, 0))
	gone := c.open(t, pageURL(t, h, guest))
	gone.sees("the guest", shared)
	_, err := first.Change(people.Change{Remove: [][]byte{first.Newest().Members[1].Key}}, time.Now())
	must(t, err)
	cam.revise(first)
	alone := cam.film("after the removal", first, paintOf(0, 1, 0))
	kept := newHeirloom(t, h) // by which the owner before may still look at what was theirs
	pairDevice(t, first, kept.dev)
	kept.deliver()
	cam.handOver(first, next)
	sold := cam.film("after the sale", next, paintOf(0, 0, 1))

	judgeKeys(t, c, cam, map[string]*keyring.Keyring{"the owner before": first, "the removed member": guest, "the new owner": next}, map[string][]string{
		shared.name: {"the owner before", "the removed member"}, alone.name: {"the owner before"}, sold.name: {"the new owner"},
	})
	tb := c.open(t, pageURL(t, h, first))
	tb.sees("the owner before", shared, alone)
	tb.wait("the end is said", `document.querySelector('.notice[data-type="ended"]')?.innerText.includes("your time with this camera ends")`)
	c.open(t, pageURL(t, h, next)).sees("the new owner", sold)
	gone.do(chromedp.Reload())
	gone.wait("the removed member is told", `document.querySelector(".empty [role=status]")?.innerText.includes("taken off the list of viewers")`)
	checkLetIn(t, c, h, first, guest, shared, alone)
	searchCamera(t, cam)
	for k, ended := range map[*keyring.Keyring]bool{first: true, next: false} {
		v := newViewer(t, k, h.ViewerURL(), h.ID(), nil)
		must(t, v.SyncOnce(t.Context(), nil))
		for _, known := range v.Cameras() {
			if want := ended && known.Device == cam.dev.ID(); known.Ended.IsZero() == want {
				t.Errorf("camera %s ended at %v", known.Device.Short(), known.Ended)
			}
		}
		if n := len(v.Findings()); n != 0 || v.Summary().Withheld != 0 {
			t.Errorf("%d findings, %d withheld", n, v.Summary().Withheld)
		}
	}
}

// judgeKeys has the page try each one's identities on each item, whoever's it is.
func judgeKeys(t *testing.T, c *chromium, cam *heirloom, all map[string]*keyring.Keyring, may map[string][]string) {
	t.Helper()
	tb := openVerifier(t, c, "../../transport/seal/testdata/vectors")
	opened, closed := 0, 0
	for who, k := range all {
		e, err := k.Export()
		must(t, err)
		identities := append(slices.Clone(e.Household), e.Member...)
		for _, s := range cam.times {
			for i, b := range s.items {
				it, err := seal.Parse(b)
				must(t, err)
				policy := map[string]any{"owner": it.Header.Owner, "cameras": map[string]any{
					it.Header.Device.String(): map[string]any{it.Header.Record.String(): it.Header.Epoch},
				}}
				vector := map[string]any{"name": s.name, "items": []string{base64.RawURLEncoding.EncodeToString(b)}, "policy": policy, "asked": ""}
				got := eval[struct{ Word string }](tb, "LenswardVerify.judgeVector(%s, %s)", vector, identities).Word
				want := "cannot-decrypt"
				if slices.Contains(may[s.name], who) {
					want = "ok"
				}
				if got != want {
					t.Errorf("item %d filmed %s: with the keys of %s the page says %q, want %q", i, s.name, who, got, want)
				}
				if got == "ok" {
					opened++
				} else {
					closed++
				}
			}
		}
	}
	t.Logf("of %d tries of everyone's keys on every item, %d opened it and %d did not", opened+closed, opened, closed)
}

// searchCamera has a thief of the camera try all that is in its own files on all that it ever
// sealed; and, so that the search is seen to find keys, the same with an owner's.
func searchCamera(t *testing.T, cam *heirloom) {
	t.Helper()
	var items []*seal.Item
	for _, s := range cam.times {
		for _, b := range s.items {
			it, err := seal.Parse(b)
			must(t, err)
			items = append(items, it)
		}
	}
	thief := newSearch(t, items)
	files, err := os.ReadDir(cam.conf.State.Dir)
	must(t, err)
	for _, f := range files {
		if f.Type().IsRegular() { // the spool's are searched where thieves are the subject
			thief.file(filepath.Join(cam.conf.State.Dir, f.Name()))
		}
	}
	t.Logf("who takes the camera: %s", thief)
	if how := thief.how(); len(how) != 0 {
		t.Errorf("the camera's files open items: %v", how)
	}
	thief.identity("the owner before", cam.times[0].owner.Household()...)
	if len(thief.how()) == 0 {
		t.Error("the search does not find what an owner's keys open")
	}
}

// sees wants the page to have these events with their pictures, and never another picture.
func (tb *tab) sees(who string, want ...*spell) {
	tb.t.Helper()
	tb.wait("what "+who+" may see", `document.querySelectorAll(".card img:not([hidden])").length === %s && document.documentElement.dataset.state === "live"`, len(want))
	for _, s := range eval[[]sight](tb, "seen") {
		if !slices.ContainsFunc(want, func(w *spell) bool { return s.is(w.paint) }) {
			tb.t.Errorf("%s saw a picture that looks like %+v", who, s)
		}
	}
	if n := tb.number("wronglyShown") + tb.number("withheld") + tb.number("findings"); n != 0 {
		tb.t.Errorf("the page of %s counts %d wrong things", who, n)
	}
}

// checkLetIn has a hub let a removed member in all the same: the page has nothing to show
// of what came after, and says so.
func checkLetIn(t *testing.T, c *chromium, h *hub.Hub, first, guest *keyring.Keyring, shared, alone *spell) {
	t.Helper()
	e, err := first.Export()
	must(t, err)
	of, err := guest.Export()
	must(t, err)
	e.Household, e.Member = of.Household, of.Member
	fragment, err := e.Fragment()
	must(t, err)
	tb := c.open(t, h.ViewerURL()+"/"+fragment)
	tb.wait("one event is shown and one is not", `document.querySelectorAll(".card img:not([hidden])").length === 1 && document.querySelector(".card img[hidden]") !== null
		&& document.querySelector(".events").innerText.includes("Not shown")`)
	for _, s := range eval[[]sight](tb, "seen") {
		if !s.is(shared.paint) {
			t.Errorf("a removed member saw a picture that looks like %+v; what came after is %v", s, alone.paint)
		}
	}
	eval[string](tb, `location.hash = "#/withheld"`)
	tb.wait("the reason", `document.querySelector(".withheld-list .why")?.innerText.includes("none of your keys opens it")`)
	for _, w := range eval[[]string](tb, `[...document.querySelectorAll(".withheld-list .why")].map((e) => e.innerText)`) {
		if !strings.Contains(w, "none of your keys opens it") {
			t.Errorf("withheld with the words %q", w)
		}
	}
}
