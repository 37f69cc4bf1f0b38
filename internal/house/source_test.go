package house

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// Every package says what it is, at the top of one of its files.
func TestPackageComments(t *testing.T) {
	_, files := sources(t)
	doc := map[string]bool{}
	for _, f := range files {
		name := f.ast.Name.Name
		if strings.HasSuffix(name, "_test") {
			continue
		}
		if f.test && f.dir() != "internal/house" {
			continue
		}
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(f.dir()) + " "
		}
		text := f.ast.Doc.Text()
		doc[f.dir()] = doc[f.dir()] || strings.HasPrefix(text, want)
		if text != "" && !strings.HasPrefix(text, want) {
			t.Errorf("%s: the package comment does not begin with %q", f.name, want)
		}
	}
	for dir, ok := range doc {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// A file that does not fit in a head is two.
func TestFileLengths(t *testing.T) {
	const limit = 500
	for _, name := range tracked(t) {
		switch path.Ext(name) {
		case ".go", ".js", ".mjs", ".css", ".html", ".sh":
		default:
			continue
		}
		text := read(t, name)
		if generated(text) {
			continue
		}
		if n := strings.Count(text, "\n"); n > limit {
			t.Errorf("%s: %d lines, more than %d", name, n, limit)
		}
	}
}

// generated says whether a file was written by a program: Go's own mark, or a
// bundle's, in the first lines.
func generated(text string) bool {
	head := strings.SplitN(text, "\n", 6)
	return slices.ContainsFunc(head[:min(5, len(head))], func(line string) bool {
		return strings.Contains(line, "Code generated ") && strings.Contains(line, "DO NOT EDIT")
	})
}

// init runs before anyone asked, and iota gives values that nobody can read off
// the page and that move when a line is added.
func TestNoInitNoIota(t *testing.T) {
	set, files := sources(t)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: func init", set.Position(fn.Pos()))
			}
			if gen, ok := d.(*ast.GenDecl); ok && gen.Tok == token.CONST {
				ast.Inspect(gen, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok && id.Name == "iota" {
						t.Errorf("%s: iota", set.Position(id.Pos()))
					}
					return true
				})
			}
		}
	}
}
