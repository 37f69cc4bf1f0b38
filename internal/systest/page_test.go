package systest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/front"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/hub/page"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
)

// TestPage holds the committed viewer page, in a real browser, against the Go half.
func TestPage(t *testing.T) {
	c := startChromium(t)
	lensctl := buildPrograms(t).lensctl
	// By itself, since it takes a time.
	t.Run("first picture", func(t *testing.T) { firstPicture(t, c, lensctl) })
	if dir := os.Getenv("LENSWARD_SCREENSHOTS"); dir != "" {
		t.Run("screenshots", func(t *testing.T) { screenshots(t, c, lensctl, dir) })
	}
	for name, test := range map[string]func(*testing.T, *chromium){
		"sealed items": judgeItems, "ownerships": judgeOwnerships, "incident": pageIncident, "clips": playClips,
		"pairings": judgePairings, "households": judgeHouseholds, "add a camera": pagePairing, "two cameras": pageRival, "adding fails": pagePairingFails, "by the lens": pageLens, "findings": pageFindings, "fork": pageFork, "changes hands": pageLife,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			test(t, c)
		})
	}
}

// judgeItems has the page judge every vector of the sealed item.
func judgeItems(t *testing.T, c *chromium) {
	dir := "../../transport/seal/testdata/vectors"
	tb := openVerifier(t, c, dir)
	keys := readJSON[struct{ Identities []string }](t, filepath.Join(dir, "keys.json"))
	good, bad := 0, 0
	for _, name := range vectorNames(t, dir) {
		want := readJSON[map[string]any](t, filepath.Join(dir, name))
		got := eval[map[string]any](tb, "fetch('/vectors/' + %s).then((r) => r.json()).then((v) => LenswardVerify.judgeVector(v, %s))", name, keys.Identities)
		switch want["expect"] {
		case "ok":
			good++
		default:
			bad++
		}
		if flips, ok := want["flip_each"]; ok {
			if !reflect.DeepEqual(got["words"], flips) {
				t.Errorf("%s: the page judges the flipped bytes otherwise", name)
			}
			continue
		}
		if got["word"] != want["expect"] {
			t.Errorf("%s: the page says %v, want %v", name, got["word"], want["expect"])
		}
		for _, member := range []string{"header", "plain_sha256", "missing"} {
			if w, ok := want[member]; ok && !reflect.DeepEqual(got[member], w) {
				t.Errorf("%s: the page reads %s as %v, want %v", name, member, got[member], w)
			}
		}
	}
	if good < 15 || bad < 40 {
		t.Errorf("%d good and %d bad vectors, want at least 15 and 40", good, bad)
	}
}

// judgeOwnerships has the page and package ownership judge every vector of the
// ownership record.
func judgeOwnerships(t *testing.T, c *chromium) {
	dir := "../../transport/ownership/testdata/vectors"
	tb := openVerifier(t, c, dir)
	names := vectorNames(t, dir)
	if len(names) < 12 {
		t.Errorf("%d vectors, want at least 12", len(names))
	}
	for _, name := range names {
		v := readJSON[struct {
			Ownership           string
			OK                  bool
			Hash, Owner, Device string
		}](t, filepath.Join(dir, name))
		raw, err := base64.RawURLEncoding.DecodeString(v.Ownership)
		must(t, err)
		got := eval[struct{ Word, Hash, Owner, Device string }](tb, `(async () => {
			try {
				const { parseOwnership, verifyOwnership } = LenswardVerify;
				const o = await parseOwnership(Uint8Array.fromBase64(%s));
				await verifyOwnership(o);
				return { word: "ok", hash: o.hash, owner: o.record.owner, device: o.record.device };
			} catch (err) {
				const word = LenswardVerify.reasonOf(err);
				if (word === "") throw err;
				return { word };
			}
		})()`, base64.StdEncoding.EncodeToString(raw))
		if (got.Word == "ok") != v.OK || got.Hash != v.Hash || got.Owner != v.Owner || got.Device != v.Device {
			t.Errorf("%s: the page says %+v, want %+v", name, got, v)
		}
		o, err := ownership.Parse(raw)
		if err == nil {
			err = o.Verify()
		}
		if (err == nil) != v.OK || (got.Word == "bad-signature") != errors.Is(err, ownership.ErrSignature) {
			t.Errorf("%s: the page says %s, and Go %v", name, got.Word, err)
		}
	}
}

