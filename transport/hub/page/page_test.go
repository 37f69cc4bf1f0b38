package page

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// names are all of the page's files.
func names(t *testing.T) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatalf("list the page's files: %v", err)
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(FS(), name)
	if err != nil {
		t.Fatalf("read the page's %s: %v", name, err)
	}
	return string(b)
}

func TestPageIsComplete(t *testing.T) {
	referred := regexp.MustCompile(`(?:(?:src|href)="|from "|import ")(?:\./)?([^"#]+)"`)
	checked := 0
	for _, name := range names(t) {
		if ext := path.Ext(name); ext != ".html" && ext != ".js" && ext != ".css" {
			continue
		}
		for _, m := range referred.FindAllStringSubmatch(read(t, name), -1) {
			checked++
			if _, err := fs.Stat(FS(), m[1]); err != nil {
				t.Errorf("%s refers to %q, which is not in the page: %v", name, m[1], err)
			}
		}
	}
	if checked < 5 {
		t.Fatalf("found %d references, want at least the script, the style, the icon and the shared module", checked)
	}
}

func TestPageHasNoInlineCode(t *testing.T) {
	html := read(t, "index.html")
	for _, inline := range []string{`<script>`, `<style`, ` style=`, `javascript:`} {
		if strings.Contains(html, inline) {
			t.Errorf("index.html has %q, which a content security policy without inline code forbids", inline)
		}
	}
	if m := regexp.MustCompile(`\son[a-z]+=`).FindString(html); m != "" {
		t.Errorf("index.html has an inline handler:%s", m)
	}
	for _, name := range names(t) {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function("} {
			if strings.Contains(read(t, name), sink) {
				t.Errorf("%s uses %s", name, sink)
			}
		}
	}
}

func TestPageNamesItsPackages(t *testing.T) {
	b, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		t.Fatalf("read package-lock.json: %v", err)
	}
	notices := read(t, "THIRD-PARTY.txt")
	for dir, p := range lock.Packages {
		if dir == "" {
			continue
		}
		_, name, _ := cutLast(dir, "node_modules/")
		if !strings.Contains(notices, name+" "+p.Version+"\n") {
			t.Errorf("THIRD-PARTY.txt does not name %s %s", name, p.Version)
		}
		if p.Integrity == "" || p.Resolved != "" {
			t.Errorf("package-lock.json: %s wants an integrity and no host", dir)
		}
	}
	if len(lock.Packages) < 2 {
		t.Fatal("package-lock.json lists no packages")
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}
