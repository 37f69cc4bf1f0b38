package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// constructors are the calls outside the module whose result nobody can change.
func constructors() []string {
	return []string{
		"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "template.Must",
		"base32.StdEncoding", "base32.NewEncoding", "base64.RawURLEncoding", "netip.MustParsePrefix",
		"netip.MustParseAddr", "sync.OnceValue", "sync.OnceValues", "time.Date", "crc32.MakeTable",
	}
}

// stateFault is a package-level variable that can change, or may.
type stateFault struct {
	pos  token.Pos
	text string
}

// stateFaults finds package-level variables that are more than a name for a
// constant value. Within one package's files, tests aside, a variable must have
// an initialiser (or be embedded), be made of literals, of the module's own
// functions or of constructors, and never be written to or have its address
// taken. `version` in a main package is the linker's.
func stateFaults(set *token.FileSet, files []*ast.File) []stateFault {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	// Imports stay unresolved: what is asked is which name means which variable.
	config := types.Config{Error: func(error) {}, FakeImportC: true}
	pkg, _ := config.Check("p", set, files, info)
	var faults []stateFault
	isState := func(id *ast.Ident) bool {
		v, ok := info.Uses[id].(*types.Var)
		return ok && pkg != nil && v.Parent() == pkg.Scope()
	}
	for _, f := range files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				spec := s.(*ast.ValueSpec)
				if why := declared(f, gen, spec); why != "" {
					faults = append(faults, stateFault{spec.Pos(), "var " + spec.Names[0].Name + " " + why})
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			for _, target := range written(n) {
				if id := base(target); id != nil && isState(id) {
					faults = append(faults, stateFault{n.Pos(), "package-level " + id.Name + " is written to, or its address taken"})
				}
			}
			return true
		})
	}
	return faults
}

// declared says what is wrong with a variable's declaration; "" if nothing.
func declared(f *ast.File, gen *ast.GenDecl, spec *ast.ValueSpec) string {
	blank := !slices.ContainsFunc(spec.Names, func(id *ast.Ident) bool { return id.Name != "_" })
	embedded := func(g *ast.CommentGroup) bool {
		return g != nil && slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
	}
	switch {
	case blank, embedded(gen.Doc), embedded(spec.Doc):
		return ""
	case f.Name.Name == "main" && spec.Names[0].Name == "version" && len(spec.Names) == 1:
		return ""
	case len(spec.Values) == 0:
		return "has no initialiser: it can only be meant to change"
	}
	fault := ""
	for _, value := range spec.Values {
		ast.Inspect(value, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false // runs later, or is a table's entry
			case *ast.CallExpr:
				if name := callee(n); strings.Contains(name, ".") && !slices.ContainsFunc(constructors(), func(c string) bool { return under(strings.ReplaceAll(name, ".", "/"), strings.ReplaceAll(c, ".", "/")) }) {
					fault = "is made by " + name + ", which may give something that changes"
				}
			case *ast.SelectorExpr:
				if id, ok := n.X.(*ast.Ident); ok && (id.Name == "atomic" || id.Name == "sync" && !strings.HasPrefix(n.Sel.Name, "OnceValue")) {
					fault = "holds " + id.Name + "." + n.Sel.Name + ": it is meant to change"
				}
			}
			return true
		})
	}
	return fault
}

// callee writes out a called function's name, as far as it is made of names.
func callee(call *ast.CallExpr) string {
	var parts []string
	expr := call.Fun
	for {
		switch e := expr.(type) {
		case *ast.SelectorExpr:
			parts = append(parts, e.Sel.Name)
			expr = e.X
		case *ast.CallExpr:
			expr = e.Fun
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			parts = append(parts, e.Name)
			slices.Reverse(parts)
			return strings.Join(parts, ".")
		default:
			return ""
		}
	}
}

// written gives what a statement or expression writes to.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if _, literal := n.X.(*ast.CompositeLit); n.Op == token.AND && !literal {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy"}, id.Name) {
			return n.Args[:1]
		}
	}
	return nil
}

// base finds the variable at the bottom of x.f[i].g and the like.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// Nothing at package level changes: whatever has state is made, owned and
// passed by someone.
func TestNoPackageState(t *testing.T) {
	set, files := sources(t)
	packages := map[string][]*ast.File{}
	for _, f := range files {
		if !f.test {
			packages[f.dir()] = append(packages[f.dir()], f.ast)
		}
	}
	for _, asts := range packages {
		for _, fault := range stateFaults(set, asts) {
			t.Errorf("%s: %s", set.Position(fault.pos), fault.text)
		}
	}
}

func TestPackageStateIsFound(t *testing.T) {
	for source, faulty := range map[string]bool{
		`var errGone = errors.New("gone")`:                               false,
		`var table = [...]byte{1, 2}; func f() byte { return table[0] }`: false,
		`var table = [...]byte{1, 2}; func f() { table[0] = 3 }`:         true,
		`var table = build(); func build() []int { return nil }`:         false,
		`var count int; func f() { count++ }`:                            true,
		`var seen = map[string]bool{}; func f() { seen["a"] = true }`:    true,
		`var seen = map[string]bool{}; func f() { delete(seen, "a") }`:   true,
		`var mu sync.Mutex`:                                          true,
		`var pool = &sync.Pool{}`:                                    true,
		`var cache = lru.New(3)`:                                     true,
		`var n = 3; func f() *int { return &n }`:                     true,
		`var n = 3; func f() { n := 4; n++ }`:                        false,
		`var _ error = (*fault)(nil)`:                                false,
		`var ids = base32.StdEncoding.WithPadding(base32.NoPadding)`: false,
		`var version = "dev"`:                                        false,
	} {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, "p.go", "package p\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := stateFaults(set, []*ast.File{f}); (len(got) > 0) != faulty {
			t.Errorf("%s\n\tfaults: %v", source, got)
		}
	}
}
