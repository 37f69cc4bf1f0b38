package systest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/qr"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/hub/page"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// The page's words for where it is while a camera is added.
const (
	screenForm, screenCode, screenProgress   = "form", "code", "progress"
	screenPicture, screenAdded, screenFailed = "picture", "added", "failed"
	screenOther                              = "other"
)

// pagePairing makes an owner in the page and adds a camera whose side is played by the
// Go half, through a real hub: the first picture is asked about and shown.
func pagePairing(t *testing.T, c *chromium) {
	h := pairingHub(t)
	tb := newOwnerInPage(t, c, h)
	shoot := shooter(t)
	shoot(tb, "add")
	eval[string](tb, `document.querySelector("details.wifi").open = true; document.getElementById("wifi-name").value = "kitchen";
		document.getElementById("wifi-passphrase").value = "correct horse battery"`)
	shoot(tb, "add-wifi")
	code := tb.showCode()
	if code.WiFi == nil || code.WiFi.SSID != "kitchen" || string(code.WiFi.Passphrase) != "correct horse battery" {
		t.Errorf("the code has the Wi-Fi %+v", code.WiFi)
	}
	if code.Hub == nil || code.Hub.ID != h.ID() || "https://"+code.Hub.Addresses[0] != h.DeviceURL() {
		t.Errorf("the code has the hub %+v, want %s at %s", code.Hub, h.ID().Short(), h.DeviceURL())
	}
	if text := tb.readCode(); text != string(code.Text()) {
		t.Errorf("the code's picture reads as %q", text)
	}
	shoot(tb, "add-code")

	began := time.Now()
	cam := newPairingCamera(t, h)
	cam.call(code)
	tb.screen(screenProgress)
	if shown := eval[string](tb, `document.querySelector(".add .facts").innerText`); !bytes.Contains([]byte(shown), []byte(cam.dev.ID().String())) {
		t.Errorf("the page shows the camera as %q", shown)
	}
	cam.wait(pairing.PhaseDone)
	tb.wait("the page is done", `document.documentElement.dataset.pairing === "done"`)
	shoot(tb, "add-agreed")

	p := paintOf(0, 0, 1)
	cam.deliver(p)
	tb.screen(screenPicture)
	tb.wait("the first picture", `document.querySelector(".first img:not([hidden])")?.complete`)
	if s := eval[sight](tb, `look(document.querySelector(".first img"))`); !s.is(p) {
		t.Errorf("the first picture looks like %+v, want %v", s, p)
	}
	t.Logf("from the camera's hello to its first picture on the page: %v", time.Since(began).Round(time.Millisecond))
	shoot(tb, "add-picture")
	tb.click("Yes, it is my camera")
	tb.screen(screenAdded)
	shoot(tb, "add-done")
	tb.click("To the events")
	tb.wait("the event", `document.querySelector(".card img:not([hidden])") !== null`)
	if n := tb.number("wronglyShown"); n != 0 {
		t.Errorf("the page showed %d items of others", n)
	}
	eval[string](tb, `location.hash = "#/household"`)
	tb.wait("the camera's record is among the changes", `document.querySelector(".change")?.innerText.includes("became yours")`)
	shoot(tb, "household")
	eval[string](tb, `location.hash = "#/findings"`)
	tb.wait("the findings", `document.querySelector("section[aria-label=Findings]") !== null`)
	if n := tb.number("findings"); n != 0 {
		t.Errorf("an honest hub was caught at %d things", n)
	}
}

