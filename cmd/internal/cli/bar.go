package cli

import (
	"fmt"
	"io"
	"strings"
)

// Bar says on stderr how far something long is: a bar that moves where a person reads
// it, one line a stage where a file does. It is not safe for concurrent use.
type Bar struct {
	w     io.Writer
	moves bool
	stage string
	shown string // what stands in the line now
}

// NewBar makes a bar on w.
func NewBar(w io.Writer) *Bar { return &Bar{w: w, moves: IsTerminal(w)} }

// Show says that a stage has come as far as done of a whole.
func (b *Bar) Show(stage string, done, of int) {
	if !b.moves {
		if stage != b.stage {
			fmt.Fprintln(b.w, stage)
		}
		b.stage = stage
		return
	}
	const width = 30
	filled := 0
	if of > 0 {
		filled = min(max(done, 0), of) * width / of
	}
	line := fmt.Sprintf("%-22s [%s%s] %d of %d", stage, strings.Repeat("=", filled), strings.Repeat(" ", width-filled), done, of)
	if line == b.shown {
		return
	}
	// Blanks cover what was longer before.
	fmt.Fprintf(b.w, "\r%-*s", len(b.shown), line)
	b.shown = line
}

// Clear takes the bar away, so that results can follow.
func (b *Bar) Clear() {
	if b.shown != "" {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", len(b.shown)))
	}
	b.stage, b.shown = "", ""
}
