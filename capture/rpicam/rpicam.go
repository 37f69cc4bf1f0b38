//go:build linux

// Package rpicam films with a Raspberry Pi's camera modules, through an rpicam-vid
// child process (libcamera-vid in older systems).
//
// It owns the child: its command line, its output cut into frames, and what its
// complaints mean. It does not start a child again: a Camera that has failed may
// be run anew by whoever supervises it.
//
// # Times
//
// A frame's time is when its first bytes came. rpicam-vid can write the sensor's
// own times (--save-pts), but into a second file, from 0 on, with nothing that ties
// a line to a frame but counting; a frame more or less on one side would make every
// later time wrong. Arrival is late by what the encoder takes, a few hundredths of
// a second, and jitters by less than a frame.
//
// # How it was tested
//
// Against a made-up program that takes rpicam-vid's options and writes what it is
// documented to write. The package is untested on hardware.
package rpicam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/child"
	"github.com/lensward/lensward/capture/videodev"
)

// Codec is how the program encodes.
type Codec string

// The codecs.
const (
	// Auto is H264 where the board has a hardware encoder, else MJPEG.
	Auto Codec = "auto"
	// H264 is encoded by the board's encoder, or by its processor where it has none
	// (a Raspberry Pi 5).
	H264 Codec = "h264"
	// MJPEG is encoded by the processor.
	MJPEG Codec = "mjpeg"
)

// Settings say which camera and what is asked of it. The zero value of a field
// takes its default.
type Settings struct {
	// Camera is its number in List, 0 to 15.
	Camera int
	// Width and Height are in pixels, even, 64 to 4608; the camera may come near it
	// only. The default is 1280×720.
	Width, Height int
	// FPS is above 0 and up to 240. The default is 15.
	FPS float64
	// Codec is Auto by default.
	Codec Codec
	// Bitrate is what H.264 is to take, in bits a second, 64,000 to 25,000,000. The
	// default is a tenth of a bit for each pixel, at least 250,000 and at most
	// 8,000,000.
	Bitrate int
	// GOP is the time between two key frames of H.264, 100 ms to 1 min. The default
	// is 2 s.
	GOP time.Duration
	// Flip is capture.FlipNone by default.
	Flip capture.Flip
	// Exposure is for how long each picture is exposed, up to 10 s. The default, 0,
	// is for the camera to choose.
	Exposure time.Duration
	// Gain is the sensor's amplification, 1 to 64. The default, 0, is for the camera
	// to choose.
	Gain float64
	// Program is the program to run. The default is rpicam-vid, or libcamera-vid, in
	// PATH.
	Program string
	// Log is told of what is odd about the stream. The default is no log.
	Log *slog.Logger

	// kernel is where the hardware encoder is looked for; tests set their own.
	kernel videodev.Kernel
}

// jpegQuality is what rpicam-vid is asked for: what capture/encode makes itself.
const jpegQuality = 80

