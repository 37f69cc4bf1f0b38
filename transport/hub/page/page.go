// Package page owns the viewer page: the built bundle of HTML, style and script
// that verifies, opens and shows an owner's pictures in a browser. The hub and
// `lensctl view` serve the same files. It never serves, signs or opens anything
// itself; the page's sources are under src, and scripts/build-page.sh builds
// dist from them.
package page

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// FS returns the page's files with index.html at its root. They are complete:
// the page loads nothing from elsewhere.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for an invalid path, and this one is constant
	}
	return sub
}
