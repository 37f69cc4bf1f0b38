package qr_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	own "github.com/lensward/lensward/capture/qr"
)

// tableVariable names the page in which the table of what is read is checked.
const tableVariable = "LENSWARD_QR_TABLE"

// sweep is one row of the table: what grows worse, from step to step.
type sweep struct {
	name  string
	steps []float64
	set   func(s *scene, v float64)
	unit  string
}

func sweeps() []sweep {
	return []sweep{
		{"modules, facing the camera, down to", []float64{4, 3, 2.5, 2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1}, func(s *scene, v float64) { s.module = v }, "px"},
		{"3 px, tilted by", []float64{0, 10, 20, 30, 35, 40, 45, 50, 55, 60, 65}, func(s *scene, v float64) { s.tilt = v }, "°"},
		{"3 px, turned by, all up to", []float64{0, 15, 30, 45, 60, 90, 135, 180}, func(s *scene, v float64) { s.turn = v }, "°"},
		{"3 px, blur σ", []float64{0.5, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.4}, func(s *scene, v float64) { s.blur = v }, "px"},
		{"6 px, blur σ", []float64{1, 2, 2.5, 3, 3.5, 4, 4.5, 5}, func(s *scene, v float64) { s.module, s.blur = 6, v }, "px"},
		{"3 px, noise σ, at a contrast of 190 levels", []float64{5, 10, 20, 30, 40, 50, 60, 70}, func(s *scene, v float64) { s.noise = v }, "levels"},
		{"3 px, contrast, at noise σ 4 levels", []float64{80, 60, 40, 30, 25, 20, 15, 12, 10}, func(s *scene, v float64) { s.light, s.dark, s.noise = 20+v, 20, 4 }, "levels"},
		{"3 px, glare of a lamp in its middle", []float64{50, 100, 150, 200, 250, 300, 400}, func(s *scene, v float64) { s.glare = v }, "levels"},
		{"3 px, JPEG quality down to", []float64{80, 60, 40, 30, 20, 15, 10, 5}, func(s *scene, v float64) { s.quality = int(v) }, ""},
		{"modules, inverted, down to", []float64{3, 2, 1.6, 1.4, 1.2}, func(s *scene, v float64) { s.module, s.inverted = v, true }, "px"},
	}
}

// reads says whether a scene's code is read in each of some pictures that differ in noise
// and by parts of a pixel.
func (w sweep) reads(t *testing.T, s scene, v float64, read func(t *testing.T, f scene) bool) bool {
	w.set(&s, v)
	for seed := range 3 {
		s.seed = uint64(seed + 1)
		if !read(t, s) {
			return false
		}
	}
	return true
}

// worst is the last step up to which all are read.
func (w sweep) worst(t *testing.T, s scene, read func(t *testing.T, f scene) bool) string {
	last := "–"
	for _, v := range w.steps {
		if !w.reads(t, s, v, read) {
			break
		}
		last = strings.TrimSpace(strconv.FormatFloat(v, 'g', -1, 64) + " " + w.unit)
	}
	return strings.ReplaceAll(last, " °", "°")
}

// TestTable prints which codes are read, and holds the page that the variable names to it.
// It takes some minutes:
//
//	LENSWARD_QR_TABLE=../../docs/design/pairing.md go test -v -run TestTable ./capture/qr
func TestTable(t *testing.T) {
	page := os.Getenv(tableVariable)
	if page == "" {
		t.Skip(tableVariable + " names no page")
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"| | 640×480, 45 modules | 640×480, 53 modules | 1280×720, 45 modules | 1280×720, 45 modules, the library alone |",
		"|---|---|---|---|---|",
	}
	for _, w := range sweeps() {
		line := "| " + w.name
		for _, c := range []struct{ width, height, length int }{{640, 480, 199}, {640, 480, 321}, {1280, 720, 199}} {
			s := shown(c.length, 3)
			s.width, s.height = c.width, c.height
			line += " | " + w.worst(t, s, readHere)
		}
		line += " | " + w.worst(t, shown(199, 3), readByLibrary) + " |"
		fmt.Println(line)
		lines = append(lines, line)
	}
	if table := strings.Join(lines, "\n"); !strings.Contains(string(text), table) {
		t.Errorf("%s does not have this table:\n%s", page, table)
	}
}

func readHere(t *testing.T, s scene) bool {
	texts, err := own.NewReader(prefix, time.Hour).Read(t.Context(), s.frame(t))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Equal(texts, []string{s.text})
}

// readByLibrary reads as the library does by itself, at its hardest.
func readByLibrary(t *testing.T, s scene) bool {
	bitmap, err := gozxing.NewBinaryBitmapFromImage(decoded(t, s.frame(t)))
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	return err == nil && result.GetText() == s.text
}
