package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/internal/lab/board"
	"github.com/lensward/lensward/internal/lab/guest"
	"github.com/lensward/lensward/internal/lab/usbcam"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// What scripts/lab.sh sets.
const (
	// cacheVariable names the directory with the kernels. Without it there is no lab.
	cacheVariable = "LENSWARD_LAB"
	// unplugsVariable says how often the plug is pulled, longVariable that there is time.
	unplugsVariable = "LENSWARD_LAB_UNPLUGS"
	longVariable    = "LENSWARD_LAB_LONG"
)

// patience bounds every wait for something that has to come. Guests are slow.
const patience = 3 * time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cache is where the kernels are.
func cache(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(cacheVariable)
	if dir == "" {
		t.Skip("scripts/lab.sh runs this: it fetches kernels and takes minutes")
	}
	return dir
}

// long says that everything is to be done, and not what a test in passing can afford.
func long() bool { return os.Getenv(longVariable) != "" }

// number is a variable's, or the default.
func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	must(t, err)
	return n
}

// station is a hub on this machine, as guests reach it.
type station struct {
	hub     *hub.Hub
	mqtt    string
	devices string
	ca      []byte
}

func startStation(t *testing.T) *station {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h := hubtest.Start(t, hub.Options{
		Dir: filepath.Join(t.TempDir(), "hub"), Hosts: []string{guest.HostAddress},
		// Who asks the hub where it is has to be told the address that leads to it from a
		// guest, and on the loopback alone it would not call itself by that.
		MQTTListen: ":0", DeviceListener: l, DeviceListen: net.JoinHostPort(guest.HostAddress, "0"), SyncInterval: time.Minute,
	})
	return &station{hub: h, mqtt: h.MQTTAddr(), devices: h.DeviceURL(), ca: h.CAPEM()}
}

// testLog shows what is wrong.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// build compiles a program for a board, as it ships.
func build(t *testing.T, b board.Board, pkg, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.GOARCH, "GOARM="+b.GOARM)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, said)
	}
}

const (
	module = "github.com/lensward/lensward"
	// vivid is the kernel's made-up camera: one node that captures.
	vivid = "vivid n_devs=1 node_types=0x1"
)

// bootGuest boots a board with the agent in it, before the modules' cameras.
func bootGuest(t *testing.T, b board.Board, modules ...string) *Machine {
	t.Helper()
	kernels := filepath.Join(cache(t), "kernels")
	dir := t.TempDir()
	build(t, b, module+"/internal/lab/guest/init", filepath.Join(dir, "init"))
	build(t, b, module+"/cmd/lensward", filepath.Join(dir, "lensward"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := Boot(ctx, Options{
		Board: b, Kernel: filepath.Join(kernels, b.Kernel), Init: filepath.Join(dir, "init"),
		Programs: map[string]string{"/bin/lensward": filepath.Join(dir, "lensward")},
		Modules:  modules, Dir: dir,
	})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console:\n%s", m.Console(30))
		}
		if err := m.Close(); err != nil {
			t.Errorf("end guest: %v", err)
		}
	})
	t.Logf("%s: Linux %s, %s, called after %v", b.Name, m.Facts.Kernel, m.Facts.Machine, m.Booted.Round(100*time.Millisecond))
	return m
}

// plugIn serves a camera on this machine, and plugs it into the guest.
func plugIn(t *testing.T, m *Machine, d usbcam.Description) (*usbcam.Camera, guest.AttachCall) {
	t.Helper()
	cam, err := usbcam.New(d)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cam.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("camera: %v", err)
		}
	})
	call := guest.AttachCall{Address: net.JoinHostPort(guest.HostAddress, portOf(l)), BusID: usbcam.BusID}
	must(t, m.Attach(t.Context(), call))
	return cam, call
}

func portOf(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

// awaitVideo waits for a node whose name has this in it.
func awaitVideo(t *testing.T, m *Machine, name string) guest.Video {
	t.Helper()
	var nodes []guest.Video
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var err error
		nodes, err = m.Videos(t.Context())
		must(t, err)
		if i := slices.IndexFunc(nodes, func(v guest.Video) bool { return strings.Contains(v.Name, name) }); i >= 0 {
			return nodes[i]
		}
	}
	t.Fatalf("no node is called %q: %v", name, nodes)
	return guest.Video{}
}

// ward is an agent in a guest, its owner and what the owner got to see.
type ward struct {
	t       *testing.T
	m       *Machine
	station *station
	keys    *keyring.Keyring
	id      seal.ID
	dir     string // in the guest
	pid     int
	viewer  *viewer.Viewer
	opened  map[seal.Ref]viewer.Opened
}

// settings make short events in short parts.
const settings = `
[camera]
source = %q
[event]
pre_roll = "1s"
post_roll = "2s"
merge = "1s"
longest = "10s"
per_hour = 3600
[clip]
part = "1s"
memory = "8MiB"
[state]
dir = %q
[hub]
broker = %q
url = %q
ca_file = %q
connect_window = "0s"
`

