//go:build linux

package child

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// start runs a shell script until the test ends.
func start(t *testing.T, ctx context.Context, c Command, script string) *Process {
	t.Helper()
	c.Program, c.Args = "/bin/sh", []string{"-c", script}
	p, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestPipes(t *testing.T) {
	p := start(t, t.Context(), Command{Fed: true}, "cat")
	go func() {
		io.WriteString(p.Input, "a picture")
		p.Input.Close()
	}()
	out, err := io.ReadAll(p.Output)
	if err != nil || string(out) != "a picture" {
		t.Errorf("read %q, %v", out, err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// What a program writes to its descriptor 3 comes apart from the rest.
func TestSecondOutput(t *testing.T) {
	p := start(t, t.Context(), Command{Second: true}, "echo pixels; echo times >&3")
	for want, f := range map[string]*os.File{"pixels\n": p.Output, "times\n": p.Second} {
		if out, err := io.ReadAll(f); err != nil || string(out) != want {
			t.Errorf("read %q, %v, not %q", out, err, want)
		}
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// What a program said stands in its error, in whole lines and within a limit.
func TestFailureSaysWhy(t *testing.T) {
	p := start(t, t.Context(), Command{}, `i=0; while [ $i -lt 200 ]; do echo "line $i of many" >&2; i=$((i+1)); done; exit 3`)
	err := p.Wait()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "line 199 of many") {
		t.Fatalf("error is %v", err)
	}
	said := p.Said()
	if len(said) > kept || !strings.HasPrefix(said, "line 1") {
		t.Errorf("kept %d bytes that begin %.20q", len(said), said)
	}
}

func TestNoProgram(t *testing.T) {
	if _, err := Start(t.Context(), Command{Program: "/no/such/program", Fed: true}); err == nil || !strings.Contains(err.Error(), "start program") {
		t.Errorf("error is %v", err)
	}
}

// waitGone waits until no process has the ID.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
}

// pids reads the process IDs that a script prints.
func pids(t *testing.T, r io.Reader, n int) []int {
	t.Helper()
	lines := bufio.NewScanner(r)
	var all []int
	for len(all) < n && lines.Scan() {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pid)
	}
	if len(all) < n {
		t.Fatalf("got %d process IDs, want %d", len(all), n)
	}
	return all
}

// With ctx ends the program, even a stubborn one, and what it started.
func TestCancel(t *testing.T) {
	for name, polite := range map[string]bool{"killed": false, "asked first": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := start(t, ctx, Command{Polite: polite}, `trap '' INT; sleep 1000 & echo $!; echo $$; wait`)
			ids := pids(t, p.Output, 2)
			cancel()
			if err := p.Wait(); err == nil {
				t.Error("a program that was killed has no error")
			}
			for _, pid := range ids {
				waitGone(t, pid)
			}
		})
	}
}

// A polite program is given the time to clean up.
func TestPolite(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := start(t, ctx, Command{Polite: true}, `trap 'echo cleaned >&2; exit 0' INT; echo $$; while :; do sleep 0.01; done`)
	pids(t, p.Output, 1)
	cancel()
	if err := p.Wait(); err == nil {
		t.Error("the end of ctx is no error")
	}
	if p.Said() != "cleaned" {
		t.Errorf("it said %q", p.Said())
	}
}

// What a program leaves running when it ends is ended too.
func TestLeftOver(t *testing.T) {
	p := start(t, t.Context(), Command{}, `sleep 1000 >/dev/null 2>&1 & echo $!`)
	ids := pids(t, p.Output, 1)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	waitGone(t, ids[0])
}

// TestMain is the tests, or the parent that is killed in one of them.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	p, err := Start(context.Background(), Command{Program: "/bin/sh", Args: []string{"-c", "echo $$; exec sleep 1000"}})
	if err != nil {
		os.Exit(1)
	}
	io.Copy(os.Stdout, p.Output) // until the test kills us
}

// The program ends with its parent, however that ends.
func TestParentDeath(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = []string{"CHILD_TEST_PARENT=1"}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	ids := pids(t, out, 1)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, ids[0])
	parent.Wait() // it was killed, as it should be
}
