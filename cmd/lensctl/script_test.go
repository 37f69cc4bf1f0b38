package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be lensctl, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lensctl": main})
}

// TestScripts runs the command line as a person does: each file of
// testdata/script is a story.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		Setup:              vectorScene,
		Cmds:               map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "vector": vectorFiles, "await": await, "accounted": accounted},
		RequireUniqueNames: true,
	})
}

// vectorScene gives a script the vectors' owner, in the directory owner, and their
// camera's ID in $DEVICE.
func vectorScene(env *testscript.Env) error {
	dir := filepath.Join(env.WorkDir, "owner")
	if err := vectorOwner(dir); err != nil {
		return err
	}
	records, err := filepath.Glob(filepath.Join(dir, "*.ownership"))
	if err != nil || len(records) != 1 {
		return fmt.Errorf("the vectors' owner has %d cameras: %w", len(records), err)
	}
	device, _, _ := strings.Cut(filepath.Base(records[0]), "-")
	env.Setenv("DEVICE", device)
	return nil
}

// TestPairWithRunningAgent is apart from the other scripts: it takes the agent's
// program too.
func TestPairWithRunningAgent(t *testing.T) {
	bin := t.TempDir()
	build(t, filepath.Join(bin, "lensward"), "github.com/lensward/lensward/cmd/lensward")
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "agent"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await},
	})
}

// build builds a program of this module or of one that it depends on.
func build(t *testing.T, out, path string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", out, path)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", path, err, b)
	}
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

// await is "await FILE": it waits until the file is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Lstat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}

// accounted is "accounted FILE": the demo's report in it leaves no item out.
func accounted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: accounted FILE")
	}
	var r demoReport
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	if r.Items == 0 || r.Delivered != r.Items || r.Verified != r.Items || r.Opened != r.Items || r.WronglyShown != 0 {
		ts.Fatalf("not all is accounted for: %+v", r)
	}
}

// vectorFiles is "vector NAME": it writes the vector's items as NAME.1, NAME.2 and
// so on.
func vectorFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: vector NAME")
	}
	v, err := readVector(args[0] + ".json")
	ts.Check(err)
	items, err := v.bytes()
	ts.Check(err)
	for i, b := range items {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+"."+strconv.Itoa(i+1)), b, 0o600))
	}
}