func (s Settings) withDefaults() Settings {
	if s.Width == 0 && s.Height == 0 {
		s.Width, s.Height = 1280, 720
	}
	if s.FPS == 0 {
		s.FPS = 15
	}
	if s.Codec == "" {
		s.Codec = Auto
	}
	if s.Bitrate == 0 {
		s.Bitrate = int(min(max(float64(s.Width)*float64(s.Height)*s.FPS/10, 250_000), 8_000_000))
	}
	if s.GOP == 0 {
		s.GOP = 2 * time.Second
	}
	if s.Flip == "" {
		s.Flip = capture.FlipNone
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.kernel == nil {
		s.kernel = videodev.Linux{}
	}
	return s
}

func (s Settings) validate() error {
	switch {
	case s.Camera < 0 || s.Camera > 15:
		return fmt.Errorf("rpicam: camera %d is not from 0 to 15", s.Camera)
	case s.Width < 64 || s.Width > 4608 || s.Width%2 != 0:
		return fmt.Errorf("rpicam: width %d is not an even number from 64 to 4608", s.Width)
	case s.Height < 64 || s.Height > 4608 || s.Height%2 != 0:
		return fmt.Errorf("rpicam: height %d is not an even number from 64 to 4608", s.Height)
	case !(s.FPS > 0 && s.FPS <= 240): // NaN too
		return fmt.Errorf("rpicam: fps %v is not above 0 and at most 240", s.FPS)
	case s.Codec != Auto && s.Codec != H264 && s.Codec != MJPEG:
		return fmt.Errorf("rpicam: codec %q is none of auto, h264 and mjpeg", string(s.Codec))
	case s.Bitrate < 64_000 || s.Bitrate > 25_000_000:
		return fmt.Errorf("rpicam: bit rate %d is not from 64000 to 25000000 a second", s.Bitrate)
	case s.GOP < 100*time.Millisecond || s.GOP > time.Minute:
		return fmt.Errorf("rpicam: %v between key frames is not from 100 ms to 1 min", s.GOP)
	case !s.Flip.Known():
		return fmt.Errorf("rpicam: flip %q is none of none, horizontal, vertical and both", string(s.Flip))
	case s.Exposure < 0 || s.Exposure > 10*time.Second:
		return fmt.Errorf("rpicam: exposure %v is not from 0 to 10 s", s.Exposure)
	case s.Gain != 0 && !(s.Gain >= 1 && s.Gain <= 64):
		return fmt.Errorf("rpicam: gain %v is neither 0 nor from 1 to 64", s.Gain)
	}
	return nil
}

// Choice is how a camera is filmed, and why so.
type Choice struct {
	// Format is that of the frames.
	Format capture.Format
	// Program is what is run.
	Program string
	// Why is a sentence for people.
	Why string

	software bool // H.264 without a hardware encoder
}

// ErrNoProgram says that neither rpicam-vid nor libcamera-vid is there.
var ErrNoProgram = errors.New("rpicam-vid is not installed; hint: install rpicam-apps")

// Camera is a [capture.Source] of H.264 or Motion JPEG. Run may be called again
// after it has returned.
type Camera struct {
	settings Settings
	choice   Choice
	broken   atomic.Uint64

	start, silence time.Duration
}

// How long a camera may be silent: while it starts, and later.
const (
	startAfter   = 20 * time.Second
	silenceAfter = 10 * time.Second
	maxBroken    = 50 // broken pictures one after another
)

// Open checks the settings, finds the program and chooses the codec. Whether the
// camera is there is found out by Run.
func Open(s Settings) (*Camera, error) {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	program, err := find(s.Program, "rpicam-vid", "libcamera-vid")
	if err != nil {
		return nil, err
	}
	choice := choose(s)
	choice.Program = program
	return &Camera{settings: s, choice: choice, start: startAfter, silence: silenceAfter}, nil
}

// find looks for a program by the name that was set, or by the first of the others.
func find(name string, others ...string) (string, error) {
	if name != "" {
		others = []string{name}
	}
	for _, other := range others {
		if path, err := exec.LookPath(other); err == nil {
			return path, nil
		}
	}
	return "", &capture.FaultError{Fault: capture.FaultUnsuitable,
		Err: fmt.Errorf("find %s: %w", strings.Join(others, " or "), ErrNoProgram)}
}

// The encoder that rpicam-vid uses: it looks at this node, and at no other.
const (
	encoderNode = "/dev/video11"
	encoderCard = "bcm2835-codec-encode"
)

// choose chooses the codec by whether the board has an encoder.
func choose(s Settings) Choice {
	has := hasEncoder(s.kernel)
	switch {
	case s.Codec == MJPEG:
		return Choice{Format: capture.FormatMJPEG, Why: "Motion JPEG, as is wanted."}
	case has:
		return Choice{Format: capture.FormatH264, Why: "H.264 by the board's encoder " + encoderNode + "."}
	case s.Codec == H264:
		return Choice{Format: capture.FormatH264, software: true,
			Why: "H.264 by the processor, as is wanted, since the board has no encoder (no " + encoderCard + " at " + encoderNode + ")."}
	default:
		return Choice{Format: capture.FormatMJPEG,
			Why: "Motion JPEG, since the board has no H.264 encoder (no " + encoderCard + " at " + encoderNode + "), as a Raspberry Pi 5 has none."}
	}
}

// hasEncoder says whether rpicam-vid will find its encoder.
func hasEncoder(kernel videodev.Kernel) bool {
	dev, err := videodev.Open(kernel, encoderNode)
	if err != nil {
		return false
	}
	card := dev.Capability().Card
	return dev.Close() == nil && card == encoderCard
}

// Choice returns how the camera is filmed, and why so.
func (c *Camera) Choice() Choice { return c.choice }

// Broken returns how many pictures have been left out so far because they were not
// whole.
func (c *Camera) Broken() uint64 { return c.broken.Load() }

// arguments are the program's. It films without end, shows nothing on a screen and
// writes each picture out at once.
func arguments(s Settings, c Choice) []string {
	number := strconv.Itoa
	args := []string{
		"--nopreview", "--timeout", "0", "--camera", number(s.Camera),
		"--width", number(s.Width), "--height", number(s.Height),
		"--framerate", strconv.FormatFloat(s.FPS, 'f', -1, 64),
	}
	if c.Format == capture.FormatH264 {
		gop := int(max(1, math.Round(s.FPS*s.GOP.Seconds())))
		args = append(args, "--codec", "h264", "--inline", "--intra", number(gop), "--bitrate", number(s.Bitrate))
		if c.software { // it would guess the form of its output from a file's name
			args = append(args, "--libav-format", "h264")
		}
	} else {
		args = append(args, "--codec", "mjpeg", "--quality", number(jpegQuality))
	}
	if s.Flip.Horizontal() {
		args = append(args, "--hflip")
	}
	if s.Flip.Vertical() {
		args = append(args, "--vflip")
	}
	if s.Exposure > 0 {
		args = append(args, "--shutter", number(int(max(1, s.Exposure.Microseconds()))))
	}
	if s.Gain > 0 {
		args = append(args, "--gain", strconv.FormatFloat(s.Gain, 'f', -1, 64))
	}
	return append(args, "--flush", "--output", "-")
}

// environment is what the program gets of ours: what it needs to find its files,
// and what libcamera is told by.
func environment() []string {
	var kept []string
	for _, e := range os.Environ() {
		for _, name := range []string{"PATH=", "HOME=", "XDG_RUNTIME_DIR=", "LIBCAMERA_"} {
			if strings.HasPrefix(e, name) {
				kept = append(kept, e)
			}
		}
	}
	return kept
}

// Run films until ctx is done (its error) or the camera fails: a
// [capture.FaultError] with what the program said last.
func (c *Camera) Run(ctx context.Context, emit func(capture.Frame)) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := child.Start(running, child.Command{
		Program: c.choice.Program, Args: arguments(c.settings, c.choice), Env: environment(), Polite: true,
	})
	if err != nil {
		return &capture.FaultError{Fault: capture.FaultFailed, Err: err}
	}
	defer p.Close()
	output := &patient{file: p.Output, wait: c.start, further: c.silence}
	readErr := c.read(output, emit)
	if errors.Is(readErr, os.ErrDeadlineExceeded) {
		readErr = fmt.Errorf("no picture for %v: %w", output.wait, readErr)
	}
	if !errors.Is(readErr, io.EOF) { // it still films
		cancel()
		p.Close() // nobody listens any more
	}
	exitErr := p.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.explain(readErr, exitErr, p)
}

