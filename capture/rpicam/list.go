//go:build linux

package rpicam

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/child"
)

// Listed is a camera that the system knows.
type Listed struct {
	// Index is what Settings.Camera is set to.
	Index int
	// Model is the sensor's name, such as imx219, and Path its place on the board.
	Model, Path string
	// Width and Height are the sensor's pixels; 0 if the program does not say.
	Width, Height int
	// Modes are how the sensor can be read.
	Modes []Mode
}

// Mode is one way to read a sensor.
type Mode struct {
	// Format is libcamera's name, such as SRGGB10_CSI2P.
	Format        string
	Width, Height int
	// FPS is the highest rate.
	FPS float64
}

// Limits of a list.
const (
	listAfter  = 20 * time.Second
	maxList    = 256 << 10 // bytes
	maxCameras = 16
	maxModes   = 64 // of a camera
)

// List asks for the cameras, by rpicam-hello (libcamera-hello in older systems). It
// takes some seconds. None is no error.
func List(ctx context.Context) ([]Listed, error) { return list(ctx, "") }

func list(ctx context.Context, name string) ([]Listed, error) {
	program, err := find(name, "rpicam-hello", "libcamera-hello")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listAfter)
	defer cancel()
	p, err := child.Start(ctx, child.Command{Program: program, Args: []string{"--list-cameras"}, Env: environment(), Polite: true})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	text, readErr := io.ReadAll(io.LimitReader(p.Output, maxList+1))
	if len(text) > maxList {
		cancel()
		p.Close()
	}
	if err := p.Wait(); err != nil && len(text) <= maxList {
		fault := faultIn(p.Said())
		return nil, &capture.FaultError{Fault: fault, Err: fmt.Errorf("list cameras: %w", err)}
	}
	if readErr != nil {
		return nil, fmt.Errorf("list cameras: %w", readErr)
	}
	return parseList(string(text))
}

// The lines of the list, as rpicam-apps 1.0 to 1.7 write them:
//
//	0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
//	    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
//	                             1640x1232 [83.70 fps - (0, 0)/3280x2464 crop]
var (
	cameraLine = regexp.MustCompile(`^(\d{1,2}) : (\S+) \[(?:(\d{1,5})x(\d{1,5}))?[^\]]*\] \(([^)]*)\)$`)
	formatPart = regexp.MustCompile(`^(?:Modes:)?\s*'([^']{1,64})'\s*:\s*`)
	modePart   = regexp.MustCompile(`^(\d{1,5})x(\d{1,5})(?: \[(\d{1,6}(?:\.\d{1,6})?) fps)?`)
)

// parseList reads a list. Lines that it does not know are passed over: newer
// programs may say more.
func parseList(text string) ([]Listed, error) {
	if len(text) > maxList {
		return nil, fmt.Errorf("list cameras: the list is longer than %d bytes", maxList)
	}
	var all []Listed
	format := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := cameraLine.FindStringSubmatch(line); m != nil {
			if len(all) == maxCameras {
				return nil, fmt.Errorf("list cameras: there are more than %d", maxCameras)
			}
			all = append(all, Listed{Index: number(m[1]), Model: m[2], Width: number(m[3]), Height: number(m[4]), Path: m[5]})
			format = ""
			continue
		}
		if len(all) == 0 {
			continue
		}
		if m := formatPart.FindStringSubmatch(line); m != nil {
			format = m[1]
			line = line[len(m[0]):]
		}
		camera := &all[len(all)-1]
		if m := modePart.FindStringSubmatch(line); m != nil && format != "" && len(camera.Modes) < maxModes {
			fps, _ := strconv.ParseFloat(m[3], 64) // none said is 0; the pattern lets nothing else through
			camera.Modes = append(camera.Modes, Mode{Format: format, Width: number(m[1]), Height: number(m[2]), FPS: fps})
		}
	}
	return all, nil
}

// number reads digits that a pattern has found; none is 0.
func number(digits string) int {
	n, _ := strconv.Atoi(digits) // at most five digits
	return n
}