// openVerifier serves the page as the hub does, beside a folder of vectors, and
// loads its verifying half.
func openVerifier(t *testing.T, c *chromium, vectors string) *tab {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page.FS()))
	mux.Handle("/vectors/", http.StripPrefix("/vectors/", http.FileServer(http.Dir(vectors))))
	s := httptest.NewServer(front.Secured(true, mux))
	t.Cleanup(s.Close)
	tb := c.open(t, s.URL)
	eval[bool](tb, "import('/lensward-verify.js').then(() => true)")
	return tb
}

func vectorNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "good-") || strings.HasPrefix(name, "bad-") {
			names = append(names, name)
		}
	}
	return names
}

func readJSON[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	must(t, json.Unmarshal(b, &v))
	return v
}

// cameraConfig is a camera's configuration before a hub, with a window of nothing.
func cameraConfig(t *testing.T, h *hub.Hub) config.Config {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, h.CAPEM(), 0o600))
	conf := config.Default()
	conf.State.Key = "file"
	conf.Hub.ConnectWindow.Duration = 50 * time.Millisecond
	conf.State.Dir = filepath.Join(t.TempDir(), "camera")
	conf.Hub = config.Hub{Broker: config.Addresses{h.MQTTAddr()}, URL: config.Addresses{h.DeviceURL()}, CAFile: ca}
	return conf
}

// pageURL is the page's address at the hub, with an owner's keys.
func pageURL(t *testing.T, h *hub.Hub, keys *keyring.Keyring) string {
	t.Helper()
	e, err := keys.Export()
	must(t, err)
	fragment, err := e.Fragment()
	must(t, err)
	return h.ViewerURL() + "/" + fragment
}

// runAgents runs agents until the test ends.
func runAgents(t *testing.T, agents []*agent.Agent) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	for _, a := range agents {
		g.Go(func() error { return a.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("an agent stopped with %v", err)
		}
		for _, a := range agents {
			must(t, a.Close())
		}
	})
}

// awaitAll waits until something is true of every agent.
func awaitAll(t *testing.T, agents []*agent.Agent, what string, is func(agent.Stats) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, a := range agents {
		for !is(a.Stats()) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, a.Stats())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// playClips has a camera with H.264 and one with JPEG film the same box, and wants
// the page to play what they recorded.
func playClips(t *testing.T, c *chromium) {
	h := hubtest.Start(t, hub.Options{Dir: filepath.Join(t.TempDir(), "hub"), Page: page.FS(), SyncInterval: time.Minute, Log: testLog()})
	keys, err := keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	var agents []*agent.Agent
	for _, file := range []string{
		filmBox(t, "box.mp4", "-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-pix_fmt", "yuv420p"),
		filmBox(t, "box.mjpeg", "-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"),
	} {
		conf := cameraConfig(t, h)
		conf.Camera.Source = "file:" + file + "?rate=max"
		a, err := agent.New(t.Context(), conf, agent.Options{Firmware: "test", NoControl: true, Log: testLog()})
		must(t, err)
		pairDevice(t, keys, a.Device())
		agents = append(agents, a)
	}
	runAgents(t, agents)
	awaitAll(t, agents, "record and deliver all", func(s agent.Stats) bool {
		return s.Recorder.Frames == filmSeconds*10 && s.Recorder.Events > 0 && s.Spool.Depth == 0
	})

	tb := c.open(t, pageURL(t, h, keys))
	tb.openEventOf(agents[0])
	tb.wait("the video plays", `document.querySelector("dialog video")?.currentTime > 0`)
	tb.wait("the video goes on", `document.querySelector("dialog video").currentTime > %s`, 0.5+eval[float64](tb, `document.querySelector("dialog video").currentTime`))
	type state struct {
		Error, Said   string
		Frames        int
		Width, Height int
		Duration      float64
	}
	tb.wait("the video is whole", `document.querySelector("dialog video").duration < 1e6`)
	got := eval[state](tb, `((video) => ({
		error: video.error?.message ?? "", said: document.querySelector("dialog .warning").innerText, frames: video.getVideoPlaybackQuality().totalVideoFrames,
		width: video.videoWidth, height: video.videoHeight, duration: video.duration,
	}))(document.querySelector("dialog video"))`)
	if got.Error != "" || got.Said != "" || got.Frames == 0 || got.Width != filmWidth || got.Height != filmHeight || got.Duration < 5 || got.Duration > filmSeconds+1 {
		t.Errorf("the H.264 clip plays as %+v", got)
	}

	tb.openEventOf(agents[1])
	tb.wait("the clip is here", `document.querySelector("dialog canvas") !== null`)
	tb.wait("a picture of the clip is drawn", `look(document.querySelector("dialog canvas")).most.some((c) => c > 0)`)
	first := eval[sight](tb, `look(document.querySelector("dialog canvas"))`)
	tb.wait("another picture of the clip is drawn", `look(document.querySelector("dialog canvas")).sum !== %s`, first.Sum)
	if said := eval[string](tb, `document.querySelector("dialog .warning").innerText`); said != "" || first.Width != filmWidth || first.Height != filmHeight {
		t.Errorf("the clip of JPEGs plays as %+v: %s", first, said)
	}
}

// The film's size in pixels and its length.
const filmWidth, filmHeight, filmSeconds = 320, 180, 12

// filmBox makes a film in which a box crosses a room in which nothing else moves,
// and returns its path.
func filmBox(t *testing.T, name string, encoding ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	size := fmt.Sprintf("%dx%d", filmWidth, filmHeight)
	args := []string{
		"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("color=c=0x405060:s=%s:r=10:d=%d", size, filmSeconds),
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=60x80:r=10:d=%d", filmSeconds),
		"-filter_complex", "[0][1]overlay=x='(t-4)*90-60':y=60",
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", slices.Concat(args, encoding, []string{"-threads", "1", file})...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a film with ffmpeg, which `make test` installs: %v\n%s", err, b)
	}
	return file
}

