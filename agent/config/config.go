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
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/lensward/lensward/capture"
)

const (
	maxFile  = 64 << 10 // bytes
	maxZones = 32
)

// Config is everything that can be set. Every key has a default but state.dir.
type Config struct {
	Camera  Camera  `toml:"camera"`
	Motion  Motion  `toml:"motion"`
	Event   Event   `toml:"event"`
	Clip    Clip    `toml:"clip"`
	State   State   `toml:"state"`
	Spool   Spool   `toml:"spool"`
	Hub     Hub     `toml:"hub"`
	Pairing Pairing `toml:"pairing"`
	Log     Log     `toml:"log"`
}

// Camera says where pictures come from.
type Camera struct {
	// Source is a URL: "v4l2:auto" (the first camera that gives pictures, the default),
	// "v4l2:/dev/video0", "rpicam:0", "file:PATH" or "scene:". docs/ref/sources.md has
	// their parameters.
	Source string `toml:"source"`
	// Exposure is for how long each picture is exposed, such as "10ms" (100us to 10s), or
	// "auto", the camera's choice. Where it is not set, the camera stays as it is; so it
	// does with the next three.
	Exposure string `toml:"exposure"`
	// Gain is how much the sensor's signal is amplified: a number in the camera's own
	// units, such as "16", or "auto". `lensward doctor` shows how far it goes.
	Gain string `toml:"gain"`
	// PowerLine is the frequency of the mains, so that lamps do not flicker: "50Hz", "60Hz",
	// "auto" or "off".
	PowerLine string `toml:"power_line"`
	// Flip turns the picture: "none", "horizontal", "vertical", or "both" for a camera that
	// hangs upside down.
	Flip string `toml:"flip"`
	// Controls sets others by the names that the camera's driver has for them, such as
	// {"infrared lamp" = 1}; at most 32. `lensward doctor` shows the names.
	Controls map[string]int `toml:"controls"`
	// Mask is a part of the picture that is black in all that leaves the camera:
	// thumbnails, clips and live. There may be 32. Video that the camera encodes itself
	// (H.264) cannot have one: the agent says so and does not start.
	Mask []Mask `toml:"mask"`
}

// Mask is a part of the picture that nobody sees.
type Mask struct {
	// Corners are the mask's 3 to 32 corners, given as those of a motion.zone. All of a
	// block of 8 by 8 pixels is black that a mask touches.
	Corners [][]float64 `toml:"corners"`
}

// Area is the mask's corners as an area, or an error that says what is wrong with
// them.
func (m Mask) Area() (capture.Area, error) { return area(m.Corners) }

// Motion says what counts as somebody in the picture.
type Motion struct {
	// Sensitivity is how faint a change may be: "low" (a street, a garden, a noisy
	// sensor), "normal" (the default) or "high" (a grey coat before a grey wall, and now
	// and then a shadow). It holds wherever no zone says otherwise.
	Sensitivity string `toml:"sensitivity"`
	// Smallest is the height of the smallest person that counts, as a share of the
	// picture's height, 0.02 to 0.9. A larger one leaves out cats and those far away.
	// Default 0.07.
	Smallest float64 `toml:"smallest"`
	// Stand is how long what came into the picture may be without the least movement
	// before it belongs to the scene, 2s to 1h: a parked car, a parcel, a moved chair.
	// People never are. Default "1m".
	Stand Duration `toml:"stand"`
	// Rate is how many frames a second are looked at, 5 to 60, where the camera gives
	// more. Above 12 nothing more is found, but it costs more. Default 15.
	Rate int `toml:"rate"`
	// Zone is a part of the picture with a sensitivity of its own; there may be 32.
	// Where two overlap, the later one counts. Events say which zones they were in.
	Zone []Zone `toml:"zone"`
}

// Zone is a part of the picture.
type Zone struct {
	// Name is what events call it, 1 to 40 characters.
	Name string `toml:"name"`
	// Sensitivity is "off" (nothing counts here: a road, a tree, a television), "low",
	// "normal" or "high". Default "normal".
	Sensitivity string `toml:"sensitivity"`
	// Corners are the zone's 3 to 32 corners, each as shares of the picture's width and
	// height from its upper left corner: [[0, 0.5], [1, 0.5], [1, 1], [0, 1]] is the lower
	// half.
	Corners [][]float64 `toml:"corners"`
}

