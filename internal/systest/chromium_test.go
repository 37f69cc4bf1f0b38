package systest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is one browser for all tests of the page.
type chromium struct{ ctx context.Context }

// startChromium runs a browser with a fresh profile until the test ends, and wants
// nothing of it to be left then.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the tests of the page need Chromium (%v): `make test` installs it, as does `apt-get install chromium`", err)
	}
	profile := t.TempDir()
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+t.TempDir()), chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true), chromedp.WindowSize(1200, 800))
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		grace, done := context.WithTimeout(ctx, 10*time.Second)
		defer done()
		if err := chromedp.Cancel(grace); err != nil {
			t.Logf("close Chromium: %v", err)
		}
		cancel()
		stop()
		awaitNone(t, profile)
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &chromium{ctx}
}

// awaitNone waits until no process has the word in its command line, and ends those
// that stay.
func awaitNone(t *testing.T, word string) {
	t.Helper()
	var left []string
	for range 100 {
		if left = processesWith(word); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("Chromium left processes behind: %v", left)
	for _, pid := range left {
		var n int
		if _, err := fmt.Sscan(pid, &n); err == nil {
			if p, err := os.FindProcess(n); err == nil {
				_ = p.Kill() // it may have gone
			}
		}
	}
}

// processesWith lists the processes with the word in their command line.
func processesWith(word string) (pids []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is a good one
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(word)) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}

// tab is a page in a browser profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// witness is in every page before its own scripts. It looks at each picture that
// was decrypted the moment the page has it, and can look at any picture.
const witness = `
globalThis.look = (picture) => {
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth || picture.videoWidth || picture.width;
  canvas.height = picture.naturalHeight || picture.videoHeight || picture.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const least = [255, 255, 255], most = [0, 0, 0];
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    sum = (Math.imul(sum, 31) + data[i]) | 0;
    if (i % 4 === 3) continue;
    least[i % 4] = Math.min(least[i % 4], data[i]);
    most[i % 4] = Math.max(most[i % 4], data[i]);
  }
  return { width: canvas.width, height: canvas.height, least, most, sum };
};
globalThis.seen = [];
document.addEventListener("load", ({ target }) => {
  if (target instanceof HTMLImageElement && target.src.startsWith("blob:")) seen.push(look(target));
}, true);
`

// open shows an address in a new tab. A fault in the page's scripts, or something
// that its content security policy had to stop, fails the test.
func (c *chromium) open(t *testing.T, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	tb := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, fault := range tb.faults {
			t.Errorf("the page: %s", fault)
		}
	})
	must(t, chromedp.Listen(ctx, tb.hear))
	tb.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: witness})
		return err
	}))
	tb.do(chromedp.Navigate(url))
	return tb
}

func (tb *tab) hear(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error()
	case *log.EventEntryAdded:
		if e.Entry.Source == "security" {
			fault = e.Entry.Text
		}
	}
	if fault != "" {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		tb.faults = append(tb.faults, fault)
	}
}

func (tb *tab) do(action chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	must(tb.t, chromedp.Do(ctx, action))
}

// eval gives the value of a JavaScript expression, or what its promise comes to.
func eval[T any](tb *tab, expression string, args ...any) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	expression = withArgs(expression, args)
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("evaluate %.200s in the page: %v", expression, err)
	}
	return v
}

// withArgs puts Go values in the place of an expression's verbs, as JavaScript.
func withArgs(expression string, args []any) string {
	js := make([]any, len(args))
	for i, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			panic(err) // a test's own value
		}
		js[i] = b
	}
	return fmt.Sprintf(expression, js...)
}

// wait waits until an expression is true.
func (tb *tab) wait(what, expression string, args ...any) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](withArgs(expression, args), chromedp.WithPollingInterval(25*time.Millisecond), chromedp.WithPollingTimeout(0)))
	if err != nil {
		tb.t.Fatalf("%s: %v; the page shows:\n%s", what, err, eval[string](tb, "JSON.stringify({...document.documentElement.dataset}) + '\\n' + document.body.innerText"))
	}
}

// number is one of the numbers that the page keeps for tests.
func (tb *tab) number(name string) int {
	tb.t.Helper()
	return eval[int](tb, "Number(document.documentElement.dataset[%s])", name)
}

// sight is what a picture looks like: the least and most of red, green and blue,
// and a sum over all of it.
type sight struct {
	Width, Height int
	Least, Most   []int
	Sum           int
}

// is says whether the whole picture has one colour, as exactly as JPEG keeps it.
func (s sight) is(c paint) bool {
	const slack = 6
	for i, want := range []int{int(c.R), int(c.G), int(c.B)} {
		if s.Least[i] < want-slack || s.Most[i] > want+slack {
			return false
		}
	}
	return true
}

// appearance is how a person has their browser.
func (tb *tab) appearance(width, height int64, scheme string) {
	tb.t.Helper()
	tb.do(chromedp.EmulateViewport(width, height))
	tb.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// shoot saves what the tab shows as a PNG of 256 colours, small enough for a guide.
func (tb *tab) shoot(name string) {
	tb.t.Helper()
	eval[bool](tb, "new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(true)), 300))") // what fades in has
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	must(tb.t, err)
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-f", "png_pipe", "-i", "-",
		"-vf", "split[a][b];[a]palettegen=max_colors=256:reserve_transparent=0[p];[b][p]paletteuse=dither=none", "-pred", "none", name)
	cmd.Stdin = bytes.NewReader(b)
	if b, err := cmd.CombinedOutput(); err != nil {
		tb.t.Fatalf("save %s: %v\n%s", name, err, b)
	}
}
