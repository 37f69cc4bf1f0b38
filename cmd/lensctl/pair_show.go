package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/pairing"
)

// show shows a code as the flags ask: as a picture, as text, and as a QR code in the
// terminal where a person reads it.
func (s *ownerSide) show(code *pairing.Code) error {
	if s.flags.serial != "" && s.flags.hub == "" {
		return nil // the line shows it
	}
	picture, err := qr.Encode(string(code.Text()), qr.L)
	if err != nil {
		return fmt.Errorf("draw pairing code: %w", err)
	}
	if s.flags.png != "" {
		picture.Scale = 8
		if err := os.WriteFile(s.flags.png, picture.PNG(), 0o600); err != nil {
			return fmt.Errorf("write pairing code: %w", err)
		}
	}
	switch {
	case s.flags.code == "-":
		fmt.Fprintln(s.out, string(code.Text()))
	case s.flags.code != "":
		if err := os.WriteFile(s.flags.code, []byte(string(code.Text())+"\n"), 0o600); err != nil {
			return fmt.Errorf("write pairing code: %w", err)
		}
	case cli.IsTerminal(s.err) || s.flags.png == "":
		drawCode(s.err, picture)
	}
	fmt.Fprintf(s.err, "the code is good until %s and is a secret: show it to the camera alone\n", code.Expires.Local().Format(time.TimeOnly))
	return nil
}

// drawCode draws a code with half blocks, two rows of modules to a line, with the margin
// that a reader needs. It is drawn light on dark as well as dark on light terminals: both
// colours are set.
func drawCode(w io.Writer, code *qr.Code) {
	const margin = 4
	dark := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < code.Size && y < code.Size && code.Black(x, y)
	}
	var out bytes.Buffer
	for y := -margin; y < code.Size+margin; y += 2 {
		out.WriteString("\x1b[30;107m")
		for x := -margin; x < code.Size+margin; x++ {
			switch upper, lower := dark(x, y), dark(x, y+1); {
			case upper && lower:
				out.WriteString("█")
			case upper:
				out.WriteString("▀")
			case lower:
				out.WriteString("▄")
			default:
				out.WriteByte(' ')
			}
		}
		out.WriteString("\x1b[0m\n")
	}
	// A terminal that fails shows no code, and the person sees that.
	_, _ = io.Copy(w, strings.NewReader(out.String()))
}
