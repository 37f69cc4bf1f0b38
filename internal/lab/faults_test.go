package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/lab/board"
	"github.com/lensward/lensward/internal/lab/guest"
	"github.com/lensward/lensward/internal/lab/usbcam"
)

// TestUnplugged pulls the plug of a camera at random moments, again and again, and
// plugs it in at another port. Each time the agent has to find it again, and in the
// end it holds no more than it did.
func TestUnplugged(t *testing.T) {
	cache(t)
	times := number(t, unplugsVariable, 3)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b, err := board.Named("arm64")
	must(t, err)
	m, hub := bootGuest(t, b, "uvcvideo", "vhci_hcd"), startStation(t)
	saw := newRecord()
	cam, plug := plugIn(t, m, webcam(loop(walks(t, 640, 480, 10, 7*time.Second)), saw))
	node := awaitVideo(t, m, "Walks").Path
	source := "v4l2:" + node + "?width=640&height=480&fps=10&format=mjpeg"

	calm := newWard(t, m, hub, "calm", source)
	calm.start()
	calm.awaitFrames(20)
	want := calm.dump()

	w := newWard(t, m, hub, "unplugged", source)
	w.start()
	w.awaitFrames(20)
	before, err := m.Census(t.Context(), w.pid)
	must(t, err)
	var longest, all time.Duration
	for i := range times {
		time.Sleep(time.Duration(random.Int64N(int64(3 * time.Second))))
		cam.Unplug()
		time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		plug.Port = random.IntN(8)
		replug(t, m, plug)
		began := time.Now()
		w.awaitFrames(5)
		took := time.Since(began)
		longest, all = max(longest, took), all+took
		if i%10 == 9 {
			t.Logf("unplugged %d times", i+1)
		}
		if t.Failed() {
			t.Fatalf("unplugged for the %dth time", i+1)
		}
	}
	w.awaitEvents(1)
	w.judge(saw.is)
	after, err := m.Census(t.Context(), w.pid)
	must(t, err)
	if after.Videos != before.Videos || after.Maps != before.Maps || after.Files > before.Files+2 || after.Threads > before.Threads+6 {
		t.Errorf("before, the agent held %+v, and after %d unplugs %+v", before, times, after)
	}
	got := w.dump()
	if got.camera > want.camera || got.all > want.all+8 { // connections and the collector come and go
		t.Errorf("after %d unplugs the goroutines are %+v, in an agent whose camera stayed %+v", times, got, want)
	}
	t.Logf("unplugged %d times; back after %v on average, %v at most; then %+v and goroutines %+v, before %+v and %+v",
		times, (all / time.Duration(times)).Round(time.Millisecond), longest.Round(time.Millisecond), after, got, before, want)
}

// replug plugs a camera in as soon as the port takes it.
func replug(t *testing.T, m *Machine, plug guest.AttachCall) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = m.Attach(t.Context(), plug); err == nil {
			return
		}
	}
	t.Fatalf("the camera cannot be plugged in: %v", err)
}

// goroutines counts those of an agent, and the ones among them that are at work on
// its camera.
type goroutines struct{ all, camera int }

// dump ends the agent with SIGQUIT and counts the goroutines of which it then
// tells.
func (w *ward) dump() (n goroutines) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	must(w.t, w.m.Signal(ctx, w.pid, int(syscall.SIGQUIT)))
	exit, err := w.m.Wait(ctx, w.pid)
	must(w.t, err)
	w.pid = 0
	for _, stack := range strings.Split(w.log(1_000_000), "\ngoroutine ")[1:] {
		n.all++
		if strings.Contains(stack, module+"/capture") {
			n.camera++
		}
	}
	if exit.Code != 2 || n.camera == 0 {
		w.t.Fatalf("the agent ended with %+v and told of the goroutines %+v", exit, n)
	}
	return n
}