// openEventOf opens the first event of an agent's camera.
func (tb *tab) openEventOf(a *agent.Agent) {
	tb.t.Helper()
	link := fmt.Sprintf(`.card a[href^="#/event/%s/"]`, a.Device().ID())
	tb.wait("the event is there", "document.querySelector(%s) !== null", link)
	eval[string](tb, "location.hash = document.querySelector(%s).hash", link)
	tb.wait("the event is open", "document.querySelector('dialog.event')?.innerHTML.includes(%s)", a.Device().ID())
}

// firstPicture measures from the start of `lensctl demo` to the first picture.
func firstPicture(t *testing.T, c *chromium, lensctl string) {
	began := time.Now()
	url := startDemo(t, lensctl)
	announced := time.Since(began)
	tb := c.open(t, url)
	tb.wait("the first picture", "seen.length > 0")
	t.Logf("the page showed the first picture %v after the demo's start, which took %v to say its address",
		time.Since(began).Round(time.Millisecond), announced.Round(time.Millisecond))
	if n := tb.number("wronglyShown"); n != 0 {
		t.Errorf("the page showed %d items of others", n)
	}
	if s := eval[[]sight](tb, "seen")[0]; s.Width < 160 || slices.Equal(s.Least, s.Most) {
		t.Errorf("the first picture looks like %+v", s)
	}
}

// startDemo runs the demo until the test ends and returns the page's address.
func startDemo(t *testing.T, lensctl string, args ...string) string {
	t.Helper()
	cmd := exec.Command(lensctl, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	urls, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); strings.Contains(line, "#keys=") {
				urls <- line
			}
		}
	}()
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(os.Interrupt))
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v: %s", err, stderr.String())
		}
	})
	select {
	case url := <-urls:
		return url
	case <-read:
		t.Fatal("the demo ended without an address")
	case <-time.After(patience):
		t.Fatal("the demo gives no address")
	}
	return ""
}

// screenshots saves what the guide shows: the page before a hub that lies.
func screenshots(t *testing.T, c *chromium, lensctl, dir string) {
	must(t, os.MkdirAll(dir, 0o755))
	save := func(tb *tab, name string) { tb.shoot(filepath.Join(dir, name+".png")) }
	tb := c.open(t, startDemo(t, lensctl, "--mixup", "0.5"))
	tb.wait("some events with pictures", `document.querySelectorAll(".card img:not([hidden])").length > 3 && !document.querySelector(".card img[hidden]")`)
	tb.appearance(1100, 720, "light")
	save(tb, "timeline")
	tb.appearance(1100, 720, "dark")
	save(tb, "dark")
	tb.appearance(390, 844, "light")
	save(tb, "phone")
	tb.appearance(1100, 720, "light")
	eval[string](tb, "location.hash = '#/withheld'")
	save(tb, "withheld")
	eval[string](tb, "location.hash = '#/findings'")
	tb.wait("some findings", `document.querySelectorAll("[data-finding]").length > 2`)
	save(tb, "findings")
	eval[string](tb, "location.hash = '#/events'")
	tb.wait("the time line", `document.querySelector(".card:last-child a")`)
	eval[string](tb, `location.hash = document.querySelector(".day:last-child .card:last-child a").hash`)
	tb.wait("the clip plays", `parseInt(document.querySelector("dialog .clock")?.innerText.split(":")[1]) > 5`)
	save(tb, "clip")
}
