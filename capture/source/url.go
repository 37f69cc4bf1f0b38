//go:build linux

package source

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxURLBytes is the length of the longest URL that is read.
const maxURLBytes = 4096

// sourceURL is a URL taken apart.
type sourceURL struct {
	scheme, path string
	params       *params
}

// known are the parameters of each scheme.
func known(scheme string) []string {
	switch scheme {
	case "scene":
		return []string{"width", "height", "fps", "seed", "duration", "empty", "rate"}
	case "file":
		return []string{"fps", "loop", "rate"}
	case "v4l2":
		return []string{"width", "height", "fps", "format", "encode", "bitrate"}
	case "rpicam":
		return []string{"width", "height", "fps", "format", "bitrate"}
	default:
		return nil
	}
}

// parse takes a URL apart and checks the names of its parameters.
func parse(name string) (sourceURL, error) {
	if len(name) > maxURLBytes {
		return sourceURL{}, fmt.Errorf("source URL has %d bytes, more than %d", len(name), maxURLBytes)
	}
	scheme, rest, found := strings.Cut(name, ":")
	names := known(scheme)
	if !found || names == nil {
		return sourceURL{}, fmt.Errorf("source %q: it begins with none of scene:, file:, v4l2: and rpicam:; hint: a file is file:PATH", name)
	}
	raw, query, _ := strings.Cut(rest, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return sourceURL{}, fmt.Errorf("source %q: path: %w; hint: %% is written %%25", name, err)
	}
	if strings.ContainsRune(path, 0) {
		return sourceURL{}, fmt.Errorf("source %q: the path has a NUL in it", name)
	}
	if host, local := strings.CutPrefix(path, "//"); local { // file:///a/path
		if !strings.HasPrefix(host, "/") {
			return sourceURL{}, fmt.Errorf("source %q: it names a host; hint: a path has one slash or three before it", name)
		}
		path = host
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return sourceURL{}, fmt.Errorf("source %q: parameters: %w", name, err)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, key) {
			return sourceURL{}, fmt.Errorf("source %q: %s: has no parameter %q, only %s", name, scheme, key, strings.Join(names, ", "))
		}
		if len(values[key]) > 1 {
			return sourceURL{}, fmt.Errorf("source %q: parameter %s is given %d times", name, key, len(values[key]))
		}
	}
	return sourceURL{scheme, path, &params{values: values}}, nil
}

// params reads parameters and keeps the first error.
type params struct {
	values url.Values
	err    error
}

func (p *params) fail(key, wants string) {
	if p.err == nil {
		p.err = fmt.Errorf("parameter %s is %q, not %s", key, p.values.Get(key), wants)
	}
}

// integer returns a whole number other than 0, or 0 if it is not given.
func (p *params) integer(key string) int {
	if !p.values.Has(key) {
		return 0
	}
	n, err := strconv.ParseInt(p.values.Get(key), 10, 32)
	if err != nil || n == 0 {
		p.fail(key, "a whole number other than 0")
	}
	return int(n)
}

// size returns width and height: both or neither.
func (p *params) size() (width, height int) {
	width, height = p.integer("width"), p.integer("height")
	if p.err == nil && (width == 0) != (height == 0) {
		p.err = errors.New("width and height are given both or not at all")
	}
	return width, height
}

// number returns a number above 0, or 0 if it is not given.
func (p *params) number(key string) float64 {
	if !p.values.Has(key) {
		return 0
	}
	n, err := strconv.ParseFloat(p.values.Get(key), 64)
	if err != nil || !(n > 0) { // NaN too
		p.fail(key, "a number above 0")
	}
	return n
}

// duration returns a duration above 0, or 0 if it is not given.
func (p *params) duration(key string) time.Duration {
	if !p.values.Has(key) {
		return 0
	}
	d, err := time.ParseDuration(p.values.Get(key))
	if err != nil || d <= 0 {
		p.fail(key, "a duration such as 60s")
	}
	return d
}

// choice returns the value's index among the words; the first is the default.
func (p *params) choice(key string, words ...string) int {
	if !p.values.Has(key) {
		return 0
	}
	i := slices.Index(words, p.values.Get(key))
	if i < 0 {
		p.fail(key, strings.Join(words, " or "))
	}
	return i
}

// word returns one of the words; the first is the default.
func (p *params) word(key string, words ...string) string {
	return words[max(p.choice(key, words...), 0)]
}
