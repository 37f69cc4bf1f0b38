package house

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// direction says what the packages under one directory may import of this
// module. The first rule whose directory holds a package counts.
type direction struct {
	dir string
	// may lists directories; one that ends in "/..." includes what is below it.
	may []string
	// outside, unless nil, lists the only modules besides the standard library.
	outside []string
}

// sealModules is all that a phone app or a cloud service takes in with the
// sealed item.
func sealModules() []string {
	return []string{"filippo.io/age", "github.com/veraison/go-cose", "github.com/fxamacker/cbor/v2"}
}

// directions is the table of docs/design/layout.md.
func directions() []direction {
	return []direction{
		{dir: "cmd", may: []string{"cmd/internal/...", "agent/...", "capture/...", "transport/...", "firmware/...", "hw/...", "internal/..."}},
		{dir: "agent", may: []string{"agent/...", "capture/...", "transport/...", "firmware/...", "hw/...", "internal/..."}},
		{dir: "capture", may: []string{"capture/...", "internal/..."}},
		{dir: "hw", may: []string{"hw/...", "internal/..."}},
		{dir: "firmware", may: []string{"firmware/...", "internal/..."}},
		{dir: "transport/statement", outside: sealModules()},
		{dir: "transport/seal", may: []string{"transport/seal/...", "transport/statement"}, outside: sealModules()},
		{dir: "transport/ownership", may: []string{"transport/seal", "transport/statement"}, outside: sealModules()},
		{dir: "transport", may: []string{"transport/...", "capture", "internal/..."}},
		{dir: "internal"},
	}
}

// allowed says whether one of the patterns covers the directory.
func allowed(dir string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if top, ok := strings.CutSuffix(p, "/..."); ok {
			return under(dir, top)
		}
		return dir == p
	})
}

// leaf gives the package directly under internal that dir is part of; "" if none.
func leaf(dir string) string {
	below, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(below, "/")
	return name
}

// wrong says what is wrong with a package in dir importing path; "" if nothing.
func wrong(dir, path string) string {
	i := slices.IndexFunc(directions(), func(d direction) bool { return under(dir, d.dir) })
	if i < 0 {
		return "has no place in docs/design/layout.md"
	}
	rule := directions()[i]
	if own, ok := strings.CutPrefix(path, module+"/"); ok {
		if allowed(own, rule.may) || leaf(own) != "" && leaf(own) == leaf(dir) {
			return ""
		}
		return "must not import " + own
	}
	first, _, _ := strings.Cut(path, "/")
	if rule.outside == nil || !strings.Contains(first, ".") {
		return ""
	}
	if slices.ContainsFunc(rule.outside, func(m string) bool { return under(path, m) }) {
		return ""
	}
	return "must not import " + path
}

// The design's directions hold in everything that ships. Tests may reach
// further, to put parts together; what they prove is not imported by anyone.
func TestImportDirections(t *testing.T) {
	set, files := sources(t)
	for _, f := range files {
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if own, ok := strings.CutPrefix(path, module+"/"); ok && strings.HasSuffix(own, "test") && !strings.HasSuffix(f.dir(), "test") {
				t.Errorf("%s: %s ships a package for tests, %s", set.Position(spec.Pos()), f.dir(), own)
			}
			if fault := wrong(f.dir(), path); fault != "" {
				t.Errorf("%s: %s %s", set.Position(spec.Pos()), f.dir(), fault)
			}
		}
	}
}

// A check that cannot fail is worth nothing: these are the imports that the
// directions are there to stop, and their neighbours that are fine.
func TestDirectionsTellRightFromWrong(t *testing.T) {
	for _, c := range []struct {
		dir, path string
		ok        bool
	}{
		{"capture/motion", module + "/capture", true},
		{"capture/motion", module + "/transport/seal", false},
		{"capture", module + "/hw", false},
		{"hw/devicekey", module + "/internal/durable", true},
		{"hw/devicekey", module + "/firmware", false},
		{"firmware/slot", module + "/capture", false},
		{"transport/live", module + "/capture", true},
		{"transport/live", module + "/capture/clip", false},
		{"transport/spool", module + "/agent/config", false},
		{"transport/seal", "crypto/ecdsa", true},
		{"transport/seal", "filippo.io/age/armor", true},
		{"transport/seal", "golang.org/x/sync/errgroup", false},
		{"transport/seal", module + "/internal/durable", false},
		{"transport/seal", module + "/transport", false},
		{"transport/statement", module + "/transport/seal", false},
		{"transport/ownership", module + "/transport/seal", true},
		{"transport/ownership", module + "/transport/spool", false},
		{"internal/durable", module + "/capture", false},
		{"internal/durable", module + "/internal/qemu", false},
		{"internal/durable/cut", module + "/internal/durable", true},
		{"internal/durable", "golang.org/x/sys/unix", true},
		{"agent", module + "/cmd/lensctl", false},
		{"agent", module + "/transport/hub", true},
		{"cmd/lensctl", module + "/cmd/internal/cli", true},
		{"cmd/lensctl", module + "/cmd/lensward", false},
		{"util", module + "/capture", false},
	} {
		if got := wrong(c.dir, c.path); (got == "") != c.ok {
			t.Errorf("%s importing %s: %q", c.dir, c.path, got)
		}
	}
}

// The broker is half of lensctl's size. The agent must not carry it.
func TestAgentCarriesNoBroker(t *testing.T) {
	_, files := sources(t)
	imports := map[string][]string{}
	for _, f := range files {
		for _, spec := range f.ast.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !f.test {
				imports[f.dir()] = append(imports[f.dir()], path)
			}
		}
	}
	seen := map[string]bool{}
	queue := []string{"cmd/lensward"}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		for _, path := range imports[dir] {
			if strings.HasPrefix(path, "github.com/nats-io/") {
				t.Errorf("lensward carries %s, by way of %s", path, dir)
			}
			if own, ok := strings.CutPrefix(path, module+"/"); ok {
				queue = append(queue, own)
			}
		}
	}
	if len(seen) < 2 {
		t.Error("cmd/lensward imports nothing: this test looks in the wrong place")
	}
}
