package systest

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/hub/page"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
)

// paint is the one colour of all pictures of an event: red for the owner, green
// for the camera, blue for the event.
type paint = color.RGBA

// paintedEvents is how many events each camera of a painted home has.
const paintedEvents = 2

// paintedItems is what each camera delivers: four items an event, and a checkpoint
// each of the start and of the connect.
const paintedItems = 4*paintedEvents + 2

func paintOf(owner, camera, event int) paint {
	return paint{R: uint8(30 + 40*owner), G: uint8(60 + 120*camera), B: uint8(50 + 130*event), A: 255}
}

// paintedHome is an owner, what their cameras deliver and what it looks like.
type paintedHome struct {
	keys   *keyring.Keyring
	agents []*agent.Agent
	paints map[string]paint // by device and event, as in the page's links
}

// pageIncident is the incident as owners see it, each in a browser of their own.
func pageIncident(t *testing.T, c *chromium) {
	const owners, looking = 6, 3
	h := hubtest.Start(t, hub.Options{Dir: filepath.Join(t.TempDir(), "hub"), Page: page.FS(), Mixup: 0.5, SyncInterval: time.Minute, Log: testLog()})
	var homes []*paintedHome
	var all []*agent.Agent
	for i := range owners {
		home := newPaintedHome(t, h, i)
		homes, all = append(homes, home), append(all, home.agents...)
	}
	runAgents(t, all)
	awaitAll(t, all, "deliver all", func(s agent.Stats) bool { return s.Delivery.Delivered >= paintedItems })

	tabs := make([]*tab, looking)
	for i := range tabs {
		tabs[i] = c.open(t, pageURL(t, h, homes[i].keys))
	}
	for i, tb := range tabs {
		homes[i].look(t, tb)
	}
}

func newPaintedHome(t *testing.T, h *hub.Hub, owner int) *paintedHome {
	t.Helper()
	keys, err := keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	home := &paintedHome{keys: keys, paints: map[string]paint{}}
	for camera := range 2 {
		conf := cameraConfig(t, h)
		dev, err := device.Open(conf.State.Dir, "test")
		must(t, err)
		pairDevice(t, keys, dev)
		store := openSpool(t, conf.State.Dir, dev)
		for event := range paintedEvents {
			id, p := seal.EventID{1, byte(event)}, paintOf(owner, camera, event)
			home.paints[dev.ID().String()+"/"+id.String()] = p
			for _, d := range paintedDrafts(t, id, p) {
				_, err := store.Append(t.Context(), d)
				must(t, err)
			}
		}
		must(t, store.Close())
		must(t, dev.Close())
		still := func(context.Context) (capture.Source, source.Info, error) {
			return stillSource{}, source.Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, Live: true}, nil
		}
		a, err := agent.New(t.Context(), conf, agent.Options{Firmware: "test", OpenSource: still, NoControl: true, Log: testLog()})
		must(t, err)
		home.agents = append(home.agents, a)
	}
	return home
}

// paintedDrafts are an event as an agent makes one: a thumbnail, two parts of a clip
// and the record.
func paintedDrafts(t *testing.T, id seal.EventID, p paint) []seal.Draft {
	t.Helper()
	const fps, seconds = 5, 2
	picture := image.NewRGBA(image.Rect(0, 0, 320, 192))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(p), image.Point{}, draw.Src)
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, picture, &jpeg.Options{Quality: 95}))
	began := time.Now().Add(-time.Minute)
	draft := func(k seal.Kind, mediaType string, body []byte) seal.Draft {
		return seal.Draft{Kind: k, Event: id, Captured: began, Clock: seal.ClockNetwork, MediaType: mediaType, Body: body}
	}
	drafts := []seal.Draft{draft(seal.KindThumbnail, seal.KindThumbnail.MediaType(), b.Bytes())}
	w, err := clip.NewWriter(clip.Settings{PartDuration: time.Second}, func(part clip.Part) error {
		d := draft(seal.KindClip, part.MediaType, part.Data)
		d.Part, d.Last = part.Index, part.Last
		drafts = append(drafts, d)
		return nil
	})
	must(t, err)
	for n := range fps * seconds {
		at := began.Add(time.Duration(n) * time.Second / fps)
		must(t, w.Write(capture.Frame{Seq: uint64(n), Time: at, Format: capture.FormatMJPEG, Key: true, Data: b.Bytes()}))
	}
	must(t, w.Close())
	body, err := json.Marshal(seal.Event{Start: began.UnixMilli(), End: began.Add(seconds * time.Second).UnixMilli(), Score: 0.1, Parts: uint32(len(drafts) - 1)})
	must(t, err)
	return append(drafts, draft(seal.KindEvent, seal.KindEvent.MediaType(), body))
}

