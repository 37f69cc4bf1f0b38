package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/config"
)

const least = `
[state]
dir = "/var/lib/lensward"
[hub]
broker = "hub.example:8883"
url = "https://hub.example:8443"
ca_file = "ca.pem"
`

func TestParse(t *testing.T) {
	c, err := config.Parse("a.toml", []byte(least+"[event]\npre_roll = \"2s\"\n[clip]\nmemory = \"8MiB\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Event.PreRoll.Duration != 2*time.Second || c.Clip.Memory.Bytes != 8<<20 {
		t.Errorf("read %v and %v", c.Event.PreRoll, c.Clip.Memory)
	}
	if c.Camera.Source != "v4l2:/dev/video0" || c.Event.PostRoll != config.Default().Event.PostRoll {
		t.Errorf("defaults are lost: %+v", c)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct {
		add        string
		line       int
		what, hint string
	}{
		{"[event]\npre_rol = \"2s\"\n", 9, `unknown key "event.pre_rol"`, `did you mean "event.pre_roll"?`},
		{"[even]\nx = 1\n", 8, `unknown key "even`, "docs/ref/config.md"},
		{"[event]\npre_roll = 2\n", 9, "event.pre_roll", ""},
		{"[event]\npre_roll = \"2 parsecs\"\n", 9, "parsecs", ""},
		{"[event]\nmerge = \"9s\"\n", 9, "event.merge is 9s", "give 0s to 5s"},
		{"[event]\nper_hour = \"many\"\n", 9, "event.per_hour", ""},
		{"[motion]\nsensitivity = \"extreme\"\n", 9, `motion.sensitivity is "extreme"`, `"low", "normal" or "high"`},
		{"[spool]\nclips = \"1KiB\"\n", 9, "spool.clips is 1KiB", "give 8MiB"},
		{"[event\n", 8, "", ""},
	} {
		_, err := config.Parse("a.toml", []byte(least+c.add))
		var e *config.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", c.add, err)
			continue
		}
		if e.Line != c.line || !strings.Contains(e.What, c.what) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%q: line %d %q hint %q", c.add, e.Line, e.What, e.Hint)
		}
	}
}

func TestMissingKeys(t *testing.T) {
	_, err := config.Parse("a.toml", nil)
	var e *config.Error
	if !errors.As(err, &e) || e.Key != "state.dir" || e.Line != 0 {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{`broker = "hub"`, `url = "http://hub"`, `url = "https://user@hub"`} {
		key, _, _ := strings.Cut(bad, " ")
		file := ""
		for line := range strings.Lines(least) {
			if strings.HasPrefix(line, key) {
				line = bad + "\n"
			}
			file += line
		}
		if _, err := config.Parse("a.toml", []byte(file)); !errors.As(err, &e) || e.Key != "hub."+key {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte("[event]\npre_roll = 2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := config.Parse("a.toml", b)
		var e *config.Error
		if err != nil && (!errors.As(err, &e) || e.What == "") {
			t.Fatalf("refused without a word: %v", err)
		}
	})
}
