package usbcam_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/lab/usbcam"
	"github.com/lensward/lensward/internal/lab/usbip"
	"github.com/lensward/lensward/internal/lab/usbip/usbiptest"
)

// counted is a reel whose frames say which they are; they are long enough for
// several payloads.
type counted struct{}

// Frame is the frame of this number.
func (counted) Frame(m usbcam.Mode, n uint64) ([]byte, error) {
	text := fmt.Sprintf("%v %dx%d %d;", m.Encoding, m.Width, m.Height, n)
	return bytes.Repeat([]byte(text), 50_000/len(text)), nil
}

// camera has two nodes.
func camera() usbcam.Description {
	fast, slow := time.Second/30, time.Second/5
	return usbcam.Description{
		VendorID: 0x1209, ProductID: 0xca3e, Name: "Test", Serial: "S1", Controls: usbcam.DefaultControls(),
		Streams: []usbcam.Stream{
			{Reel: counted{}, Formats: []usbcam.Format{
				{Encoding: usbcam.MJPEG, Sizes: []usbcam.Size{
					{Width: 640, Height: 480, Intervals: []time.Duration{fast, slow}},
					{Width: 1280, Height: 720, Intervals: []time.Duration{fast, slow, fast}, Continuous: true},
				}},
				{Encoding: usbcam.YUYV, Sizes: []usbcam.Size{{Width: 320, Height: 240, Intervals: []time.Duration{slow}}}},
			}},
			{Reel: counted{}, Formats: []usbcam.Format{
				{Encoding: usbcam.H264, Sizes: []usbcam.Size{{Width: 1280, Height: 720, Intervals: []time.Duration{fast}}}},
			}},
		},
	}
}

func plug(t *testing.T, d usbcam.Description) (*usbiptest.Host, *usbcam.Camera) {
	t.Helper()
	c, err := usbcam.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return usbiptest.Plug(t, usbcam.BusID, c.Serve), c
}

