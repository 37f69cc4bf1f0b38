// Package config is the agent's configuration: one strict TOML file. The doc
// comments of Config are the reference, see docs/ref/config.md.
//
// It owns the file's form, its defaults and its limits. It never opens what it
// names, and there is no key that holds a secret.
package config

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Config is everything that can be set. Every key has a default but state.dir and
// those of [hub].
type Config struct {
	Camera Camera `toml:"camera"`
	Motion Motion `toml:"motion"`
	Event  Event  `toml:"event"`
	Clip   Clip   `toml:"clip"`
	State  State  `toml:"state"`
	Spool  Spool  `toml:"spool"`
	Hub    Hub    `toml:"hub"`
	Log    Log    `toml:"log"`
}

// Camera says where pictures come from.
type Camera struct {
	// Source is a URL: "v4l2:/dev/video0" (the default), "file:PATH" or "scene:".
	// docs/ref/sources.md has their parameters.
	Source string `toml:"source"`
}

// Motion says what counts as motion.
type Motion struct {
	// Sensitivity is "low", "normal" (the default) or "high".
	Sensitivity string `toml:"sensitivity"`
}

// Event says when an event begins and ends.
type Event struct {
	// PreRoll is how much of the time before the motion belongs to the clip, 0s to 30s.
	// Default "5s".
	PreRoll Duration `toml:"pre_roll"`
	// PostRoll is how long nothing must move for the event to end, 1s to 60s. Default "5s".
	PostRoll Duration `toml:"post_roll"`
	// Merge is the longest pause after which motion carries the same event on, 0s to
	// PostRoll. Default "2.5s".
	Merge Duration `toml:"merge"`
	// Longest is where an event is cut and carried on as another, 10s to 1h. Default "2m".
	Longest Duration `toml:"longest"`
	// PerHour bounds the events of an hour, 1 to 3600: a flag in the wind must not fill
	// the spool. Motion beyond it belongs to the event before. Default 60.
	PerHour int `toml:"per_hour"`
}

// Clip says how clips are cut and how much memory the pre-roll may take.
type Clip struct {
	// Part is how long a part of a clip is, 1s to 60s. Default "4s".
	Part Duration `toml:"part"`
	// Memory bounds the pre-roll, 1MiB to 512MiB. Default "16MiB".
	Memory Size `toml:"memory"`
}

// State says where the device keeps what it must not lose.
type State struct {
	// Dir is the state directory: the key, the ownership record, the certificate. It
	// has to be set.
	Dir string `toml:"dir"`
}

// Spool bounds what waits for delivery.
type Spool struct {
	// Clips is how much room the parts of clips may take, 8MiB to 1024GiB. The oldest go
	// first where it is used up. Default "512MiB".
	Clips Size `toml:"clips"`
	// Thumbnails is how much room thumbnails may take, 1MiB to 1024GiB. The oldest go
	// first, but after every clip. Default "64MiB".
	Thumbnails Size `toml:"thumbnails"`
	// Records is how much room events, checkpoints and gaps may take, 1MiB to 1024GiB.
	// Events are never dropped. Default "32MiB".
	Records Size `toml:"records"`
	// Reserve is how much of the disk stays free for others. Default "16MiB".
	Reserve Size `toml:"reserve"`
}

// Hub says where the items go.
type Hub struct {
	// Broker is the MQTT broker's host:port; it is spoken to over TLS. It has to be set.
	Broker string `toml:"broker"`
	// URL is the hub's HTTPS address for enrolment and uploads. It has to be set.
	URL string `toml:"url"`
	// CAFile holds the certificates (PEM) that the hub's must lead to. It has to be set.
	CAFile string `toml:"ca_file"`
	// EnrolTokenFile holds the token that the hub asks for at enrolment, where it does.
	EnrolTokenFile string `toml:"enrol_token_file"`
	// ConnectWindow is the width of the window in which the first connect takes its
	// moment, 0s to 1h: as wide as the fleet needs. Default "30s".
	ConnectWindow Duration `toml:"connect_window"`
}

// Log says what is told.
type Log struct {
	// Level is "debug", "info" (the default), "warn" or "error".
	Level string `toml:"level"`
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Camera: Camera{Source: "v4l2:/dev/video0"},
		Motion: Motion{Sensitivity: "normal"},
		Event: Event{
			PreRoll: Duration{5 * time.Second}, PostRoll: Duration{5 * time.Second}, Merge: Duration{2500 * time.Millisecond},
			Longest: Duration{2 * time.Minute}, PerHour: 60,
		},
		Clip:  Clip{Part: Duration{4 * time.Second}, Memory: Size{16 << 20}},
		Spool: Spool{Clips: Size{512 << 20}, Thumbnails: Size{64 << 20}, Records: Size{32 << 20}, Reserve: Size{16 << 20}},
		Hub:   Hub{ConnectWindow: Duration{30 * time.Second}},
		Log:   Log{Level: "info"},
	}
}

