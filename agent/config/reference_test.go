package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lensward/lensward/agent/config"
)

var update = flag.Bool("update", false, "write docs/ref/config.md anew")

const reference = "../../docs/ref/config.md"

// TestReference holds docs/ref/config.md to the doc comments of Config: they are
// the manual.
func TestReference(t *testing.T) {
	want := makeReference(t)
	if *update {
		if err := os.WriteFile(reference, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the doc comments say; write it anew with: go test ./agent/config -update", reference)
	}
}

func makeReference(t *testing.T) []byte {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := make(map[string]*ast.StructType)
	docs := make(map[string]string)
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, s := range gen.Specs {
			spec := s.(*ast.TypeSpec)
			if st, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name], docs[spec.Name.Name] = st, gen.Doc.Text()
			}
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Configuration\n\nOne TOML file, given with `lensward --config FILE` and checked with `lensward check-config FILE`.\nAn unknown key or a value of the wrong type is refused with its line. Relative paths are\nrelative to the file's folder. Durations are written like `\"5s\"`, sizes like `\"64MiB\"`.\n\nThis page is made from the doc comments of the package `agent/config`.\n")
	top := reflect.TypeFor[config.Config]()
	for i := range top.NumField() {
		field := top.Field(i)
		name := field.Type.Name()
		fmt.Fprintf(&out, "\n## [%s]\n\n%s\n", field.Tag.Get("toml"), strings.TrimSpace(docs[name]))
		writeKeys(&out, structs, name, field.Tag.Get("toml"))
	}
	return out.Bytes()
}

// writeKeys writes the keys of a table, and of the lists of tables in it.
func writeKeys(out *bytes.Buffer, structs map[string]*ast.StructType, name, table string) {
	for _, k := range structs[name].Fields.List {
		tag := reflect.StructTag(strings.Trim(k.Tag.Value, "`")).Get("toml")
		text := k.Doc.Text()
		if text == "" {
			text = "As the key above.\n"
		}
		list, ok := k.Type.(*ast.ArrayType)
		if !ok {
			fmt.Fprintf(out, "\n### `%s.%s`\n\n%s", table, tag, text)
			continue
		}
		of, ok := list.Elt.(*ast.Ident)
		if !ok || structs[of.Name] == nil {
			fmt.Fprintf(out, "\n### `%s.%s`\n\n%s", table, tag, text)
			continue
		}
		fmt.Fprintf(out, "\n### `[[%s.%s]]`\n\n%s", table, tag, text)
		writeKeys(out, structs, of.Name, table+"."+tag)
	}
}
