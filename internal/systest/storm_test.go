package systest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/fleet/storm"
)

// TestStorm has a hundred devices lose a hub that lies to their owners, in processes of
// their own, and come back to it. scripts/storm.sh does it with thousands.
func TestStorm(t *testing.T) {
	lensctl := buildPrograms(t).lensctl
	t.Run("comes back", func(t *testing.T) { stormComesBack(t, lensctl) })
	t.Run("interrupted", func(t *testing.T) { stormIsStopped(t, lensctl, syscall.SIGINT) })
	t.Run("killed", func(t *testing.T) { stormIsStopped(t, lensctl, syscall.SIGKILL) })
}

func stormComesBack(t *testing.T, lensctl string) {
	const devices, items, viewers = 100, 10, 40
	dir := t.TempDir()
	var errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), lensctl, "fleet", "storm", "--json", "--dir", dir, "--policy", "ours,paho", "--hint", "right", "--drain", "1000",
		"--devices", fmt.Sprint(devices), "--processes", "2", "--items", fmt.Sprint(items), "--outage", "2s",
		"--mixup", "0.25", "--viewers", fmt.Sprint(viewers))
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("storm: %v\n%s", err, errOut.String())
	}
	reports := json.NewDecoder(bytes.NewReader(out))
	for _, policy := range []storm.Policy{storm.Ours, storm.Paho} {
		var r storm.Report
		must(t, reports.Decode(&r))
		t.Logf("%+v; owners: %+v", r, r.Seen)
		if r.Policy != policy || r.Devices != devices || r.Processes != 2 || r.Items != items {
			t.Errorf("not the storm that was asked for")
		}
		checkStorm(t, &r, viewers)
	}
	wantNothingLeft(t, dir)
}

// checkStorm wants everybody back and everything delivered once, to its owner alone.
func checkStorm(t *testing.T, r *storm.Report, viewers int) {
	t.Helper()
	if err := r.Faults(); err != nil {
		t.Errorf("%s: %v", r.Policy, err)
	}
	// Beside the items: the wave's picture and checkpoint, and a checkpoint for each of the
	// delivery loop's sessions.
	if r.Sealed < r.Devices*(r.Items+4) || r.Stored != r.Sealed || r.Left != 0 {
		t.Errorf("%s: %d items sealed, %d in the hub, %d in spools", r.Policy, r.Sealed, r.Stored, r.Left)
	}
	if r.Back != 1 || r.Online != 1 || r.Drained <= 0 || r.Attempts < r.Devices || r.Vain == 0 {
		t.Errorf("%s: the fleet did not come back: %+v", r.Policy, r.Recovery)
	}
	if r.CPUConnect <= 0 || r.CPUDevice <= 0 || r.SessionKiB <= 0 || r.Admit <= 0 {
		t.Errorf("%s: the cost was not measured", r.Policy)
	}
	if hinted := r.HintWindow >= 1; hinted != (r.Policy == storm.Ours) {
		t.Errorf("%s: the hint's window was %v s", r.Policy, r.HintWindow)
	}
	s := r.Seen
	if s.Owners != viewers || s.Complete != viewers || s.Opened < viewers*(r.Items+4) {
		t.Errorf("%s: %d owners looked, %d saw everything, %d items", r.Policy, s.Owners, s.Complete, s.Opened)
	}
	if s.Misdelivered < viewers || s.Reported < viewers {
		t.Errorf("%s: only %d answers were misdelivered and %d headers reported: the hub does not lie as it should", r.Policy, s.Misdelivered, s.Reported)
	}
}

// stormIsStopped wants a storm that is interrupted to clear up, and one that is killed
// to take its processes along.
func stormIsStopped(t *testing.T, lensctl string, sig syscall.Signal) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), lensctl, "fleet", "storm", "--dir", dir, "--devices", "20", "--hint", "right", "--outage", "1h")
	said := &watchFor{word: []byte("seal items"), seen: make(chan struct{})}
	cmd.Stderr = said
	must(t, cmd.Start())
	select {
	case <-said.seen:
	case <-time.After(patience):
		t.Fatal("the storm does not get under way")
	}
	if n := len(stormProcesses(t, dir)); n < 2 {
		t.Errorf("%d processes work in the storm's directory, want workers", n)
	}
	must(t, cmd.Process.Signal(sig))
	if err := cmd.Wait(); sig == syscall.SIGINT {
		must(t, err)
		wantNothingLeft(t, dir)
	}
	for end := time.Now().Add(patience); len(stormProcesses(t, dir)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("processes outlive the storm")
		}
	}
}

// wantNothingLeft looks for files in a storm's directory, and for processes that work
// in it.
func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		t.Errorf("%s was left behind", f.Name())
	}
	if left := stormProcesses(t, dir); len(left) != 0 {
		t.Errorf("processes were left behind: %q", left)
	}
}

// stormProcesses lists the processes that work in a directory, by their command lines.
func stormProcesses(t *testing.T, dir string) (out []string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), dir+"/lensward-storm-") { // it may have ended
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}
