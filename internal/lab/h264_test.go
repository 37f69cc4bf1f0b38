package lab

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
	"github.com/lensward/lensward/capture/scene"
	"github.com/lensward/lensward/internal/lab/usbcam"
)

// filmH264 has a camera of two nodes: H.264, which the agent takes as it is, and
// small JPEGs, on which it finds motion and of which it makes thumbnails.
func filmH264(t *testing.T, m *Machine, s *station) {
	const fps, length = 10, 12 * time.Second
	video := encodeH264(t, walks(t, 1280, 720, fps, length), fps)
	small := walks(t, 640, 360, fps, length)
	saw, previews := newRecord(), newRecord()
	interval := []time.Duration{time.Second / fps}
	node := func(e usbcam.Encoding, width, height int, reel [][]byte) usbcam.Stream {
		size := usbcam.Size{Width: width, Height: height, Intervals: interval}
		return usbcam.Stream{Formats: []usbcam.Format{{Encoding: e, Sizes: []usbcam.Size{size}}}, Reel: film(reel)}
	}
	plugIn(t, m, usbcam.Description{
		VendorID: 0x1209, ProductID: 0xca3f, Name: "Twofold", Serial: "0002",
		Streams: []usbcam.Stream{node(usbcam.H264, 1280, 720, video), node(usbcam.MJPEG, 640, 360, small)},
		Served: func(f usbcam.Served) {
			if f.Stream == 0 {
				saw.served(f)
			} else {
				previews.served(f)
			}
		},
	})
	w := newWard(t, m, s, "h264", "v4l2:"+awaitVideo(t, m, "Twofold").Path+"?width=1280&height=720&fps=10&format=h264")
	w.start()
	w.awaitEvents(1)
	w.judgeEach(previews.is, saw.is)
}

// encodeH264 makes H.264 of pictures, a key frame each second, as access units in
// Annex B.
func encodeH264(t *testing.T, pictures [][]byte, fps int) [][]byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.mjpeg"), filepath.Join(dir, "out.mp4")
	var all []byte
	for _, p := range pictures {
		all = append(all, jpegdc.WithTables(p)...)
	}
	must(t, os.WriteFile(in, all, 0o600))
	said, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "mjpeg", "-framerate", fmt.Sprint(fps), "-i", in,
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", fmt.Sprint(fps), "-pix_fmt", "yuv420p", out).CombinedOutput()
	if err != nil {
		t.Fatalf("encode: %v\n%s", err, said)
	}
	f, err := scene.OpenFile(out, scene.FileOptions{Fast: true})
	must(t, err)
	var units [][]byte
	must(t, f.Run(t.Context(), func(f capture.Frame) { units = append(units, f.Data) }))
	if len(units) != len(pictures) {
		t.Fatalf("%d access units of %d pictures", len(units), len(pictures))
	}
	return units
}

// isJPEG tells JPEGs from access units.
func isJPEG(frame []byte) bool { return bytes.HasPrefix(frame, []byte{0xff, 0xd8}) }

// unitsSum is an access unit's: of its NAL units, whatever start codes divide them.
func unitsSum(frame []byte) [sha256.Size]byte {
	h := sha256.New()
	for _, unit := range bytes.Split(frame, []byte{0, 0, 1}) {
		unit = bytes.TrimRight(unit, "\x00") // a longer start code, or trailing zeros
		if len(unit) > 0 && unit[0]&0x1f != 9 {
			fmt.Fprintf(h, "%d:", len(unit))
			h.Write(unit)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