// Area is the zone's corners as an area, or an error that says what is wrong with
// them.
func (z Zone) Area() (capture.Area, error) { return area(z.Corners) }

func area(corners [][]float64) (capture.Area, error) {
	a := make(capture.Area, 0, len(corners))
	for _, c := range corners {
		if len(c) != 2 {
			return nil, fmt.Errorf("a corner has 2 numbers, not %d", len(c))
		}
		a = append(a, capture.Point{X: c[0], Y: c[1]})
	}
	return a, a.Validate()
}

// Event says when an event begins and ends.
type Event struct {
	// PreRoll is how much of the time before the motion belongs to the clip, 0s to 30s.
	// Default "5s".
	PreRoll Duration `toml:"pre_roll"`
	// PostRoll is how long the clip goes on when nobody is there any more, 1s to 60s,
	// unless the next event begins before. Default "5s".
	PostRoll Duration `toml:"post_roll"`
	// Merge is the longest time out of sight after which motion carries the same event
	// on, 0s to PostRoll. Default "1.2s".
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
	// Key is where a new device's key is made: "tpm" (in a TPM 2.0, which it never leaves),
	// "file" (who reads the disk can copy it), or "auto" (the default), a TPM where there is
	// one and a file elsewhere. A key that is there stays where it is, whatever is set.
	Key string `toml:"key"`
	// TPM is the TPM's device. Default "/dev/tpmrm0".
	TPM string `toml:"tpm"`
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

// Hub says where the items go. Without broker, url and ca_file a camera goes to the hub
// of the code by which it was paired; with them, a code for another hub is refused.
type Hub struct {
	// Broker is the MQTT broker's host:port; it is spoken to over TLS. A hub of several nodes has a list, such as ["a.example:8883", "b.example:8883"], at most
	// 16: a camera begins with one by chance and goes on to the next when that fails.
	Broker Addresses `toml:"broker"`
	// URL is the hub's HTTPS address for enrolment and uploads, or a list of those of its
	// nodes.
	URL Addresses `toml:"url"`
	// CAFile holds the certificates (PEM) that the hub's must lead to. The first is the
	// hub's own: its key signs the hub's hints.
	CAFile string `toml:"ca_file"`
	// EnrolTokenFile holds the token that the hub asks for at enrolment, where it does. A
	// claim token is used once: its file is removed when the camera has its certificate.
	EnrolTokenFile string `toml:"enrol_token_file"`
	// HintURL is where the hub's hint may be had while the hub is down: how long a window
	// its fleet needs to come back. An http or https address that is not on the hub's own
	// machine; plain http will do, since the hint is signed. Default: none, the hub gives
	// its hint when a camera is connected.
	HintURL string `toml:"hint_url"`
	// ConnectWindow is the width of the window in which a connect takes its moment while
	// the hub has given no hint, 0s to 1h: as wide as the fleet needs. It grows while the
	// hub is down. Once the hub has given a hint, that counts in its place, after a restart
	// too. Default "30s".
	ConnectWindow Duration `toml:"connect_window"`
}

// Pairing says by what a camera is paired and reset, beside its lens.
type Pairing struct {
	// LED is the lamp that shows how a pairing is: a name in /sys/class/leds. It blinks
	// slowly while the camera looks for a code and fast while it calls the code's owner, is
	// steady for 10 seconds when it is paired, and blinks three times when that failed.
	// Default: none.
	LED string `toml:"led"`
	// Button is the input device of the button, such as
	// "/dev/input/by-path/platform-gpio-keys-event". Held for 5 seconds, it resets the
	// camera: it is nobody's, and can be paired anew. Default: none.
	Button string `toml:"button"`
	// ButtonKey is the button's key code. Default 408, KEY_RESTART.
	ButtonKey int `toml:"button_key"`
	// Serial is a serial port on which a camera can be paired too, by
	// `lensctl pair --serial`, such as "/dev/ttyGS0". Default: none.
	Serial string `toml:"serial"`
	// SerialSpeed is its speed in bits a second; 0 leaves it as it is. Default 115200.
	SerialSpeed int `toml:"serial_speed"`
	// WiFi is what joins the Wi-Fi network that a code names: "auto" (the default),
	// NetworkManager or wpa_supplicant, whichever is there, or "none".
	WiFi string `toml:"wifi"`
}

// Log says what is told.
type Log struct {
	// Level is "debug", "info" (the default), "warn" or "error".
	Level string `toml:"level"`
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Camera: Camera{Source: "v4l2:auto"},
		Motion: Motion{Sensitivity: "normal", Smallest: 0.07, Stand: Duration{time.Minute}, Rate: 15},
		Event: Event{
			PreRoll: Duration{5 * time.Second}, PostRoll: Duration{5 * time.Second}, Merge: Duration{1200 * time.Millisecond},
			Longest: Duration{2 * time.Minute}, PerHour: 60,
		},
		Clip:    Clip{Part: Duration{4 * time.Second}, Memory: Size{16 << 20}},
		State:   State{Key: "auto", TPM: "/dev/tpmrm0"},
		Spool:   Spool{Clips: Size{512 << 20}, Thumbnails: Size{64 << 20}, Records: Size{32 << 20}, Reserve: Size{16 << 20}},
		Hub:     Hub{ConnectWindow: Duration{30 * time.Second}},
		Pairing: Pairing{ButtonKey: 408, SerialSpeed: 115200, WiFi: "auto"},
		Log:     Log{Level: "info"},
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
	for _, p := range []*string{&c.State.Dir, &c.State.TPM, &c.Hub.CAFile, &c.Hub.EnrolTokenFile} {
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
		{"motion.stand", c.Motion.Stand, 2 * time.Second, time.Hour},
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
	if err := c.Camera.check(); err != nil {
		return err
	}
	if err := c.Motion.check(); err != nil {
		return err
	}
	if err := c.State.check(); err != nil {
		return err
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		return &Error{Key: "log.level", What: fmt.Sprintf("log.level is %q", c.Log.Level), Hint: `give "debug", "info", "warn" or "error"`}
	}
	for _, r := range []struct{ key, v string }{{"camera.source", c.Camera.Source}, {"state.dir", c.State.Dir}} {
		if r.v == "" {
			return &Error{Key: r.key, What: r.key + " is not set", Hint: "docs/ref/config.md says what it is"}
		}
	}
	if err := c.Pairing.check(); err != nil {
		return err
	}
	return c.Hub.check()
}

// check holds what counts as motion.
func (m *Motion) check() *Error {
	switch m.Sensitivity {
	case "low", "normal", "high":
	default:
		return &Error{Key: "motion.sensitivity", What: fmt.Sprintf("motion.sensitivity is %q", m.Sensitivity), Hint: `give "low", "normal" or "high"`}
	}
	if !(m.Smallest >= 0.02 && m.Smallest <= 0.9) {
		return &Error{Key: "motion.smallest", What: fmt.Sprintf("motion.smallest is %v", m.Smallest), Hint: "give 0.02 to 0.9"}
	}
	if m.Rate < 5 || m.Rate > 60 {
		return &Error{Key: "motion.rate", What: fmt.Sprintf("motion.rate is %d", m.Rate), Hint: "give 5 to 60"}
	}
	if len(m.Zone) > maxZones {
		return &Error{Key: "motion.zone", What: fmt.Sprintf("there are %d zones", len(m.Zone)), Hint: fmt.Sprintf("give at most %d", maxZones)}
	}
	for i := range m.Zone {
		if err := m.Zone[i].check(); err != nil {
			err.Key = fmt.Sprintf("motion.zone[%d].%s", i, err.Key)
			return err
		}
	}
	return nil
}

// check holds one zone, and fills in what it leaves out. The error's key is the
// zone's own.
func (z *Zone) check() *Error {
	if n := utf8.RuneCountInString(z.Name); n < 1 || n > 40 {
		return &Error{Key: "name", What: fmt.Sprintf("the zone's name %q has %d characters", z.Name, n), Hint: "give 1 to 40"}
	}
	if z.Sensitivity == "" {
		z.Sensitivity = "normal"
	}
	switch z.Sensitivity {
	case "off", "low", "normal", "high":
	default:
		return &Error{Key: "sensitivity", What: fmt.Sprintf("zone %q: sensitivity is %q", z.Name, z.Sensitivity), Hint: `give "off", "low", "normal" or "high"`}
	}
	if _, err := z.Area(); err != nil {
		return &Error{Key: "corners", What: fmt.Sprintf("zone %q: %v", z.Name, err), Hint: "docs/ref/config.md says how corners are given"}
	}
	return nil
}
