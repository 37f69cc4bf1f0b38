package encode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/lensward/lensward/capture/internal/child"
)

// askAfter is how long an ffmpeg may take to say what it can do.
const askAfter = 10 * time.Second

// ErrNoEncoder says that what is wanted is not there.
var ErrNoEncoder = errors.New("no such encoder")

// choose takes the first encoder that is wanted and there, the best first.
func choose(ctx context.Context, s Settings) (Choice, error) {
	var passed []string // why others were not taken
	if s.Want == Auto || s.Want == H264 || s.Want == M2M {
		device, reason := findM2M(s)
		if reason == "" {
			return Choice{M2M, device, because("H.264 by the hardware encoder "+device, nil)}, nil
		}
		passed = append(passed, reason)
	}
	if s.Want == Auto || s.Want == H264 || s.Want == FFmpeg {
		program, reason := findFFmpeg(ctx, s.Program)
		if err := ctx.Err(); err != nil {
			return Choice{}, fmt.Errorf("choose an encoder: %w", err)
		}
		if reason == "" {
			return Choice{FFmpeg, program, because("H.264 by the processor, through "+program, passed)}, nil
		}
		passed = append(passed, reason)
	}
	if s.Want == Auto || s.Want == MJPEG {
		return Choice{MJPEG, "", because("Motion JPEG by the processor", passed)}, nil
	}
	return Choice{}, fmt.Errorf("encode: %w: %s is wanted, but %s", ErrNoEncoder, s.Want, strings.Join(passed, ", and "))
}

// because makes a sentence of what was chosen and what was passed over.
func because(what string, passed []string) string {
	if len(passed) == 0 {
		return what + "."
	}
	return what + ", since " + strings.Join(passed, ", and ") + "."
}

// findFFmpeg finds an ffmpeg that can encode, or says why there is none.
func findFFmpeg(ctx context.Context, name string) (program, reason string) {
	program, err := exec.LookPath(name)
	if err != nil {
		return "", "ffmpeg is not installed"
	}
	ctx, cancel := context.WithTimeout(ctx, askAfter)
	defer cancel()
	p, err := child.Start(ctx, child.Command{
		Program: program, Args: []string{"-hide_banner", "-loglevel", "error", "-h", "encoder=libx264"},
	})
	if err != nil {
		return "", fmt.Sprintf("%s cannot be run (%v)", program, err)
	}
	defer p.Close()
	const limit = 1 << 20
	said, readErr := io.ReadAll(io.LimitReader(p.Output, limit))
	p.Output.Close() // whatever is left is of no interest
	if err := p.Wait(); err != nil || readErr != nil {
		return "", fmt.Sprintf("%s does not say what it can do (%v)", program, errors.Join(err, readErr))
	}
	if !bytes.Contains(said, []byte("Encoder libx264")) {
		return "", program + " has no libx264"
	}
	return program, ""
}
