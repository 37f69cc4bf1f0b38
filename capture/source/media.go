//go:build linux

package source

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/scene"
)

func openScene(u sourceURL, opts Options) (capture.Source, Info, error) {
	if u.path != "" {
		return nil, Info{}, fmt.Errorf("scene: has no path, but %q; hint: parameters come after a ?", u.path)
	}
	s := scene.Settings{
		FPS:      u.params.number("fps"),
		Seed:     int64(u.params.integer("seed")),
		Duration: u.params.duration("duration"),
		Empty:    u.params.choice("empty", "false", "true") == 1,
		Fast:     u.params.choice("rate", "real", "max") == 1,
		Start:    opts.Start,
	}
	s.Width, s.Height = u.params.size()
	if u.params.err != nil {
		return nil, Info{}, u.params.err
	}
	if err := s.Validate(); err != nil {
		return nil, Info{}, err
	}
	src := scene.New(s)
	s = src.Settings()
	return src, Info{
		Format: capture.FormatMJPEG, Width: s.Width, Height: s.Height, FPS: s.FPS,
		Finite: s.Duration > 0, Live: !s.Fast,
	}, nil
}

func openFile(u sourceURL, opts Options) (capture.Source, Info, error) {
	o := scene.FileOptions{
		FPS:   u.params.number("fps"),
		Loop:  u.params.choice("loop", "false", "true") == 1,
		Fast:  u.params.choice("rate", "real", "max") == 1,
		Start: opts.Start,
		Log:   opts.Log,
	}
	if u.params.err != nil {
		return nil, Info{}, u.params.err
	}
	if u.path == "" {
		return nil, Info{}, errors.New("file: names no file")
	}
	src, err := scene.OpenFile(u.path, o)
	if err != nil {
		return nil, Info{}, err
	}
	i := src.Info()
	return src, Info{
		Format: i.Format, Width: i.Width, Height: i.Height, FPS: i.FPS,
		Finite: !o.Loop, Live: !o.Fast,
	}, nil
}
