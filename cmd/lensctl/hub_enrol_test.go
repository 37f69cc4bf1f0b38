package main

import (
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// FuzzOwners wants nothing but the IDs of a file of owners, and each of them.
func FuzzOwners(f *testing.F) {
	id := seal.ID{1}.String()
	f.Add("# ours\n\n " + id + "\r\n")
	f.Add(id + id)
	f.Add("#" + id)
	f.Add(strings.Repeat("a", 1<<17))
	f.Fuzz(func(t *testing.T, text string) {
		owners, err := parseOwners([]byte(text))
		want := 0
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				want++
			}
		}
		if err == nil && len(owners) != want {
			t.Fatalf("%d owners in %d lines", len(owners), want)
		}
		for _, o := range owners {
			if !strings.Contains(text, o.String()) {
				t.Fatalf("owner %s is not in the file", o)
			}
		}
	})
}
