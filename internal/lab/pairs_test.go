package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/lab/board"
	"github.com/lensward/lensward/internal/lab/guest"
	"github.com/lensward/lensward/internal/lab/usbcam"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// free is the whole configuration of a camera that is to be paired by its lens, as
// docs/guide/pairing.md has it: neither an owner nor a hub is in it.
const free = `
[camera]
source = "v4l2:auto"
[state]
dir = %q
`

// TestBoardPairs has somebody hold a phone before a camera that has no owner and knows no
// hub. The first code is too old: that comes to nothing, and is said. The second is one
// that lensctl made: the camera finds the hub, becomes the owner's, and what it films then
// the owner opens. The short run has arm64 alone.
func TestBoardPairs(t *testing.T) {
	cache(t)
	lensctl := filepath.Join(t.TempDir(), "lensctl")
	build(t, board.Board{GOARCH: runtime.GOARCH}, module+"/cmd/lensctl", lensctl)
	s := startStation(t)
	for _, b := range board.All() {
		if b.Name == "arm64" || long() {
			t.Run(b.Name, func(t *testing.T) { pairBoard(t, b, s, lensctl) })
		}
	}
}

func pairBoard(t *testing.T, b board.Board, s *station, lensctl string) {
	m := bootGuest(t, b, "uvcvideo", "vhci_hcd")
	saw, visit := newRecord(), walks(t, 640, 480, 10, 20*time.Second)
	scene := &stage{film: film(visit[:1])}
	d := webcam(scene, saw)
	d.Streams[0].Formats[0].Sizes[0].Intervals = []time.Duration{time.Second / 10}
	plugIn(t, m, d)
	awaitVideo(t, m, d.Name)

	w := newFree(t, m, s, "pairs")
	w.start()
	w.awaitCondition("unpaired", "no owner yet")
	if said := w.statusText(); !strings.Contains(said, "unpaired for ") {
		t.Errorf("lensward status says\n%s", said)
	}
	w.refuseExpired(scene, visit[0])
	shown, lensctlPair := w.pair(lensctl, scene, visit)
	w.awaitPicture()
	t.Logf("the first picture was opened %v after the code was shown (emulated)", time.Since(shown).Round(100*time.Millisecond))
	if said := lensctlPair.end(); !strings.Contains(said, "(epoch 1, revision 1)") {
		t.Errorf("lensctl pair prints %q", said)
	}
	w.awaitEvents(2) // the picture that the camera shows its new owner, and the visit
	t.Logf("the visit was whole at the owner's %v after the code was shown (emulated)", time.Since(shown).Round(100*time.Millisecond))
	w.judge(saw.is)
	if said := w.statusText(); strings.Contains(said, "unpaired") || !strings.Contains(said, s.mqtt) {
		t.Errorf("lensward status says\n%s", said)
	}
	if s, err := w.status(); err != nil || len(s.Conditions) > 0 || s.Owner != w.keys.Owner().String() {
		t.Errorf("paired, the camera says %+v, %v", s, err)
	}
	if strings.Contains(w.log(1000), "LENSWARD1:") {
		t.Error("a code is in the log")
	}
}

// stage is what a camera has before it; that can be changed. It is a [usbcam.Reel].
type stage struct {
	mu   sync.Mutex
	film usbcam.Reel
	n    uint64 // frames since it was changed
}

// show puts something else before the camera.
func (s *stage) show(film usbcam.Reel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.film, s.n = film, 0
}

// Frame is the next one of what is there, however often the stream was started.
func (s *stage) Frame(m usbcam.Mode, _ uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n
	s.n++
	return s.film.Frame(m, n)
}

// hold is somebody who holds a phone before the camera, with a picture on it.
func hold(t *testing.T, room []byte, picture *image.Gray) loop {
	t.Helper()
	var out loop
	for i, p := range held() {
		out = append(out, p.before(t, room, picture, uint64(i)))
	}
	return out
}

// newFree puts an agent that belongs to nobody into the guest.
func newFree(t *testing.T, m *Machine, s *station, name string) *ward {
	t.Helper()
	w := &ward{t: t, m: m, station: s, dir: "/run/" + name, opened: map[seal.Ref]viewer.Opened{}}
	text := fmt.Sprintf(free, w.dir+"/state")
	must(t, m.Put(t.Context(), guest.File{Path: w.dir + "/lensward.toml", Mode: 0o600, Data: []byte(text)}))
	return w
}

// awaitCondition waits until the agent names a condition whose cause has this in it.
func (w *ward) awaitCondition(name, cause string) {
	w.t.Helper()
	var s status
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if s, err = w.status(); err == nil && s.names(name, cause) {
			return
		}
	}
	w.t.Fatalf("%s is wanted, with %q; the agent says %+v, %v", name, cause, s, err)
}

// names says whether a condition is among those that there are.
func (s status) names(name, cause string) bool {
	return slices.ContainsFunc(s.Conditions, func(c condition) bool {
		return c.Name == name && strings.Contains(c.Cause, cause)
	})
}

