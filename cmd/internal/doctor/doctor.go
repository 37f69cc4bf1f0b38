// Package doctor looks at the cameras of this machine as the agent would, and says
// what it finds: what each gives, what would be made of it and why, and what stands
// in the way. It is the verb doctor of both programs.
//
// It owns the report and how it is printed. It never changes a setting, and keeps
// no picture but the ones that it was asked to write.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/rpicam"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/capture/v4l2"
)

// Options say what is looked at.
type Options struct {
	// Configured opens the camera of a configuration; nil if there is none.
	Configured *source.Opener
	// Name is what the configured camera is called in the report: its URL.
	Name string
	// Pictures is the directory that pictures are written to; "" takes them and keeps
	// none.
	Pictures string
	// Log is told of what is odd.
	Log *slog.Logger

	discover func() ([]v4l2.Found, error) // tests have their own
}

// Report is what was found.
type Report struct {
	Cameras []Camera `json:"cameras"`
	// Modules are a Raspberry Pi's camera modules.
	Modules []Module `json:"modules"`
	// Tools are programs that some cameras need.
	Tools []Tool `json:"tools"`
	// Configured is the configured camera.
	Configured *Trial `json:"configured,omitempty"`
}

// Camera is one that V4L2 knows.
type Camera struct {
	Node     string    `json:"node"`
	Card     string    `json:"card"`
	Driver   string    `json:"driver"`
	Bus      string    `json:"bus"`
	Port     string    `json:"usb_port,omitempty"`
	Product  string    `json:"usb_product,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Offers   []Offer   `json:"offers"`
	Controls []Control `json:"controls,omitempty"`
	// Problem is why it cannot be looked at, Advice what to do instead of using it.
	Problem string `json:"problem,omitempty"`
	Advice  string `json:"advice,omitempty"`
	Trial   *Trial `json:"trial,omitempty"`
}

// Offer is a format that a camera has.
type Offer struct {
	Format string   `json:"format"`
	Text   string   `json:"text"`
	Usable bool     `json:"usable"`
	Sizes  []string `json:"sizes"`
}

// Control is what can be set by its name.
type Control struct {
	Name string `json:"name"`
	Min  int32  `json:"min"`
	Max  int32  `json:"max"`
}

// Module is a camera module.
type Module struct {
	Source string `json:"source"`
	Model  string `json:"model"`
	Size   string `json:"size"`
	Trial  *Trial `json:"trial,omitempty"`
}

// Tool is a program.
type Tool struct {
	Name string `json:"name"`
	// Path is where it is; "" if it is not installed.
	Path string `json:"path"`
	// For says what it is needed for.
	For string `json:"for"`
}

// Trial is what came of running a camera for a moment.
type Trial struct {
	Source string `json:"source"`
	// Format, Width, Height and FPS are what the agent would get, and Why so.
	Format string  `json:"format,omitempty"`
	Width  int     `json:"width,omitempty"`
	Height int     `json:"height,omitempty"`
	FPS    float64 `json:"fps,omitempty"`
	Why    string  `json:"why,omitempty"`
	// Measured is the rate at which frames came; Bytes is the mean size of one.
	Measured float64 `json:"measured_fps,omitempty"`
	Bytes    int     `json:"frame_bytes,omitempty"`
	// Picture is the file that one was written to.
	Picture string `json:"picture,omitempty"`
	// Condition names the fault, and Problem says what it was.
	Condition string `json:"condition,omitempty"`
	Problem   string `json:"problem,omitempty"`
}

// Works says that pictures came.
func (t *Trial) Works() bool { return t != nil && t.Problem == "" }

// Works says that some camera gives pictures.
func (r *Report) Works() bool {
	if r.Configured != nil {
		return r.Configured.Works()
	}
	for _, c := range r.Cameras {
		if c.Trial.Works() {
			return true
		}
	}
	for _, m := range r.Modules {
		if m.Trial.Works() {
			return true
		}
	}
	return false
}

// Look looks at all cameras, one after another, for some seconds each.
func Look(ctx context.Context, o Options) (*Report, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.discover == nil {
		o.discover = v4l2.Discover
	}
	r := &Report{Cameras: []Camera{}, Modules: []Module{}, Tools: tools()}
	if o.Configured != nil {
		r.Configured = try(ctx, o.Configured, o.Name, o.picture("configured"))
	}
	found, err := o.discover()
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		c := describe(f)
		if c.Problem == "" && c.Advice == "" {
			c.Trial = o.trial(ctx, "v4l2:"+c.Node, filepath.Base(c.Node))
		}
		r.Cameras = append(r.Cameras, c)
	}
	if err := o.modules(ctx, r); err != nil {
		return nil, err
	}
	return r, ctx.Err()
}

// modules looks at a Raspberry Pi's camera modules, where its program is installed.
func (o Options) modules(ctx context.Context, r *Report) error {
	list, err := rpicam.List(ctx)
	if errors.Is(err, rpicam.ErrNoProgram) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list camera modules: %w", err)
	}
	for _, l := range list {
		m := Module{Source: fmt.Sprintf("rpicam:%d", l.Index), Model: l.Model, Size: fmt.Sprintf("%d×%d", l.Width, l.Height)}
		m.Trial = o.trial(ctx, m.Source, fmt.Sprintf("rpicam%d", l.Index))
		r.Modules = append(r.Modules, m)
	}
	return nil
}

// trial runs a camera by its URL.
func (o Options) trial(ctx context.Context, url, name string) *Trial {
	opener, err := source.New(url, source.Options{Log: o.Log})
	if err != nil {
		return &Trial{Source: url, Condition: string(capture.FaultFailed), Problem: err.Error()}
	}
	return try(ctx, opener, url, o.picture(name))
}

// picture is the file that a camera's picture goes to; "" if to none.
func (o Options) picture(name string) string {
	if o.Pictures == "" {
		return ""
	}
	return filepath.Join(o.Pictures, name+".jpg")
}

// describe puts what was found into the report's words.
func describe(f v4l2.Found) Camera {
	id := f.Identity
	c := Camera{
		Node: id.Node, Card: id.Card, Driver: f.Driver, Bus: f.Bus, Port: id.Port, Serial: id.Serial,
		Offers: []Offer{}, Advice: f.Advice,
	}
	if id.Vendor != "" {
		c.Product = id.Vendor + ":" + id.Product
	}
	if f.Err != nil {
		c.Problem = f.Err.Error()
	}
	for _, o := range f.Offers {
		offer := Offer{Format: o.PixelFormat.String(), Text: o.Text, Usable: o.Usable, Sizes: []string{}}
		for _, s := range o.Sizes {
			text := s.String()
			for i, rate := range s.Rates {
				sep := ", "
				if i == 0 {
					sep = " at "
				}
				text += sep + rate.String()
			}
			offer.Sizes = append(offer.Sizes, text)
		}
		c.Offers = append(c.Offers, offer)
	}
	for _, k := range f.Controls {
		c.Controls = append(c.Controls, Control{Name: k.Name, Min: k.Min, Max: k.Max})
	}
	return c
}

// tools looks for the programs that some cameras need.
func tools() []Tool {
	all := []Tool{
		{Name: "ffmpeg", For: "finding motion in H.264 that a camera encodes, and making H.264 of raw pictures"},
		{Name: "rpicam-vid", For: "a Raspberry Pi's camera modules"},
	}
	for i := range all {
		path, err := exec.LookPath(all[i].Name)
		if err == nil {
			all[i].Path = path
		}
	}
	return all
}

// How long a camera is watched: exposure settles within the first second.
const (
	patience = 15 * time.Second // for the first frame
	watched  = 2 * time.Second  // from the first frame on
)
