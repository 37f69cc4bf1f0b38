package main

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be lensward, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lensward": main})
}

// TestScripts runs the agent as an init system and a person do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		Cmds:               map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "answers": answers},
		RequireUniqueNames: true,
	})
}

// exits is "exits CODE PROGRAM ARGS…": exec that wants this very exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	code, err := 0, ts.Exec(args[1], args[2:]...)
	var left *exec.ExitError
	if errors.As(err, &left) {
		code = left.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// answers is "answers SOCKET": it waits until somebody answers at the socket.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers SOCKET")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", ts.MkAbs(args[0])); err == nil {
			ts.Check(c.Close())
			return
		}
	}
	ts.Fatalf("nobody answers at %s", args[0])
}
