// Package house holds the rules of this repository that no linter knows, as
// tests: which package may import which, what every package and file looks
// like, and that the documentation tells the truth about the tree.
//
// It owns no code and nothing imports it. docs/design/layout.md and
// CONTRIBUTING.md give the rules their reasons.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/lensward/lensward"

// sourceFile is one Go file of the repository, whatever its build tags.
type sourceFile struct {
	name string // slash-separated, from the root
	test bool
	ast  *ast.File
}

// dir is the file's directory: its package's path inside the module.
func (f sourceFile) dir() string { return path.Dir(f.name) }

// root is the repository's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("the repository's root is not where it is expected: %v", err)
	}
	return dir
}

// tracked gives the names of the files that belong to the repository, leaving
// out what .gitignore names.
func tracked(t *testing.T) []string {
	t.Helper()
	var names []string
	top := root(t)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) { // a test elsewhere removed its temporary file
				return nil
			}
			return err
		}
		name, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "node_modules", "bin", "dist":
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walk the repository: %v", err)
	}
	return names
}

// read gives a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sources parses every Go file of the repository.
func sources(t *testing.T) (*token.FileSet, []sourceFile) {
	t.Helper()
	set := token.NewFileSet()
	var files []sourceFile
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "/testdata/") {
			continue
		}
		f, err := parser.ParseFile(set, name, read(t, name), parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse: %v", err)
			continue
		}
		files = append(files, sourceFile{
			name: name,
			test: strings.HasSuffix(name, "_test.go"),
			ast:  f,
		})
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return set, files
}

// under says whether dir is top or lies below it.
func under(dir, top string) bool {
	return dir == top || strings.HasPrefix(dir, top+"/")
}