// pageRival has two cameras see one code: the page says so, and what the person takes
// for a stranger's is released and hidden.
func pageRival(t *testing.T, c *chromium) {
	h := pairingHub(t)
	tb := newOwnerInPage(t, c, h)
	shoot := shooter(t)
	code := tb.showCode()
	cam, rival := newPairingCamera(t, h), newPairingCamera(t, h)
	cam.begin(code)
	rival.begin(code)
	cam.put()
	tb.screen(screenProgress)
	rival.put()
	tb.wait("the second camera is told of", `document.querySelector(".add .warning")?.innerText.includes("second camera")`)
	shoot(tb, "add-rival")
	cam.put()
	cam.talk()
	cam.wait(pairing.PhaseDone)
	cam.deliver(paintOf(0, 1, 0))
	tb.screen(screenPicture)
	tb.click("No")
	tb.screen(screenOther)
	shoot(tb, "add-other")
	tb.click("Throw this pairing away")
	tb.wait("the hub has the word", `document.querySelector(".add [role=status]").innerText.startsWith("It is thrown away")`)
	shoot(tb, "add-thrown")
	eval[string](tb, `location.hash = "#/events"`)
	tb.wait("the time line", `document.querySelector("section.events") !== null`)
	if n := eval[int](tb, `document.querySelectorAll(".card").length`); n != 0 {
		t.Errorf("%d events of the camera that was thrown away are shown", n)
	}
}

