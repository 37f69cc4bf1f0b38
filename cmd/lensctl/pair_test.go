package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"rsc.io/qr"

	"github.com/lensward/lensward/hw/serial/serialtest"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
)

// TestPairAway has lensctl and an agent pair by a hub, whose address is in $HUB, and over a
// serial line from $CAMERA_PORT to $OWNER_PORT: each file of testdata/pair is a story.
func TestPairAway(t *testing.T) {
	bin := t.TempDir()
	build(t, filepath.Join(bin, "lensward"), "github.com/lensward/lensward/cmd/lensward")
	h := hubtest.Start(t, hub.Options{Dir: filepath.Join(t.TempDir(), "hub"), SyncInterval: time.Minute})
	left, right := serialtest.Cable(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "pair"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("HUB", h.ViewerURL())
			env.Setenv("CAMERA_PORT", left)
			env.Setenv("OWNER_PORT", right)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await, "ports": ports},
	})
}

// ports is "ports FILE": it puts $CAMERA_PORT where the file says so.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ports FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$CAMERA_PORT", ts.Getenv("CAMERA_PORT"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// TestDrawnCode reads the terminal's picture back, module by module.
func TestDrawnCode(t *testing.T) {
	code, err := qr.Encode("LENSWARD1:EXAMPLE", qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	drawCode(&out, code)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != (code.Size+8+1)/2 {
		t.Fatalf("%d lines for %d modules", len(lines), code.Size)
	}
	for y, l := range lines {
		l = strings.TrimSuffix(strings.TrimPrefix(l, "\x1b[30;107m"), "\x1b[0m")
		for x, r := range []rune(l) {
			for half, dark := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				mx, my := x-4, 2*y+half-4
				inside := mx >= 0 && my >= 0 && mx < code.Size && my < code.Size
				if want := inside && code.Black(mx, my); dark != want {
					t.Fatalf("module %d,%d is drawn %v, want %v", mx, my, dark, want)
				}
			}
		}
	}
}