// statusText is what `lensward status` prints in the guest.
func (w *ward) statusText() string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	log := fmt.Sprintf("%s/status-%d", w.dir, time.Now().UnixNano())
	pid, err := w.m.Start(ctx, guest.Program{Path: "/bin/lensward", Args: []string{"status", "--state", w.dir + "/state"}, Log: log})
	must(w.t, err)
	exit, err := w.m.Wait(ctx, pid)
	must(w.t, err)
	said, err := w.m.Get(ctx, log)
	must(w.t, err)
	if exit != (guest.Exit{}) {
		w.t.Errorf("lensward status ended with %+v", exit)
	}
	return string(said)
}

// refuseExpired shows a code whose time is over. Its owner says so when the camera calls;
// the camera has to say it too, and to stay nobody's.
func (w *ward) refuseExpired(scene *stage, room []byte) {
	w.t.Helper()
	keys, err := keyring.New(filepath.Join(w.t.TempDir(), "late"))
	must(w.t, err)
	at, err := url.Parse(w.station.devices)
	must(w.t, err)
	code, err := pairing.NewCode(keys.Owner(), time.Now().Add(-time.Minute), &pairing.Hub{ID: w.station.hub.ID(), Addresses: []string{at.Host}}, nil)
	must(w.t, err)
	owner, err := pairing.NewOwner(code, keys.Taker(), func([]byte) error { return nil })
	must(w.t, err)
	box, err := mailbox.New(mailbox.Options{URL: w.station.hub.ViewerURL(), Path: mailbox.ViewerPath, Side: mailbox.SideOwner})
	must(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- exchange.Run(ctx, exchange.Options{Side: owner, Carriers: []exchange.Carrier{box}, Linger: patience})
	}()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Errorf("the owner whose code had expired: %v", err)
		}
	}()
	scene.show(hold(w.t, room, drawn(w.t, string(code.Text()))))
	shown := time.Now()
	w.awaitCondition("pairing-failed", string(pairing.ReasonExpired))
	w.t.Logf("a code that had expired: said after %v (emulated)", time.Since(shown).Round(100*time.Millisecond))
	if s, err := w.status(); err != nil || !s.names("unpaired", "") || s.Owner != "" {
		w.t.Errorf("after a code that had expired the camera says %+v, %v", s, err)
	}
	if said := w.log(1000); !regexp.MustCompile(`pairing failed.*expired`).MatchString(said) {
		w.t.Errorf("the log does not say that the code had expired:\n%s", said)
	}
}

// pair has lensctl make an owner and a code, shows that to the camera until lensctl says
// that the camera is the owner's, and has somebody walk in then. It returns when the code
// was first shown; lensctl runs on for a while, and looks out for another camera.
func (w *ward) pair(lensctl string, scene *stage, visit [][]byte) (shown time.Time, c *command) {
	t := w.t
	t.Helper()
	dir, picture := filepath.Join(t.TempDir(), "owner"), filepath.Join(t.TempDir(), "code.png")
	startCommand(t, lensctl, "owner", "new", dir).end()
	c = startCommand(t, lensctl, "pair", "--owner", dir, "--hub", w.station.hub.ViewerURL(), "--png", picture)
	c.await("the code is good until")
	b, err := os.ReadFile(picture)
	must(t, err)
	scene.show(hold(t, visit[0], decodePNG(t, b)))
	shown = time.Now()
	c.await("has answered")
	t.Logf("the camera answered %v after the code was shown (emulated)", time.Since(shown).Round(100*time.Millisecond))
	c.await("paired")
	scene.show(film(visit)) // the phone is put away
	t.Logf("paired %v after the code was shown (emulated)", time.Since(shown).Round(100*time.Millisecond))
	w.keys, err = keyring.Open(dir)
	must(t, err)
	w.openViewer()
	return shown, c
}

// command is a program on this machine that tells a person how far it is.
type command struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner // of its standard error
	said  []string       // of these, what was read
	out   bytes.Buffer
}

// startCommand starts a program, which ends with the test, or when patience does.
func startCommand(t *testing.T, path string, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	c := &command{t: t, cmd: exec.CommandContext(ctx, path, args...)}
	c.cmd.Stdout = &c.out
	said, err := c.cmd.StderrPipe()
	must(t, err)
	must(t, c.cmd.Start())
	c.lines = bufio.NewScanner(said)
	t.Cleanup(func() {
		cancel()
		if c.cmd.ProcessState == nil { // the test has failed
			_ = c.cmd.Wait()
		}
	})
	return c
}

// await reads on to a line with this in it.
func (c *command) await(text string) {
	c.t.Helper()
	for c.lines.Scan() {
		c.said = append(c.said, c.lines.Text())
		if strings.Contains(c.lines.Text(), text) {
			return
		}
	}
	c.t.Fatalf("%v does not say %q:\n%s", c.cmd.Args, text, strings.Join(c.said, "\n"))
}

// end waits for the program's good end, and returns what it printed.
func (c *command) end() string {
	c.t.Helper()
	for c.lines.Scan() {
		c.said = append(c.said, c.lines.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("%v: %v\n%s", c.cmd.Args, err, strings.Join(c.said, "\n"))
	}
	return c.out.String()
}

// awaitPicture waits until the owner has opened a picture of the camera's first event.
func (w *ward) awaitPicture() {
	w.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		err = w.look()
		for ref := range w.opened {
			if w.opened[ref].Header.Kind == seal.KindThumbnail {
				return
			}
		}
	}
	w.t.Fatalf("no picture was opened: %v", err)
}
