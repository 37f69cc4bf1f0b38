package systest

import (
	"crypto/x509"
	"encoding/base64"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	people "github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/page"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/viewer"
)

// confirmed is longer than the page takes to look again at what is missing.
const confirmed = 15 * time.Second

// showPage has a hub serve the page.
func showPage(o *hub.Options) { o.Page = page.FS() }

// publish gives the hub's viewers an address that browsers reach, the same whichever hub
// stands there.
func (s *stand) publish() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			inner, err := s.listener(ofViewers).Dial(s.t.Context())
			if err != nil {
				_ = c.Close() // no hub is there at the moment
				continue
			}
			end := sync.OnceFunc(func() {
				_ = c.Close()
				_ = inner.Close()
			})
			for _, way := range [][2]net.Conn{{c, inner}, {inner, c}} {
				all.Go(func() {
					defer end()
					_, _ = io.Copy(way[0], way[1]) // either end may go
				})
			}
		}
	})
	s.t.Cleanup(func() {
		must(s.t, l.Close())
		s.stop()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// newFounder is an owner whose cameras encrypt to the household's first period.
func newFounder(t *testing.T) *rootKeys {
	t.Helper()
	o := newRoot(t)
	id, err := people.NewIdentity()
	must(t, err)
	o.held, o.recipient = people.Identities{id}, id.Recipient()
	o.identity = o.held.Age()[0]
	return o
}

// fragment is the owner's keys as the page takes them from its address.
func (o *rootKeys) fragment(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(o.key)
	must(t, err)
	enc := base64.RawURLEncoding
	f, err := keyring.Export{
		Format: "lensward/owner-keys/1", Owner: o.id.String(), OwnerKey: enc.EncodeToString(o.spki),
		ViewerKey: enc.EncodeToString(der), Household: []string{o.held[0].Secret()},
	}.Fragment()
	must(t, err)
	return f
}

// kept is a hub's directory with an owner's camera and a stranger's: half an hour old, all
// delivered, settled, and under two revisions of the owner's record.
func kept(t *testing.T) (dir string, e *eye) {
	t.Helper()
	s := &stand{t: t, dir: filepath.Join(t.TempDir(), "hub")}
	s.start()
	var eyes []*eye
	for range 2 {
		e := newEye(t, newFounder(t), s)
		eyes = append(eyes, e)
		e.ago = 30 * time.Minute
		e.attach(s)
		e.visit()
		e.settleNow()
		for range 5 {
			e.visit()
		}
		e.settleNow()
		e.detach()
	}
	e = eyes[0]
	e.own(1, 2)
	e.visit()
	e.attach(s)
	e.settleNow()
	e.detach()
	e.owner.found(s)
	for _, e := range eyes {
		must(t, e.store.Close())
	}
	s.stop()
	return s.dir, e
}

// settleNow has the camera say that all before is delivered.
func (e *eye) settleNow() {
	e.t.Helper()
	e.delivered()
	must(e.t, e.checkpoint(e.t.Context(), "periodic"))
	e.delivered()
}

// copyOf is another hub with the same past, name and keys.
func copyOf(t *testing.T, dir string, change ...func(*hub.Options)) *stand {
	t.Helper()
	s := &stand{t: t, dir: filepath.Join(t.TempDir(), "hub")}
	must(t, os.CopyFS(s.dir, os.DirFS(dir)))
	s.start(change...)
	return s
}

// caughtUp waits until the page has read all that there is.
func (tb *tab) caughtUp(items int) {
	tb.t.Helper()
	tb.wait("the page has caught up", `document.documentElement.dataset.state === "live" && Number(document.documentElement.dataset.verified) >= %s`, items)
}

// findings counts, by name, what the page says that the hub was caught at.
func (tb *tab) findings() map[string]int {
	tb.t.Helper()
	eval[string](tb, `location.hash = "#/findings"`)
	tb.wait("the findings", `document.querySelector("section[aria-label=Findings]") !== null`)
	tb.wait("all are listed", `document.querySelectorAll("[data-finding]").length === Number(document.documentElement.dataset.findings)`)
	count := map[string]int{}
	for _, name := range eval[[]string](tb, `[...document.querySelectorAll("[data-finding]")].map((row) => row.dataset.finding)`) {
		count[name]++
	}
	return count
}

// pageFindings has a hub lie in each way that it can be told to, and wants the page to name
// what it does, and nothing else; of an honest hub, nothing.
func pageFindings(t *testing.T, c *chromium) {
	dir, e := kept(t)
	type visit struct {
		lie   hub.Lie
		want  viewer.FindingName
		fresh bool // a browser that has seen nothing before
		stand *stand
		tab   *tab
	}
	visits := []*visit{
		{lie: hub.LieReplay, want: viewer.FoundReplayed, fresh: true},
		{lie: hub.LieDrop, want: viewer.FoundDropped, fresh: true},
		{lie: hub.LieTail, want: viewer.FoundTail},
		{lie: hub.LieSwapEvents, want: viewer.FoundEvents, fresh: true},
		{lie: hub.LieSwapThumbs, want: viewer.FoundThumbnail, fresh: true},
		{lie: hub.LieRollBack, want: viewer.FoundRollBack},
		{lie: hub.LieSilent, want: viewer.FoundSilent, fresh: true},
		{lie: hub.LieMixup, want: viewer.FoundMisrouted, fresh: true},
	}
	for _, v := range visits {
		lies := func(o *hub.Options) { o.Lies, o.MixupSeed = []hub.Lie{v.lie}, 7 }
		if !v.fresh {
			v.stand = copyOf(t, dir, showPage)
		} else {
			v.stand = copyOf(t, dir, showPage, lies)
		}
		if v.lie == hub.LieSilent { // a camera that is there
			e.ago = 0
			e.wake()
			e.attach(v.stand)
		}
		v.tab = c.open(t, v.stand.publish()+"/"+e.owner.fragment(t))
	}
	time.Sleep(confirmed)
	for _, v := range visits {
		if v.fresh {
			continue
		}
		v.tab.caughtUp(40)
		if got := v.tab.findings(); len(got) != 0 || v.tab.number("withheld") != 0 || v.tab.number("opened") == 0 {
			t.Errorf("an honest hub was caught at %v, with %d withheld and %d opened", got, v.tab.number("withheld"), v.tab.number("opened"))
		}
		v.stand.restart(showPage, func(o *hub.Options) { o.Lies, o.MixupSeed = []hub.Lie{v.lie}, 7 })
		v.tab.do(chromedp.Reload())
	}
	for _, v := range visits {
		v.tab.lookAtAll()
	}
	for _, v := range visits {
		least := 1
		if v.lie == hub.LieRollBack {
			least = 2 // of a record and of a statement, each in its own time
		}
		v.tab.wait("--lie "+string(v.lie)+" is named", `Number(document.documentElement.dataset.findings) >= %s`, least)
	}
	time.Sleep(confirmed)
	e.detach()
	must(t, e.store.Close())
	for _, v := range visits {
		got := v.tab.findings()
		t.Logf("--lie %s: the page names %v", v.lie, got)
		if names := slices.Collect(maps.Keys(got)); len(names) != 1 || names[0] != string(v.want) {
			t.Errorf("--lie %s: the page names %v, want %s", v.lie, got, v.want)
		}
		if v.lie == hub.LieRollBack && got[string(v.want)] != 2 {
			t.Errorf("of a record and a statement, %d were named", got[string(v.want)])
		}
	}
}

// lookAtAll opens the events one after another, as somebody does who looks for something.
func (tb *tab) lookAtAll() {
	tb.t.Helper()
	eval[bool](tb, `(async () => {
		for (const card of [...document.querySelectorAll(".card a")]) {
			location.hash = card.hash;
			await new Promise((done) => setTimeout(done, 300));
		}
		location.hash = "#/events";
		return true;
	})()`)
}

// pageFork has two members told two histories of a camera that was copied: nothing is
// wrong for either alone, and when one reads what the other saved, the page names it.
func pageFork(t *testing.T, c *chromium) {
	dir, e := kept(t)
	copied := *e
	copied.dir = filepath.Join(t.TempDir(), "spool")
	must(t, os.CopyFS(copied.dir, os.DirFS(e.dir)))
	var tabs []*tab
	for i, cam := range []*eye{e, &copied} {
		s := copyOf(t, dir, showPage)
		cam.ago = 0
		cam.wake()
		cam.attach(s)
		for range 2*i + 1 {
			cam.visit()
		}
		cam.delivered()
		cam.detach()
		must(t, cam.store.Close())
		tb := c.open(t, s.publish()+"/"+e.owner.fragment(t))
		tb.caughtUp(40)
		tabs = append(tabs, tb)
	}
	time.Sleep(confirmed)
	var saved []string
	for i, tb := range tabs {
		if got := tb.findings(); len(got) != 0 {
			t.Errorf("member %d alone finds %v", i+1, got)
		}
		saved = append(saved, tb.saveHeads())
	}
	for i, want := range []viewer.FindingName{viewer.FoundTail, viewer.FoundFork} {
		tb := tabs[i]
		tb.readHeads(saved[1-i])
		tb.wait("it is named", `Number(document.documentElement.dataset.findings) > 0`)
		time.Sleep(confirmed)
		got := tb.findings()
		t.Logf("member %d, with the other's heads: the page names %v", i+1, got)
		if got[string(want)] == 0 || len(got) != 1 {
			t.Errorf("member %d found %v, want %s", i+1, got, want)
		}
	}
}

// saveHeads presses the button, and gives the file that is saved.
func (tb *tab) saveHeads() string {
	tb.t.Helper()
	eval[bool](tb, `(() => {
		const make = URL.createObjectURL;
		URL.createObjectURL = (blob) => { globalThis.savedFile = blob; return make.call(URL, blob); };
		return true;
	})()`)
	tb.click("Save what I have seen")
	tb.wait("the file is made", `globalThis.savedFile !== undefined`)
	return eval[string](tb, `savedFile.text()`)
}

// readHeads gives the page another member's file.
func (tb *tab) readHeads(text string) {
	tb.t.Helper()
	eval[bool](tb, `(() => {
		const input = document.getElementById("heads-file");
		const files = new DataTransfer();
		files.items.add(new File([%s], "heads.json", { type: "application/json" }));
		input.files = files.files;
		input.dispatchEvent(new Event("change"));
		return true;
	})()`, text)
	tb.wait("it was read", `document.querySelector("section[aria-label=Findings] [role=status]").innerText.includes("compared")`)
}