// pagePairingFails has each way to fail, and what the page says.
func pagePairingFails(t *testing.T, c *chromium) {
	h := pairingHub(t)
	tb := newOwnerInPage(t, c, h)
	shoot := shooter(t)
	fails := func(name, reason string) {
		t.Helper()
		tb.screen(screenFailed)
		if got := eval[string](tb, `document.querySelector(".add .warning").dataset.reason`); got != reason {
			t.Errorf("%s: the page says %q, want %q", name, got, reason)
		}
		shoot(tb, "add-fails-"+name)
		tb.click("Make a new code")
		tb.screen(screenForm)
	}
	tb.showCode()
	tb.click("Cancel")
	fails("cancelled", "cancelled")

	// The same state, ten minutes later.
	tb.showCode()
	eval[bool](tb, `new Promise((done, fail) => { const open = indexedDB.open("lensward"); open.onsuccess = () => {
		const store = open.result.transaction("keys", "readwrite").objectStore("keys");
		store.get("pairing").onsuccess = ({ target: { result } }) => {
			result.memory.expires = 1;
			store.put(result, "pairing").onsuccess = () => { open.result.close(); done(true); };
		};
	}; open.onerror = fail; })`)
	tb.do(chromedp.Reload())
	fails("expired", "expired")

	code := tb.showCode()
	cam := newPairingCamera(t, h)
	cam.begin(code)
	cam.put()
	tb.screen(screenProgress)
	if err := cam.side.Cancel(); err != nil {
		var refused *pairing.Error
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
	cam.put()
	fails("camera", string(failureOf(t, cam.side)))

	// The mailbox brings rubbish without end.
	code = tb.showCode()
	box := mailboxOf(t, h)
	for i := range pairing.MaxRefused {
		must(t, box.Put(t.Context(), code.Rendezvous(), bytes.Repeat([]byte{byte(i)}, 99)))
		if i == 2 {
			tb.wait("what is refused is said", `document.querySelector(".add .warning")?.innerText.includes("bad-mac")`)
			shoot(tb, "add-disturbed")
		}
		tb.wait("it is refused", `document.documentElement.dataset.pairing === "failed" || Number(document.documentElement.dataset.refused) > %s`, i)
	}
	fails("too-many", "too-many")
}

func failureOf(t *testing.T, side *pairing.Camera) pairing.Reason {
	t.Helper()
	return pairing.ReasonOf(side.Failure())
}

// judgeHouseholds has the page judge every vector of the household that it reads.
func judgeHouseholds(t *testing.T, c *chromium) {
	dir := "../../transport/household/testdata/vectors"
	tb := openVerifier(t, c, dir)
	judged := 0
	for _, pattern := range []string{"statement-*.json", "succession-*.json", "keys-*.json"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		for _, path := range names {
			want := readJSON[struct{ Expect string }](t, path)
			got := eval[struct{ Word string }](tb, "fetch('/vectors/' + %s).then((r) => r.json()).then((v) => LenswardVerify.judgeHousehold(v))", filepath.Base(path))
			if got.Word != want.Expect {
				t.Errorf("%s: the page says %q, want %q", filepath.Base(path), got.Word, want.Expect)
			}
			judged++
		}
	}
	if judged < 70 {
		t.Errorf("%d vectors, want at least 70", judged)
	}
}

// judgePairings has the page judge every vector of pairing that is for an owner.
func judgePairings(t *testing.T, c *chromium) {
	dir := "../../transport/pairing/testdata/vectors"
	tb := openVerifier(t, c, dir)
	judged := 0
	for _, pattern := range []string{"code-*.json", "owner-*.json"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		for _, path := range names {
			name := filepath.Base(path)
			want := readJSON[struct {
				Expect string
				Step   struct{ Phase string }
			}](t, path)
			got := eval[struct{ Word, Phase string }](tb, "fetch('/vectors/' + %s).then((r) => r.json()).then((v) => LenswardVerify.judgePairing(v))", name)
			if got.Word != want.Expect || got.Phase != want.Step.Phase {
				t.Errorf("%s: the page says %+v, want %+v", name, got, want)
			}
			judged++
		}
	}
	if judged < 70 {
		t.Errorf("%d vectors, want at least 70", judged)
	}
}

func pairingHub(t *testing.T) *hub.Hub {
	t.Helper()
	return hubtest.Start(t, hub.Options{Dir: filepath.Join(t.TempDir(), "hub"), Page: page.FS(), SyncInterval: time.Minute, Log: testLog()})
}

// newOwnerInPage opens the page without keys and makes some there.
func newOwnerInPage(t *testing.T, c *chromium, h *hub.Hub) *tab {
	t.Helper()
	tb := c.open(t, h.ViewerURL())
	tb.click("Make new keys")
	tb.wait("the keys are made", `document.querySelector(".made:not([hidden])")`)
	tb.click("Save the copy")
	tb.click("Continue")
	tb.screen(screenForm)
	tb.wait("the hub is known", `!document.querySelector(".add-form button[type=submit]").disabled`)
	return tb
}

// click presses the button or link with this text.
func (tb *tab) click(text string) {
	tb.t.Helper()
	const find = `[...document.querySelectorAll("button, a.button")].find((b) => b.innerText === %s && !b.disabled && b.offsetParent)`
	tb.wait("the button "+text, find+" !== undefined", text)
	eval[bool](tb, "("+find+".click(), true)", text)
}

// screen waits for a screen of adding a camera.
func (tb *tab) screen(name string) {
	tb.t.Helper()
	tb.wait("the screen "+name, `document.querySelector("section.add")?.dataset.screen === %s`, name)
}

// showCode has the page make a code.
func (tb *tab) showCode() *pairing.Code {
	tb.t.Helper()
	tb.click("Show the code")
	tb.screen(screenCode)
	code, err := pairing.ParseCode(eval[string](tb, `document.getElementById("pair-code").dataset.code`))
	must(tb.t, err)
	return code
}

// readCode reads the code's picture as a camera does.
func (tb *tab) readCode() string {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	must(tb.t, err)
	shot, err := png.Decode(bytes.NewReader(b))
	must(tb.t, err)
	bounds := shot.Bounds()
	frame := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio444)
	grey := image.NewGray(bounds)
	draw.Draw(grey, bounds, shot, bounds.Min, draw.Src)
	for y := range bounds.Dy() {
		copy(frame.Y[y*frame.YStride:], grey.Pix[y*grey.Stride:y*grey.Stride+bounds.Dx()])
	}
	texts, err := qr.NewReader("LENSWARD", patience).ReadImage(ctx, frame)
	must(tb.t, err)
	if len(texts) != 1 {
		tb.t.Fatalf("the screen shows %d codes", len(texts))
	}
	return texts[0]
}

// pairingCamera is a camera's state directory and its side of a pairing.
type pairingCamera struct {
	t    *testing.T
	hub  *hub.Hub
	conf config.Config
	dev  *device.Device
	side *pairing.Camera
	box  *mailbox.Mailbox
}

func newPairingCamera(t *testing.T, h *hub.Hub) *pairingCamera {
	t.Helper()
	conf := cameraConfig(t, h)
	dev, err := device.Open(conf.State.Dir, "test")
	must(t, err)
	cam := &pairingCamera{t: t, hub: h, conf: conf, dev: dev, box: mailboxOf(t, h)}
	t.Cleanup(func() {
		if cam.dev != nil {
			must(t, cam.dev.Close())
		}
	})
	return cam
}