// Vivid's faults (vivid-ctrls.c).
const (
	vividDropped    = 0x00f0f040 // percentage of buffers
	vividDisconnect = 0x00f0f041
	vividBroken     = 0x00f0f042 // the next buffer says that it is
	vividRequest    = 0x00f0f043 // the next REQBUFS fails
	vividQueue      = 0x00f0f044 // the next QBUF
	vividStart      = 0x00f0f045 // the next STREAMON
	vividFailed     = 0x00f0f046 // the queue, until it is set up anew
)

// vividTrial is a fault, or two of which the second brings the first about.
type vividTrial struct {
	name   string
	faults []uint32
	value  int32
}

func vividTrials() []vividTrial {
	return []vividTrial{
		{"buffers dropped", []uint32{vividDropped}, 50},
		{"no buffers dropped", []uint32{vividDropped}, 0},
		{"a broken buffer", []uint32{vividBroken}, 1},
		{"disconnected", []uint32{vividDisconnect}, 1},
		{"queue failed", []uint32{vividFailed}, 1},
		{"no buffers to be had", []uint32{vividRequest, vividFailed}, 1},
		{"no buffer can be queued", []uint32{vividQueue}, 1},
		{"no buffer can be queued at the start", []uint32{vividQueue, vividFailed}, 1},
		{"does not start", []uint32{vividStart, vividFailed}, 1},
	}
}

// TestVividFaults has the kernel's made-up camera fail in every way that it can, in
// the short run in some. The agent goes on, or finds its way back, and seals no broken picture.
func TestVividFaults(t *testing.T) {
	cache(t)
	b, err := board.Named("arm64")
	must(t, err)
	m, hub := bootGuest(t, b, vivid), startStation(t)
	ctx := t.Context()
	node := awaitVideo(t, m, "vivid").Path
	must(t, m.SetControl(ctx, node, vividText, vividNoText))
	w := newWard(t, m, hub, "vivid", "v4l2:"+node+"?width=640&height=360&fps=10&format=yuyv")
	w.start()
	w.awaitFrames(20)
	must(t, m.SetControl(ctx, node, vividMovement, vividMovesSlow))
	trials := vividTrials()
	if !long() {
		trials = trials[:5] // beyond, the agent's pauses grow
	}
	for _, c := range trials {
		for _, id := range c.faults {
			if err := m.SetControl(ctx, node, id, c.value); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		began := time.Now()
		w.awaitFrames(10)
		t.Logf("%s: ten frames more after %v", c.name, time.Since(began).Round(time.Millisecond))
	}
	must(t, m.SetControl(ctx, node, vividMovement, vividStill))
	w.awaitEvents(1)
	w.judge(isBars)
}

// TestCameraFaults has a USB camera send every kind of broken frame among good ones.
// What is sealed is always a picture that the camera gave whole.
func TestCameraFaults(t *testing.T) {
	cache(t)
	b, err := board.Named("arm64")
	must(t, err)
	m, hub := bootGuest(t, b, "uvcvideo", "vhci_hcd"), startStation(t)
	saw := newRecord()
	d := webcam(loop(walks(t, 640, 480, 10, 7*time.Second)), saw)
	d.Fault = func(_ int, n uint64) usbcam.Fault {
		if n%5 != 4 {
			return usbcam.None
		}
		return usbcam.Fault(n / 5 % uint64(usbcam.Hang)) // every one but this
	}
	plugIn(t, m, d)
	node := awaitVideo(t, m, "Walks").Path
	w := newWard(t, m, hub, "faults", "v4l2:"+node+"?width=640&height=480&fps=10&format=mjpeg")
	w.start()
	w.awaitEvents(2)
	w.judge(saw.is)
	saw.mu.Lock()
	defer saw.mu.Unlock()
	for f := usbcam.Truncated; f < usbcam.Hang; f++ {
		if saw.faults[f] == 0 {
			t.Errorf("no frame had the fault %v", f)
		}
	}
	t.Logf("the camera gave %s", describe(saw.faults))
}

func describe(faults map[usbcam.Fault]int) string {
	var parts []string
	for f := usbcam.None; f < usbcam.Hang; f++ {
		parts = append(parts, fmt.Sprintf("%d %v", faults[f], f))
	}
	return strings.Join(parts, ", ")
}
