// Package vectortest reads and writes the test vectors of a format: a folder with a JSON
// file for each.
//
// It owns how they lie there. It never knows what is in one.
package vectortest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Read gives the vectors in a folder, by the order of their names.
func Read[V any](t testing.TB, dir string) []V {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]V, len(names))
	for i, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &all[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// Write puts a vector into its folder.
func Write(t testing.TB, dir, name string, v any) {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