// read makes a control transfer, which has to succeed.
func read(t *testing.T, h *usbiptest.Host, s usbip.Setup) []byte {
	t.Helper()
	b, err := h.Read(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A host reads the head of the configuration, then all of it. Every descriptor has
// to end where the next begins, and the class's own lengths have to be right.
func TestEnumeration(t *testing.T) {
	h, _ := plug(t, camera())
	device := read(t, h, usbip.Setup{RequestType: 0x80, Request: 6, Value: 0x0100, Length: 64})
	if len(device) != 18 || device[0] != 18 || binary.LittleEndian.Uint16(device[8:]) != 0x1209 {
		t.Errorf("device descriptor % x", device)
	}
	head := read(t, h, usbip.Setup{RequestType: 0x80, Request: 6, Value: 0x0200, Length: 9})
	total := binary.LittleEndian.Uint16(head[2:])
	all := read(t, h, usbip.Setup{RequestType: 0x80, Request: 6, Value: 0x0200, Length: total})
	if len(all) != int(total) || head[4] != 3 {
		t.Fatalf("configuration of %d bytes and %d interfaces, its head says %d", len(all), head[4], total)
	}
	kinds := map[[2]byte]int{}
	for rest := all; len(rest) > 0; rest = rest[rest[0]:] {
		if int(rest[0]) < 3 || int(rest[0]) > len(rest) {
			t.Fatalf("a descriptor of %d bytes, %d are left", rest[0], len(rest))
		}
		kind := [2]byte{rest[1]}
		if rest[1] == 0x24 {
			kind[1] = rest[2]
		}
		kinds[kind]++
		if kind == [2]byte{0x24, 7} {
			intervals := map[byte]int{0: 3, 2: 2}[rest[25]] // 0 is continuous: shortest, longest, step
			if int(rest[0]) != 26+4*intervals {
				t.Errorf("an MJPEG frame descriptor of %d bytes has %d intervals", rest[0], rest[25])
			}
		}
	}
	// 3 interfaces, 2 endpoints; the control interface's header shares its subtype with
	// the streams' input headers.
	want := map[[2]byte]int{
		{2}: 1, {11}: 1, {4}: 3, {5}: 2, {0x24, 1}: 3, {0x24, 2}: 1, {0x24, 3}: 2, {0x24, 5}: 2, // unit, raw frame
		{0x24, 4}: 1, {0x24, 6}: 1, {0x24, 7}: 2, {0x24, 13}: 3, {0x24, 16}: 1, {0x24, 17}: 1,
	}
	for kind, n := range want {
		if kinds[kind] != n {
			t.Errorf("%d descriptors of type %#x, want %d", kinds[kind], kind, n)
		}
	}
	serial := read(t, h, usbip.Setup{RequestType: 0x80, Request: 6, Value: 0x0303, Index: 0x0409, Length: 255})
	if want := "\x06\x03S\x001\x00"; string(serial) != want {
		t.Errorf("serial number %q, want %q", serial, want)
	}
}

// Probe and commit requests of a stream (USB Video 1.1, 4.3.1).
func probe(request uint8, stream int, selector uint16) usbip.Setup {
	kind := uint8(0xa1)
	if request == 1 {
		kind = 0x21
	}
	return usbip.Setup{RequestType: kind, Request: request, Value: selector << 8, Index: uint16(stream + 1), Length: 34}
}

// wish is a proposal.
func wish(format, size byte, interval time.Duration) []byte {
	b := make([]byte, 34)
	b[0], b[2], b[3] = 1, format, size
	binary.LittleEndian.PutUint32(b[4:], uint32(interval/100))
	return b
}

// commit agrees on a mode, as a driver does it.
func commit(t *testing.T, h *usbiptest.Host, stream int, w []byte) (interval time.Duration) {
	t.Helper()
	if err := h.Write(probe(1, stream, 1), w); err != nil {
		t.Fatal(err)
	}
	got := read(t, h, probe(0x81, stream, 1))
	if len(got) != 34 {
		t.Fatalf("a proposal of %d bytes", len(got))
	}
	if err := h.Write(probe(1, stream, 2), got); err != nil {
		t.Fatal(err)
	}
	return 100 * time.Duration(binary.LittleEndian.Uint32(got[4:]))
}

func TestNegotiation(t *testing.T) {
	h, _ := plug(t, camera())
	for _, c := range []struct {
		stream       int
		format, size byte
		ask, want    time.Duration
	}{
		{0, 1, 1, time.Second / 30, 33333300}, {0, 1, 1, time.Second / 7, time.Second / 5}, {0, 1, 1, 0, 33333300},
		{0, 1, 2, time.Second / 15, 66666600}, {0, 1, 2, time.Second, time.Second / 5},
		{0, 2, 1, time.Second / 30, time.Second / 5}, {0, 9, 9, 0, time.Second / 5}, {1, 1, 1, 0, 33333300},
	} {
		got := commit(t, h, c.stream, wish(c.format, c.size, c.ask))
		if (got - c.want).Abs() > time.Microsecond {
			t.Errorf("stream %d, format %d, size %d: %v for %v, want %v", c.stream, c.format, c.size, got, c.ask, c.want)
		}
	}
	if err := h.Write(probe(1, 0, 1), []byte{1, 2, 3}); err == nil {
		t.Error("a proposal of 3 bytes was taken")
	}
	if _, err := h.Read(probe(0x81, 7, 1)); err == nil {
		t.Error("a stream that is not there answered")
	}
}

func TestControls(t *testing.T) {
	h, c := plug(t, camera())
	brightness := usbip.Setup{RequestType: 0xa1, Request: 0x82, Value: 0x0200, Index: 0x0200, Length: 2}
	if low := read(t, h, brightness); int16(binary.LittleEndian.Uint16(low)) != -64 {
		t.Errorf("lowest brightness % x", low)
	}
	set := usbip.Setup{RequestType: 0x21, Request: 1, Value: 0x0200, Index: 0x0200}
	if err := h.Write(set, []byte{0xf6, 0xff}); err != nil {
		t.Fatal(err)
	}
	if err := h.Write(set, []byte{0xff, 0x7f}); err == nil {
		t.Error("a brightness out of range was taken")
	}
	if i := slices.IndexFunc(c.Controls(), func(c usbcam.Control) bool { return c.Name == "brightness" && c.Value == -10 }); i < 0 {
		t.Errorf("the camera's controls are %+v", c.Controls())
	}
}

// frame is what a host makes of payloads. bad says that one had the error bit.
type frame struct {
	data []byte
	bad  bool
}

// frames takes payloads until a number of frames are there, as the kernel's driver
// puts them together: a frame ends where a payload says so, or where the next one's
// number begins; what goes on by the number of a frame that has ended is passed
// over.
func frames(t *testing.T, h *usbiptest.Host, endpoint uint32, n int) (out []frame) {
	t.Helper()
	var now *frame
	id, ended := byte(0), byte(0xff)
	end := func() { out, now, ended = append(out, *now), nil, id }
	for len(out) < n {
		p, err := h.Bulk(endpoint, 16<<10)
		if err != nil {
			t.Fatal(err)
		}
		got := p[1] & 1
		if now != nil && got != id {
			end()
		}
		if now == nil {
			if got == ended {
				continue
			}
			now, id = &frame{}, got
		}
		now.data = append(now.data, p[p[0]:]...)
		now.bad = now.bad || p[1]&0x40 != 0
		if p[1]&2 != 0 {
			end()
		}
	}
	return out
}

// Frames come whole, in order, at their pace, and from the first again after a
// stop.
func TestStreaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []usbcam.Served
		d := camera()
		d.Served = func(s usbcam.Served) { told = append(told, s) }
		h, _ := plug(t, d)
		for start := range 2 {
			interval := commit(t, h, 0, wish(1, 1, time.Second/5))
			began := time.Now()
			for n, f := range frames(t, h, 1, 11) {
				want, _ := counted{}.Frame(usbcam.Mode{Encoding: usbcam.MJPEG, Width: 640, Height: 480}, uint64(n))
				if !bytes.Equal(f.data, want) || f.bad {
					t.Fatalf("start %d: frame %d begins %.40q", start, n, f.data)
				}
			}
			if took := time.Since(began); took != 10*interval {
				t.Errorf("11 frames came within %v, want %v", took, 10*interval)
			}
			synctest.Wait()
			last := told[len(told)-1]
			if len(told) != 11*(start+1) || last.Start != uint64(start+1) || last.N != 10 || last.Mode.Width != 640 {
				t.Errorf("told of %d frames, last %d of start %d", len(told), last.N, last.Start)
			}
			// What a driver does at the end: it clears the halt of the pipe.
			if err := h.Write(usbip.Setup{RequestType: 0x02, Request: 1, Index: 0x81}, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Every fault spoils its own frame and no other.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for fault := usbcam.Truncated; fault < usbcam.Hang; fault++ {
			d := camera()
			d.Fault = func(_ int, n uint64) usbcam.Fault {
				if n == 2 {
					return fault
				}
				return usbcam.None
			}
			h, _ := plug(t, d)
			commit(t, h, 0, wish(1, 1, time.Second/30))
			want := wantFrames(fault)
			for i, f := range frames(t, h, 1, len(want)) {
				if got := describe(f); got != want[i] {
					t.Errorf("%v: frame %d is %q, want %q", fault, i, got, want[i])
				}
			}
		}
	})
}

// wantFrames is what a host makes of five frames, the third of which has a fault.
func wantFrames(f usbcam.Fault) []string {
	third := map[usbcam.Fault]string{
		usbcam.Truncated: "2 short", usbcam.ErrorBit: "2 whole bad", usbcam.MissingEnd: "2 whole",
		usbcam.LostPayload: "2 short", usbcam.Empty: "empty",
	}[f]
	if f == usbcam.StuckID { // it is passed over
		return []string{"0 whole", "1 whole", "3 whole", "4 whole"}
	}
	return []string{"0 whole", "1 whole", third, "3 whole", "4 whole"}
}

func describe(f frame) string {
	if len(f.data) == 0 {
		return "empty"
	}
	var n int
	if _, err := fmt.Sscanf(string(f.data[:20]), "MJPEG 640x480 %d;", &n); err != nil {
		return err.Error()
	}
	whole, _ := counted{}.Frame(usbcam.Mode{Encoding: usbcam.MJPEG, Width: 640, Height: 480}, uint64(n))
	text := fmt.Sprint(n, " short")
	if bytes.Equal(f.data, whole) {
		text = fmt.Sprint(n, " whole")
	}
	if f.bad {
		text += " bad"
	}
	return text
}

// A camera that hangs gives nothing, and can be unplugged.
func TestHangAndUnplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := camera()
		d.Fault = func(_ int, n uint64) usbcam.Fault {
			if n == 3 {
				return usbcam.Hang
			}
			return usbcam.None
		}
		h, c := plug(t, d)
		commit(t, h, 0, wish(1, 1, time.Second/30))
		frames(t, h, 1, 3)
		_, answer, err := h.Submit(1, usbip.Setup{}, nil, 16<<10)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		select {
		case a := <-answer:
			t.Errorf("a camera that hangs gave %d bytes", a.Length)
		default:
		}
		c.Unplug()
		<-h.Gone()
		if c.Plugged() != 1 {
			t.Errorf("plugged in %d times", c.Plugged())
		}
	})
}

func TestDescriptionsThatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*usbcam.Description){
		"no streams":           func(d *usbcam.Description) { d.Streams = nil },
		"no reel":              func(d *usbcam.Description) { d.Streams[0].Reel = nil },
		"no formats":           func(d *usbcam.Description) { d.Streams[0].Formats = nil },
		"no intervals":         func(d *usbcam.Description) { d.Streams[0].Formats[0].Sizes[0].Intervals = nil },
		"continuous, no steps": func(d *usbcam.Description) { d.Streams[0].Formats[0].Sizes[0].Continuous = true },
		"an encoding":          func(d *usbcam.Description) { d.Streams[0].Formats[0].Encoding = 9 },
		"a size":               func(d *usbcam.Description) { d.Streams[0].Formats[0].Sizes[0].Width = 1 << 16 },
	} {
		d := camera()
		spoil(&d)
		if _, err := usbcam.New(d); err == nil {
			t.Errorf("%s: a camera was made", name)
		}
	}
}
