package pairing_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The model of the protocol keeps its properties whatever the courier does; and for each
// check of the protocol that is left out, it loses one.
func TestModel(t *testing.T) {
	for _, program := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the model was not checked: %v (scripts/setup.sh installs it)", err)
		}
	}
	model, err := filepath.Abs("testdata/model/pairing.pml")
	must(t, err)
	properties := []string{"camera_right", "device_right", "done_agrees", "failed_agrees", "settles", "ends_agreed"}
	for without, broken := range map[string]string{
		"NOTHING": "", "NO_MAC": "device_right", "NO_OWNER": "camera_right", "NO_SIGNATURE": "failed_agrees",
		"NO_TRANSCRIPT": "failed_agrees", "NO_LOOK": "failed_agrees", "LATE_CANCEL": "failed_agrees", "NO_PATIENCE": "settles",
	} {
		t.Run(without, func(t *testing.T) {
			dir := t.TempDir()
			run(t, dir, "spin", "-D"+without, "-a", model)
			run(t, dir, "gcc", "-w", "-DNFAIR=3", "-DNOREDUCE", "-o", "pan", "pan.c")
			if broken != "" {
				if errors, _ := verify(t, dir, broken); errors == "0" {
					t.Errorf("%s holds without a check that it needs", broken)
				}
				return
			}
			for _, p := range properties {
				errors, states := verify(t, dir, p)
				if errors != "0" {
					t.Errorf("%s does not hold", p)
				}
				t.Logf("%s: %s states", p, states)
			}
		})
	}
}

func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// verify checks a property in all states, under weak fairness.
func verify(t *testing.T, dir, property string) (errors, states string) {
	t.Helper()
	out := run(t, dir, filepath.Join(dir, "pan"), "-a", "-f", "-m100000", "-N", property)
	m := regexp.MustCompile(`(?s)errors: (\d+)\s+(\d+) states, stored`).FindSubmatch(out)
	if m == nil || bytes.Contains(out, []byte("max search depth too small")) {
		t.Fatalf("the model was not searched through:\n%s", out)
	}
	return string(m[1]), string(m[2])
}
