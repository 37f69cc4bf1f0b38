package cli

import (
	"strings"
	"testing"
)

func TestBarInAFileIsOneLineAStage(t *testing.T) {
	var out strings.Builder
	b := NewBar(&out)
	for i := range 3 {
		b.Show("dig", i, 3)
	}
	b.Show("fill", 0, 0)
	b.Clear()
	if got, want := out.String(), "dig\nfill\n"; got != want {
		t.Errorf("a file reads %q, want %q", got, want)
	}
}

func TestBarMovesBeforeAPerson(t *testing.T) {
	var out strings.Builder
	b := &Bar{w: &out, moves: true}
	b.Show("dig", 1, 2)
	b.Show("dig", 1, 2) // nothing new
	b.Show("dig", 5, 2) // more than all
	b.Clear()
	lines := strings.Split(out.String(), "\r")
	if len(lines) != 5 || strings.Contains(out.String(), "\n") {
		t.Fatalf("a person reads %q", out.String())
	}
	if half, all := strings.Count(lines[1], "="), strings.Count(lines[2], "="); half != 15 || all != 30 {
		t.Errorf("bars of %d and %d, want 15 and 30: %q", half, all, lines)
	}
	if strings.TrimSpace(lines[3]) != "" || lines[4] != "" {
		t.Errorf("the bar is still there: %q", lines[3:])
	}
}