// newWard pairs a device with an owner of its own, and puts it into the guest.
func newWard(t *testing.T, m *Machine, s *station, name, source string) *ward {
	t.Helper()
	w := &ward{t: t, m: m, station: s, dir: "/run/" + name, opened: map[seal.Ref]viewer.Opened{}}
	local := t.TempDir()
	var err error
	w.keys, err = keyring.New(filepath.Join(local, "owner"))
	must(t, err)
	state := filepath.Join(local, "state")
	must(t, os.MkdirAll(state, 0o700))
	dev, err := device.Open(state, "lab")
	must(t, err)
	draft, err := w.keys.Draft(dev.Key().SPKI(), nil, time.Now())
	must(t, err)
	signed, err := ownership.Sign(w.keys.Root(), draft)
	must(t, err)
	owned, err := dev.Accept(signed, time.Now())
	must(t, err)
	must(t, w.keys.Keep(owned))
	w.id = dev.ID()
	must(t, dev.Close())
	w.put(state, source)
	w.openViewer()
	return w
}

// openViewer has the owner look, from now on.
func (w *ward) openViewer() {
	w.t.Helper()
	known, err := w.keys.Ownerships()
	must(w.t, err)
	w.viewer, err = viewer.New(viewer.Options{
		HubURL: w.station.hub.ViewerURL(), Hub: w.station.hub.ID(), Known: known, State: &viewer.MemoryState{}, Log: testLog(w.t),
		Keys: viewer.Keys{Owner: w.keys.Owner(), Signer: w.keys.Viewer(), Identities: w.keys.Household()},
	})
	must(w.t, err)
}

// put copies a state directory into the guest, with the agent's configuration.
func (w *ward) put(state, source string) {
	w.t.Helper()
	ctx := w.t.Context()
	must(w.t, fs.WalkDir(os.DirFS(state), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(state, name))
		if err != nil {
			return err
		}
		return w.m.Put(ctx, guest.File{Path: w.dir + "/state/" + name, Mode: 0o600, Data: b})
	}))
	must(w.t, w.m.Put(ctx, guest.File{Path: w.dir + "/ca.pem", Mode: 0o600, Data: w.station.ca}))
	text := fmt.Sprintf(settings, source, w.dir+"/state", w.station.mqtt, w.station.devices, w.dir+"/ca.pem")
	must(w.t, w.m.Put(ctx, guest.File{Path: w.dir + "/lensward.toml", Mode: 0o600, Data: []byte(text)}))
}

// start starts the agent; it is stopped when the test ends.
func (w *ward) start() {
	w.t.Helper()
	pid, err := w.m.Start(w.t.Context(), guest.Program{
		Path: "/bin/lensward", Args: []string{"--config", w.dir + "/lensward.toml"}, Log: w.dir + "/log",
	})
	must(w.t, err)
	w.pid = pid
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("agent:\n%s", w.log(40))
		}
		if w.pid != 0 {
			w.stop()
		}
	})
}

// stop has the agent end, and wants it to end well.
func (w *ward) stop() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(w.t, w.m.Signal(ctx, w.pid, int(syscall.SIGTERM)))
	exit, err := w.m.Wait(ctx, w.pid)
	w.pid = 0
	if err != nil || exit != (guest.Exit{}) {
		w.t.Errorf("the agent ended with %+v, %v", exit, err)
	}
}

// log is the end of what the agent said.
func (w *ward) log(lines int) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := w.m.Get(ctx, w.dir+"/log")
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// status is the part of the agent's status that these tests look at.
type status struct {
	Owner      string
	Conditions []condition
	Recorder   struct{ Frames uint64 }
	Spool      struct{ Depth int }
}

// condition is something that ails the agent's camera.
type condition struct{ Name, Cause string }

// status asks the agent how it is.
func (w *ward) status() (s status, err error) {
	b, err := w.m.Ask(w.t.Context(), w.dir+"/state/agent.sock", "/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// look has the owner fetch what there is. Until the camera has shown its ownership
// record, the hub knows no such owner.
func (w *ward) look() error {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	return w.viewer.SyncOnce(ctx, func(e viewer.Event) {
		switch e := e.(type) {
		case viewer.Opened:
			w.opened[e.Header.Ref()] = e
		case viewer.Trouble, viewer.Unavailable, viewer.Withheld, viewer.RecordRefused:
			w.t.Errorf("the viewer says %+v", e)
		}
	})
}

// awaitEvents waits until the owner has this many events whole: a record, and all
// the parts that it speaks of.
func (w *ward) awaitEvents(n int) []viewer.Footage {
	w.t.Helper()
	var all []viewer.Footage
	var looked error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		looked = w.look()
		all = w.viewer.Footage()
		if whole := slices.DeleteFunc(slices.Clone(all), func(f viewer.Footage) bool {
			return f.Record == nil || len(f.Clips) != int(f.Record.Parts) || len(f.Thumbnails) == 0
		}); len(whole) >= n {
			return whole
		}
		select {
		case <-w.m.Ended():
			w.t.Fatal("the guest ended by itself")
		default:
		}
	}
	s, err := w.status()
	w.t.Fatalf("%d events are wanted, the owner has %d: %+v, %v; the agent says %+v, %v", n, len(all), all, looked, s, err)
	return nil
}

// body is what was in an opened item.
func (w *ward) body(h seal.Header) []byte { return w.opened[h.Ref()].Body }
