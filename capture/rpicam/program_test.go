//go:build linux

package rpicam

import (
	"bytes"
	_ "embed"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed testdata/stream.h264
var stream []byte

// The stream has 20 pictures of 128×96, a key frame each 8.
const (
	streamPictures = 20
	streamGOP      = 8
)

// TestMain is the tests, or the made-up program: what stands in for rpicam-vid, and
// is not it. It takes the options that rpicam-vid has, and refuses others.
func TestMain(m *testing.M) {
	if mode := os.Getenv("LIBCAMERA_MADE_UP"); mode != "" {
		os.Exit(madeUp(mode, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program puts the made-up program in place.
func program(t *testing.T, mode string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rpicam-vid")
	script := fmt.Sprintf("#!/bin/sh\nLIBCAMERA_MADE_UP='%s' exec '%s' \"$@\"\n", mode, self)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// madeUp behaves as rpicam-vid is documented to, and as it is not.
func madeUp(mode string, args []string) int {
	fail := func(text string) int {
		fmt.Fprintf(os.Stderr, "ERROR: *** %s ***\n", text)
		return 255
	}
	codec, wrong := options(args)
	if wrong != "" {
		return fail("unrecognised option '" + wrong + "'")
	}
	fmt.Fprintln(os.Stderr, "[0:01:02.345] [678]  INFO Camera camera_manager.cpp:326 libcamera v0.5.0")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	switch mode {
	case "none":
		return fail("no cameras available")
	case "busy":
		fmt.Fprintln(os.Stderr, "[0:01:02.345] [678]  INFO Camera camera.cpp:839 Pipeline handler in use by another process")
		return fail("failed to acquire camera /base/soc/i2c0mux/i2c@1/imx219@10")
	case "silent":
		fmt.Fprintln(os.Stderr, "ERROR: Device timeout detected, attempting a restart!!!")
		<-stop
		return 0
	case "stubborn":
		signal.Ignore(os.Interrupt)
	case "noise":
		line := strings.Repeat("bottles of beer on the wall\xff\xd8\n", 1000)
		for {
			if _, err := os.Stdout.WriteString(line); err != nil {
				return 1
			}
		}
	case "list":
		fmt.Print(listText)
		return 0
	case "empty list":
		fmt.Println("No cameras available!")
		return 0
	case "endless list":
		for {
			if _, err := fmt.Print(listText); err != nil {
				return 1
			}
		}
	}
	frames := made(codec)
	if mode == "ends" {
		for _, f := range frames {
			os.Stdout.Write(f)
		}
		return 0
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return 0
		case <-time.After(2 * time.Millisecond):
		}
		if mode == "dies" && i == 10 {
			syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		}
		if _, err := os.Stdout.Write(frames[i%len(frames)]); err != nil {
			return fail("failed to write output bytes")
		}
	}
}

// made is what one round of the stream consists of: an H.264 stream in odd pieces,
// or JPEGs.
func made(codec string) [][]byte {
	if codec == "h264" {
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 777)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		return pieces
	}
	var all [][]byte
	for i := range streamPictures {
		all = append(all, picture(128, 96, byte(10*i)))
	}
	return all
}

// picture is a grey JPEG.
func picture(width, height int, luma byte) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = luma + byte(i%width)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// options reads the command line as rpicam-vid would: it returns the codec, and the
// first option that does not exist.
func options(args []string) (codec, wrong string) {
	const flags = " --nopreview --inline --hflip --vflip --flush --list-cameras "
	const valued = " --timeout --camera --width --height --framerate --codec --intra --bitrate --libav-format --quality --shutter --gain --output "
	codec = "h264"
	for i := 0; i < len(args); i++ {
		switch {
		case strings.Contains(flags, " "+args[i]+" "):
		case strings.Contains(valued, " "+args[i]+" ") && i+1 < len(args):
			if args[i] == "--codec" {
				codec = args[i+1]
			}
			i++
		default:
			return codec, args[i]
		}
	}
	return codec, ""
}

// listText is a list of two cameras, as rpicam-hello writes it.
const listText = `Available cameras
-----------------
0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             1640x1232 [83.70 fps - (0, 0)/3280x2464 crop]
           'SRGGB8' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]

1 : ov9281 [1280x800 10-bit MONO] (/base/axi/pcie@120000/rp1/i2c@80000/ov9281@60)
    Modes: 'R8' : 1280x800 [143.66 fps - (0, 0)/1280x800 crop]

`