// Load reads a file. Relative paths in it are relative to its folder. The error
// of a file that cannot be used is an *Error with its line.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close() // read-only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	c, err := Parse(path, b)
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&c.State.Dir, &c.Hub.CAFile, &c.Hub.EnrolTokenFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return c, nil
}

// Parse reads a file's contents; name is for error messages.
func Parse(name string, b []byte) (*Config, error) {
	if len(b) > maxFile {
		return nil, &Error{File: name, What: fmt.Sprintf("the file has more than %d bytes", maxFile)}
	}
	c := Default()
	if err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&c); err != nil {
		return nil, explain(name, b, err)
	}
	if err := c.check(); err != nil {
		err.File, err.Line = name, lineOf(b, err.Key)
		return nil, err
	}
	return &c, nil
}

// check holds the values against their limits.
func (c *Config) check() *Error {
	for _, d := range []struct {
		key       string
		v         Duration
		low, high time.Duration
	}{
		{"event.pre_roll", c.Event.PreRoll, 0, 30 * time.Second},
		{"event.post_roll", c.Event.PostRoll, time.Second, time.Minute},
		{"event.merge", c.Event.Merge, 0, c.Event.PostRoll.Duration},
		{"event.longest", c.Event.Longest, 10 * time.Second, time.Hour},
		{"clip.part", c.Clip.Part, time.Second, time.Minute},
		{"hub.connect_window", c.Hub.ConnectWindow, 0, time.Hour},
	} {
		if v := d.v.Duration; v < d.low || v > d.high {
			return &Error{Key: d.key, What: fmt.Sprintf("%s is %v", d.key, v), Hint: fmt.Sprintf("give %v to %v", d.low, d.high)}
		}
	}
	for _, s := range []struct {
		key       string
		v         Size
		low, high int64
	}{
		{"clip.memory", c.Clip.Memory, 1 << 20, 512 << 20},
		{"spool.clips", c.Spool.Clips, 8 << 20, 1 << 40},
		{"spool.thumbnails", c.Spool.Thumbnails, 1 << 20, 1 << 40},
		{"spool.records", c.Spool.Records, 1 << 20, 1 << 40},
		{"spool.reserve", c.Spool.Reserve, 0, 1 << 40},
	} {
		if s.v.Bytes < s.low || s.v.Bytes > s.high {
			return &Error{Key: s.key, What: fmt.Sprintf("%s is %v", s.key, s.v), Hint: fmt.Sprintf("give %v to %v", Size{s.low}, Size{s.high})}
		}
	}
	return c.checkWords()
}

// checkWords holds what is neither a duration nor a size.
func (c *Config) checkWords() *Error {
	if c.Event.PerHour < 1 || c.Event.PerHour > 3600 {
		return &Error{Key: "event.per_hour", What: fmt.Sprintf("event.per_hour is %d", c.Event.PerHour), Hint: "give 1 to 3600"}
	}
	switch c.Motion.Sensitivity {
	case "low", "normal", "high":
	default:
		return &Error{Key: "motion.sensitivity", What: fmt.Sprintf("motion.sensitivity is %q", c.Motion.Sensitivity), Hint: `give "low", "normal" or "high"`}
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		return &Error{Key: "log.level", What: fmt.Sprintf("log.level is %q", c.Log.Level), Hint: `give "debug", "info", "warn" or "error"`}
	}
	for _, r := range []struct{ key, v string }{
		{"camera.source", c.Camera.Source}, {"state.dir", c.State.Dir}, {"hub.broker", c.Hub.Broker},
		{"hub.url", c.Hub.URL}, {"hub.ca_file", c.Hub.CAFile},
	} {
		if r.v == "" {
			return &Error{Key: r.key, What: r.key + " is not set", Hint: "docs/ref/config.md says what it is"}
		}
	}
	if _, _, err := net.SplitHostPort(c.Hub.Broker); err != nil {
		return &Error{Key: "hub.broker", What: fmt.Sprintf("hub.broker is %q", c.Hub.Broker), Hint: `give host:port, such as "hub.example:8883"`}
	}
	if u, err := url.Parse(c.Hub.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return &Error{Key: "hub.url", What: fmt.Sprintf("hub.url is %q", c.Hub.URL), Hint: `give an address that begins with "https://"`}
	}
	return nil
}