// mailboxOf is a camera's access to the hub's mailboxes.
func mailboxOf(t *testing.T, h *hub.Hub) *mailbox.Mailbox {
	t.Helper()
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.CAPool(), MinVersion: tls.VersionTLS12}}}
	t.Cleanup(secure.CloseIdleConnections)
	box, err := mailbox.New(mailbox.Options{URL: h.DeviceURL(), Path: mailbox.DevicePath, Side: mailbox.SideCamera, HTTP: secure})
	must(t, err)
	return box
}

// paired is what pairing needs of a device.
type paired struct{ *device.Device }

func (d paired) Ownership() *ownership.Ownership {
	o, err := d.Device.Ownership()
	if err != nil {
		return nil
	}
	return o
}

func (cam *pairingCamera) begin(code *pairing.Code) {
	cam.t.Helper()
	side, err := pairing.NewCamera(code, pairing.CameraOptions{
		Device: paired{cam.dev}, Key: cam.dev.Key(), Protection: cam.dev.Protection(), Firmware: cam.dev.Firmware(),
		Acquired: ownership.AcquiredPaired, ClockRight: true, Save: func([]byte) error { return nil },
	}, time.Now())
	must(cam.t, err)
	cam.side = side
}

// put brings the camera's newest message to the hub.
func (cam *pairingCamera) put() {
	cam.t.Helper()
	must(cam.t, cam.box.Put(cam.t.Context(), cam.side.Rendezvous(), cam.side.Send()))
}

// talk carries the pairing until it is over.
func (cam *pairingCamera) talk() {
	cam.t.Helper()
	ctx, cancel := context.WithTimeout(cam.t.Context(), patience)
	defer cancel()
	must(cam.t, exchange.Run(ctx, exchange.Options{Side: cam.side, Carriers: []exchange.Carrier{cam.box}}))
}

// call answers a code, and takes what the owner offers.
func (cam *pairingCamera) call(code *pairing.Code) {
	cam.begin(code)
	cam.talk()
}

func (cam *pairingCamera) wait(want pairing.Phase) {
	cam.t.Helper()
	if got := cam.side.Phase(); got != want {
		cam.t.Fatalf("the camera's side is %s, want %s: %v", got, want, cam.side.Failure())
	}
}

// deliver has an agent of this camera bring an event of one colour to the hub.
func (cam *pairingCamera) deliver(p paint) {
	t := cam.t
	t.Helper()
	store := openSpool(t, cam.conf.State.Dir, cam.dev)
	for _, d := range paintedDrafts(t, seal.EventID{1}, p) {
		_, err := store.Append(t.Context(), d)
		must(t, err)
	}
	must(t, store.Close())
	must(t, cam.dev.Close())
	cam.dev = nil
	still := func(context.Context) (capture.Source, source.Info, error) {
		return stillSource{}, source.Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, Live: true}, nil
	}
	a, err := agent.New(t.Context(), cam.conf, agent.Options{Firmware: "test", OpenSource: still, NoControl: true, Log: testLog()})
	must(t, err)
	runAgents(t, []*agent.Agent{a})
}

// shooter saves what the guide shows of adding a camera: each step as a person at a
// desk has it, by day and by night, and on a phone.
func shooter(t *testing.T) func(tb *tab, name string) {
	dir := os.Getenv("LENSWARD_SCREENSHOTS")
	if dir == "" {
		return func(*tab, string) {}
	}
	must(t, os.MkdirAll(dir, 0o755))
	return func(tb *tab, name string) {
		t.Helper()
		for _, a := range []struct {
			suffix        string
			width, height int64
			scheme        string
		}{{"-dark", 1100, 720, "dark"}, {"-phone", 390, 844, "light"}, {"-phone-dark", 390, 844, "dark"}, {"", 1100, 720, "light"}} {
			tb.appearance(a.width, a.height, a.scheme)
			tb.shoot(filepath.Join(dir, name+a.suffix+".png"))
		}
	}
}