// look has the owner look until all that is theirs is there, and checks that
// nothing else ever was.
func (home *paintedHome) look(t *testing.T, tb *tab) {
	t.Helper()
	own := len(home.agents) * paintedItems
	opened := slices.Min(slices.Collect(maps.Keys(home.paints)))
	// The page asks twelve times for what is answered wrongly, and says so where that
	// was in vain. Then an owner loads it again.
	for range 5 {
		tb.wait("everything is mine and here", `(({ verified, events }) => Number(verified) === %s && Number(events) === %s)(document.documentElement.dataset)
			&& !document.querySelector(".notice") && document.querySelectorAll(".card").length === %s
			&& [...document.querySelectorAll(".card")].every((c) => !c.querySelector("img").hidden || c.innerText.includes("Not shown"))`,
			own, len(home.paints), len(home.paints))
		eval[string](tb, "location.hash = '#/event/' + %s", opened)
		tb.wait("the clip has come or is lost", `/2 of 2 parts|could not be had/.test(document.querySelector("dialog .status")?.innerText)`)
		if !eval[bool](tb, "/Not shown|could not be had/.test(document.body.innerText)") {
			break
		}
		home.checkSeen(t, tb)
		eval[string](tb, "location.hash = '#/events'")
		tb.do(chromedp.Reload())
	}
	tb.wait("the clip is drawn", "look(document.querySelector('dialog canvas')).most.some((c) => c > 0)")
	if s := eval[sight](tb, "look(document.querySelector('dialog canvas'))"); !s.is(home.paints[opened]) {
		t.Errorf("the clip looks like %+v, want %v", s, home.paints[opened])
	}
	home.checkSeen(t, tb)
	home.checkCards(t, tb)
	checkWithheld(t, tb)
	if n := tb.number("wronglyShown"); n != 0 {
		t.Errorf("the page showed %d items of others", n)
	}
}

// checkSeen wants every picture that the page ever had to be one of the owner's.
func (home *paintedHome) checkSeen(t *testing.T, tb *tab) {
	t.Helper()
	seen := eval[[]sight](tb, "seen")
	if len(seen) == 0 {
		t.Error("the page had no pictures")
	}
	own := slices.Collect(maps.Values(home.paints))
	for _, s := range seen {
		if !slices.ContainsFunc(own, s.is) {
			t.Errorf("the page had a picture that looks like %+v, and mine are %v", s, own)
		}
	}
}

// checkCards wants each event to have its own picture.
func (home *paintedHome) checkCards(t *testing.T, tb *tab) {
	t.Helper()
	cards := eval[map[string]sight](tb, `Object.fromEntries([...document.querySelectorAll(".card")].map((c) =>
		[c.querySelector("a").hash.replace("#/event/", ""), look(c.querySelector("img"))]))`)
	if len(cards) != len(home.paints) {
		t.Errorf("%d cards, want %d", len(cards), len(home.paints))
	}
	for key, s := range cards {
		if p, ok := home.paints[key]; !ok || !s.is(p) {
			t.Errorf("the card of event %s looks like %+v, want %v", key, s, p)
		}
	}
}

// checkWithheld wants what was withheld to be listed in words that need no manual.
func checkWithheld(t *testing.T, tb *tab) {
	t.Helper()
	eval[string](tb, "location.hash = '#/withheld'")
	tb.wait("a report has arrived", "document.querySelector('.withheld-list')?.innerText.includes('Reported to the hub’s operator'.replace('’', \"'\"))")
	total, words := tb.number("withheld"), eval[[]string](tb, "[...document.querySelectorAll('.withheld-list .why')].map((e) => e.innerText)")
	if total == 0 || len(words) != min(total, 300) {
		t.Errorf("%d answers were withheld and %d are listed", total, len(words))
	}
	code := regexp.MustCompile(`[a-z]+-[a-z]+`)
	for _, w := range words {
		if !strings.HasSuffix(w, ".") || !strings.Contains(w, "not shown") || code.MatchString(w) {
			t.Errorf("withheld with the words %q", w)
		}
	}
	if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "belongs to another owner") }) {
		t.Errorf("nothing was withheld for being another owner's: %q", words)
	}
}
