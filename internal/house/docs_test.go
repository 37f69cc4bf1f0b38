package house

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is one Markdown file: its headings' anchors, and its links.
type page struct {
	anchors []string
	links   []string
}

// parsePage reads the parts of Markdown that links depend on. Code blocks and
// code spans hold neither headings nor links.
func parsePage(text string) page {
	var p page
	link := regexp.MustCompile(`\]\(([^()\s]+)(?:\s+"[^"]*")?\)|(?:src|href)="([^"]+)"`)
	span := regexp.MustCompile("`[^`]*`")
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
			p.anchors = append(p.anchors, anchor(heading))
		}
		for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(line, "``"), -1) {
			p.links = append(p.links, m[1]+m[2])
		}
	}
	return p
}

// anchor makes a heading's fragment as the usual Markdown hosts do.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// A link that leads nowhere is a promise that was broken.
func TestDocumentationLinks(t *testing.T) {
	names := tracked(t)
	pages := map[string]page{}
	for _, name := range names {
		if path.Ext(name) == ".md" {
			pages[name] = parsePage(read(t, name))
		}
	}
	exists := func(name string) bool {
		return name == "." || slices.ContainsFunc(names, func(n string) bool { return under(n, name) })
	}
	for name, p := range pages {
		for _, link := range p.links {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			target, fragment, _ := strings.Cut(link, "#")
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if !exists(file) {
				t.Errorf("%s: the link %q leads nowhere", name, link)
				continue
			}
			if fragment != "" && path.Ext(file) == ".md" && !slices.Contains(pages[file].anchors, fragment) {
				t.Errorf("%s: the link %q: %s has no such heading", name, link, file)
			}
		}
	}
}

// A page that the index does not name is a page that nobody finds.
func TestDocumentationIndex(t *testing.T) {
	index := parsePage(read(t, "docs/README.md"))
	for _, name := range tracked(t) {
		if path.Ext(name) != ".md" || !strings.HasPrefix(name, "docs/") || name == "docs/README.md" {
			continue
		}
		if !slices.Contains(index.links, strings.TrimPrefix(name, "docs/")) {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

// The layout page is the map: a package that is not on it has no place. What
// tests share goes without saying.
func TestLayoutNamesEveryPackage(t *testing.T) {
	_, files := sources(t)
	layout := read(t, "docs/design/layout.md")
	told := map[string]bool{}
	for _, f := range files {
		if dir := f.dir(); !told[dir] && (!strings.HasSuffix(dir, "test") || dir == "internal/systest") && !strings.Contains(layout, "`"+dir+"`") {
			told[dir] = true
			t.Errorf("docs/design/layout.md does not name %s", dir)
		}
	}
}

// Whoever searches for an error's text finds it word for word: each heading of
// the troubleshooting page that is a code span is in the source. An ellipsis
// stands for what varies.
func TestTroubleshootingQuotesTheSource(t *testing.T) {
	var source strings.Builder
	for _, name := range tracked(t) {
		switch path.Ext(name) {
		case ".go", ".js", ".mjs", ".sh", ".html":
			if !strings.HasSuffix(name, "_test.go") {
				source.WriteString(read(t, name))
			}
		}
	}
	all := source.String()
	heading := regexp.MustCompile("(?m)^#+ `(.*)`$")
	found := heading.FindAllStringSubmatch(read(t, "docs/guide/troubleshooting.md"), -1)
	if len(found) == 0 {
		t.Fatal("docs/guide/troubleshooting.md quotes no error")
	}
	for _, m := range found {
		for _, part := range strings.Split(m[1], "…") {
			if part = strings.TrimSpace(part); part != "" && !strings.Contains(all, part) {
				t.Errorf("no program says %q, of %q", part, m[1])
			}
		}
	}
}

// The repository is the same on every machine: it names nobody's directories.
func TestNoMachinePaths(t *testing.T) {
	homes := regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(root|work|Users|home)/[\w.]`)
	for _, name := range tracked(t) {
		switch path.Ext(name) {
		case ".go", ".md", ".js", ".mjs", ".json", ".html", ".css", ".sh", ".toml", ".yml", ".yaml", ".mod", ".txt", ".txtar", ".service", "":
		default:
			continue
		}
		number := 0
		for line := range strings.Lines(read(t, name)) {
			number++
			if m := homes.FindString(line); m != "" {
				t.Errorf("%s:%d: a path of one machine: %s", name, number, strings.TrimSpace(line))
			}
		}
	}
}

func TestLinkParser(t *testing.T) {
	p := parsePage("# A sealed item's `kind`\nsee [x](a.md#b) and `[y](no.md)`\n```\n# no\n[z](no.md)\n```\n<img src=\"p.png\">\n")
	if want := []string{"a.md#b", "p.png"}; !slices.Equal(p.links, want) {
		t.Errorf("links %q, want %q", p.links, want)
	}
	if want := []string{"a-sealed-items-kind"}; !slices.Equal(p.anchors, want) {
		t.Errorf("anchors %q, want %q", p.anchors, want)
	}
}
