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
	if c.Camera.Source != "v4l2:auto" || c.Event.PostRoll != config.Default().Event.PostRoll {
		t.Errorf("defaults are lost: %+v", c)
	}
}

// A hub of several nodes has lists; one address may stand by itself.
func TestAddresses(t *testing.T) {
	c, err := config.Parse("a.toml", []byte(least+"hint_url = \"http://cdn.example/hint\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Hub.Broker) != 1 || c.Hub.Broker[0] != "hub.example:8883" || len(c.Hub.URL) != 1 || c.Hub.HintURL != "http://cdn.example/hint" {
		t.Errorf("read %+v", c.Hub)
	}
	several := strings.NewReplacer(
		`"hub.example:8883"`, `["a.example:8883", "[2001:db8::1]:8883"]`, `"https://hub.example:8443"`, `["https://a.example", "https://b.example"]`)
	if c, err = config.Parse("a.toml", []byte(several.Replace(least))); err != nil {
		t.Fatal(err)
	}
	if len(c.Hub.Broker) != 2 || c.Hub.Broker[1] != "[2001:db8::1]:8883" || len(c.Hub.URL) != 2 || c.Hub.URL[0] != "https://a.example" {
		t.Errorf("read %+v", c.Hub)
	}
}

// door is a zone in three lines.
const door = "[[motion.zone]]\nname = \"door\"\ncorners = [[0.1, 0.2], [0.4, 0.2], [0.4, 1.0], [0.1, 1]]\n"

func TestZones(t *testing.T) {
	c, err := config.Parse("a.toml", []byte(least+door+strings.ReplaceAll(door, "door", "road")+"sensitivity = \"off\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Motion.Zone) != 2 || c.Motion.Zone[0].Sensitivity != "normal" || c.Motion.Zone[1].Sensitivity != "off" {
		t.Fatalf("read %+v", c.Motion.Zone)
	}
	area, err := c.Motion.Zone[1].Area()
	if err != nil || len(area) != 4 || area[2].X != 0.4 || area[2].Y != 1 {
		t.Errorf("the road's area is %v, %v", area, err)
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
		{"[camera]\nexposure = \"long\"\n", 9, `camera.exposure "long"`, `"10ms"`},
		{"[camera]\nexposure = \"1m\"\n", 9, `camera.exposure "1m"`, `"10ms"`},
		{"[camera]\ngain = 16\n", 9, "camera.gain", ""},
		{"[camera]\ngain = \"0\"\n", 9, `camera.gain "0"`, `"16"`},
		{"[camera]\nflip = \"twice\"\n", 9, `camera.flip is "twice"`, `"both"`},
		{"[camera]\npower_line = \"55Hz\"\n", 9, `camera.power_line is "55Hz"`, `"50Hz"`},
		{"[camera]\ncontrols = {focus = 5000000000}\n", 9, `control "focus" is 5000000000`, "32 bits"},
		{"[[camera.mask]]\ncorners = [[0, 0], [1, 0], [1, 1.5]]\n", 9, "corner 1, 1.5 is not within 0 and 1", "corners"},
		{"[motion]\nsmallest = 2\n", 9, "motion.smallest is 2", "give 0.02 to 0.9"},
		{"[motion]\nstand = \"1s\"\n", 9, "motion.stand is 1s", "give 2s to 1h0m0s"},
		{"[motion]\nstand = 60\n", 9, "motion.stand", ""},
		{"[motion]\nrate = 0\n", 9, "motion.rate is 0", "give 5 to 60"},
		{"[[motion.zone]]\nnaem = \"door\"\n", 9, `unknown key "motion.zone.naem"`, `did you mean "motion.zone.name"?`},
		{"[[motion.zone]]\nname = \"\"\n", 9, "has 0 characters", "give 1 to 40"},
		{door + "[[motion.zone]]\nname = \"road\"\n# none\n", 11, `zone "road": an area has 3 to 32 corners, not 0`, "corners"},
		{door + "[[motion.zone]]\nname = \"road\"\ncorners = [\n[0, 0],\n[1, 2],\n[1, 0]]\n", 13, `zone "road": corner 1, 2`, "corners"},
		{door + "[[motion.zone]]\nname = \"road\"\ncorners = [[0, 0, 0], [1, 1], [1, 0]]\n", 13, "2 numbers, not 3", "corners"},
		{door + "sensitivity = \"loud\"\n", 11, `zone "door": sensitivity is "loud"`, `"off"`},
		{strings.Repeat(door, 33), 0, "there are 33 zones", "at most 32"},
		{"hint_url = \"ftp://hub.example/hint\"\n", 8, `hub.hint_url is "ftp:`, `"http://"`},
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
	for _, bad := range []string{
		`broker = "hub"`, `broker = "hub:port"`, `broker = ["a:1", "hub"]`, `broker = []`, `broker = ""`, `broker = [""]`,
		`broker = [` + strings.Repeat(`"a:1",`, 17) + `]`,
		`url = "http://hub"`, `url = "https://user@hub"`, `url = ["https://a", ""]`,
	} {
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
