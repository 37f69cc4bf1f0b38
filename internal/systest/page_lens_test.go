package systest

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
)

// The picture of the camera before which the screen is held, in pixels.
const lensWidth, lensHeight = 1280, 720

// lens is a camera with a screen held before it: it films what was put there last.
type lens struct{ picture atomic.Pointer[[]byte] }

// Run gives ten pictures a second.
func (l *lens) Run(ctx context.Context, emit func(capture.Frame)) error {
	for i := uint64(0); ; i++ {
		if b := l.picture.Load(); b != nil {
			emit(capture.Frame{Seq: i, Time: time.Now(), Format: capture.FormatMJPEG, Width: lensWidth, Height: lensHeight, Key: true, Data: *b})
		}
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// hold puts what the browser shows before the lens, again and again, until ctx is done.
func (l *lens) hold(ctx context.Context, tb *tab) error {
	for n := uint64(1); ctx.Err() == nil; n++ {
		shot, err := tb.screenshot(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		b, err := throughLens(shot, n)
		if err != nil {
			return err
		}
		l.picture.Store(&b)
	}
	return nil
}

// screenshot is what the tab shows.
func (tb *tab) screenshot(ctx context.Context) (image.Image, error) {
	ctx, cancel := mergeContexts(tb.ctx, ctx)
	defer cancel()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, err
	}
	return png.Decode(bytes.NewReader(b))
}

// mergeContexts is a, ended when b ends too.
func mergeContexts(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// throughLens is a screen as a camera has it that somebody holds it before by hand: it
// fills most of the height, hangs 4° to one side and 8 % nearer at the top, is out of
// focus by a pixel, dimmer than it is, and noisy.
func throughLens(screen image.Image, seed uint64) ([]byte, error) {
	bounds := screen.Bounds()
	grey := image.NewGray(bounds)
	draw.Draw(grey, bounds, screen, bounds.Min, draw.Src)
	scale := float64(bounds.Dy()) / (0.92 * lensHeight)
	sin, cos := math.Sincos(4 * math.Pi / 180)
	img := image.NewGray(image.Rect(0, 0, lensWidth, lensHeight))
	for y := range lensHeight {
		for x := range lensWidth {
			dx, dy := float64(x)-0.55*lensWidth, float64(y)-0.5*lensHeight
			near := 1 + 0.08*dy/lensHeight
			u, v := (cos*dx+sin*dy)*scale*near+float64(bounds.Dx())/2, (cos*dy-sin*dx)*scale*near+float64(bounds.Dy())/2
			light := 60 + 40*float64(x)/lensWidth // the room behind it
			if u >= 0 && v >= 0 && u < float64(bounds.Dx()-1) && v < float64(bounds.Dy()-1) {
				light = 35 + 0.7*between(grey, u, v)
			}
			img.SetGray(x, y, color.Gray{Y: uint8(light)})
		}
	}
	img = blurred(img)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i, v := range img.Pix {
		img.Pix[i] = uint8(min(max(float64(v)+2*rnd.NormFloat64(), 0), 255))
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 75})
	return out.Bytes(), err
}

// between is the light between four pixels.
func between(img *image.Gray, u, v float64) float64 {
	x, y := int(u), int(v)
	a, b := u-float64(x), v-float64(y)
	at := img.PixOffset(x+img.Rect.Min.X, y+img.Rect.Min.Y)
	row := func(i int) float64 { return (1-a)*float64(img.Pix[i]) + a*float64(img.Pix[i+1]) }
	return (1-b)*row(at) + b*row(at+img.Stride)
}

// blurred is the mean of each pixel's neighbourhood of three by three.
func blurred(img *image.Gray) *image.Gray {
	out := image.NewGray(img.Rect)
	copy(out.Pix, img.Pix)
	for y := 1; y < img.Rect.Dy()-1; y++ {
		for x := 1; x < img.Rect.Dx()-1; x++ {
			sum, at := 0, y*img.Stride+x
			for _, row := range []int{at - img.Stride, at, at + img.Stride} {
				sum += int(img.Pix[row-1]) + int(img.Pix[row]) + int(img.Pix[row+1])
			}
			out.Pix[at] = uint8(sum / 9)
		}
	}
	return out
}

// pageLens holds a browser before the lens of a camera that knows neither hub nor owner,
// as a person with a phone does, until the page has opened its first event.
func pageLens(t *testing.T, c *chromium) {
	h := pairingHub(t)
	tb := newOwnerInPage(t, c, h)
	tb.appearance(390, 844, "light") // a phone
	conf := config.Default()
	conf.State.Key, conf.State.Dir = "file", filepath.Join(t.TempDir(), "camera")
	must(t, os.MkdirAll(conf.State.Dir, 0o700))
	l := &lens{}
	a, err := agent.New(t.Context(), conf, agent.Options{Firmware: "test", NoControl: true, Log: testLog(), OpenSource: func(ctx context.Context) (capture.Source, source.Info, error) {
		if _, err := os.Stat(filepath.Join(conf.State.Dir, "ownership")); err != nil {
			return l, source.Info{Format: capture.FormatMJPEG, Width: lensWidth, Height: lensHeight, Live: true}, nil
		}
		return source.Open(ctx, "scene:?width=640&height=360&fps=10", source.Options{})
	}})
	must(t, err)
	runAgents(t, []*agent.Agent{a})

	code := tb.showCode()
	shown := time.Now()
	after := func(what string) { t.Logf("%s after %.1f s", what, time.Since(shown).Seconds()) }
	ctx, lower := context.WithCancel(t.Context())
	defer lower()
	var hand errgroup.Group
	hand.Go(func() error { return l.hold(ctx, tb) })
	tb.wait("the code was seen", `document.documentElement.dataset.pairing !== "begun"`)
	after("the camera has seen the code, and the page knows it,")
	tb.wait("the camera is the owner's", `document.documentElement.dataset.pairing === "done"`)
	after("paired")
	lower()
	must(t, hand.Wait())
	own := a.Known()
	if own == nil || own.Record.Owner != code.Owner {
		t.Fatalf("the camera's record is %+v", own)
	}
	tb.screen(screenPicture)
	tb.wait("the first picture", `document.querySelector(".first img:not([hidden])")?.complete`)
	after("“Is this what your camera sees?”")
	tb.click("Yes, it is my camera")
	tb.click("To the events")
	openMoving(tb, a)
	after("first event with motion opened, its clip playing,")
	if n := tb.number("wronglyShown") + tb.number("findings") + tb.number("withheld"); n != 0 {
		t.Errorf("the page counts %d wrong things", n)
	}
	if s := a.Stats(); len(s.Conditions) > 0 || s.Hub == "" {
		t.Errorf("paired, the camera says %+v, hub %q", s.Conditions, s.Hub)
	}
}

// openMoving opens the camera's first event in which something moved, and waits until its
// clip is drawn.
func openMoving(tb *tab, a *agent.Agent) {
	tb.t.Helper()
	// The one that shows only what the camera sees has no clip.
	const playing = `(() => {
		if (document.querySelector("dialog canvas")) return look(document.querySelector("dialog canvas")).most.some((c) => c > 0);
		const open = document.querySelector("dialog.event .status")?.innerText ?? "";
		if (open !== "" && open !== "This event has no clip.") return false;
		const cards = [...document.querySelectorAll('.card:not(:has([data-word="first picture"])) a')];
		if (cards.length > 0) location.hash = cards.at(-1).hash;
		return false;
	})()`
	tb.wait("an event with motion plays", playing)
	tb.wait("it is the camera's", `document.querySelector("dialog.event").innerHTML.includes(%s)`, a.Device().ID())
}