// explain makes a fault of what ended a run.
func (c *Camera) explain(readErr, exitErr error, p *child.Process) error {
	err := readErr
	if errors.Is(readErr, io.EOF) {
		if err = exitErr; err == nil {
			err = p.Explain(errors.New("the program ended by itself"))
		}
	} else {
		err = p.Explain(readErr)
	}
	fault := capture.FaultFailed
	switch {
	case errors.Is(readErr, os.ErrDeadlineExceeded):
		fault = capture.FaultSilent
	case errors.Is(readErr, errBroken):
		fault = capture.FaultBroken
	case errors.Is(readErr, io.EOF):
		fault = faultIn(p.Said())
	}
	return &capture.FaultError{Fault: fault, Err: fmt.Errorf("film with camera %d: %w%s", c.settings.Camera, err, hint(fault))}
}

// faultIn reads what the program said before it ended. The texts are rpicam-apps'
// and libcamera's.
func faultIn(said string) capture.Fault {
	for _, s := range []struct {
		text  string
		fault capture.Fault
	}{
		{"no cameras available", capture.FaultUnplugged},
		{"selected camera is not available", capture.FaultUnplugged},
		{"failed to find camera", capture.FaultUnplugged},
		{"in use by another process", capture.FaultBusy},
		{"failed to acquire camera", capture.FaultBusy},
		{"Device or resource busy", capture.FaultBusy},
		{"Permission denied", capture.FaultForbidden},
		{"unrecognised option", capture.FaultUnsuitable},
		{"H.264 codec", capture.FaultUnsuitable},
		{"H264 encoder", capture.FaultUnsuitable},
		{"legacy camera stack", capture.FaultUnsuitable},
		{"only supports the Raspberry Pi platforms", capture.FaultUnsuitable},
		{"Device timeout detected", capture.FaultSilent},
	} {
		if strings.Contains(said, s.text) {
			return s.fault
		}
	}
	return capture.FaultFailed
}

// hint says what a person can do about a fault.
func hint(f capture.Fault) string {
	switch f {
	case capture.FaultUnplugged:
		return "; hint: is the ribbon cable seated? `rpicam-hello --list-cameras` shows the cameras that are there"
	case capture.FaultBusy:
		return "; hint: another program uses the camera"
	case capture.FaultForbidden:
		return "; hint: add the user to the group video"
	default:
		return ""
	}
}

// patient is the program's output: each read waits so long and no longer.
type patient struct {
	file    *os.File
	wait    time.Duration // for the next read
	further time.Duration // for those after one that gave something
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.file.SetReadDeadline(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	n, err := p.file.Read(b)
	if n > 0 {
		p.wait = p.further
	}
	return n, err
}
