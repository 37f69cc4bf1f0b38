package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lensward/lensward/agent/config"
)

func TestWhereTheKeyIs(t *testing.T) {
	with := func(lines string) string { return strings.Replace(least, "[hub]\n", lines+"[hub]\n", 1) }
	c, err := config.Parse("a.toml", []byte(least))
	if err != nil || c.State.Key != "auto" || c.State.TPM != "/dev/tpmrm0" {
		t.Errorf("by default %+v, %v", c, err)
	}
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte(with("key = \"tpm\"\ntpm = \"swtpm.sock\"\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = config.Load(path)
	if err != nil || c.State.Key != "tpm" || c.State.TPM != filepath.Join(filepath.Dir(path), "swtpm.sock") {
		t.Errorf("read %+v, %v", c, err)
	}
	for lines, key := range map[string]string{"key = \"cloud\"\n": "state.key", "key = \"\"\n": "state.key", "tpm = \"\"\n": "state.tpm"} {
		_, err := config.Parse("a.toml", []byte(with(lines)))
		var bad *config.Error
		if !errors.As(err, &bad) || bad.Key != key || bad.Line != 4 || bad.Hint == "" {
			t.Errorf("%q: %+v", lines, bad)
		}
	}
}
