package main

import (
	"image"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
)

// A sheet can be read by a machine: the code that is drawn in letters is a QR code of the
// words.
func TestSheetsCodeIsRead(t *testing.T) {
	k, err := keyring.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secret := household.NewSecret()
	var sheet strings.Builder
	if err := printSheet(&sheet, k, secret, time.Now()); err != nil {
		t.Fatal(err)
	}
	const scale = 4
	var rows []string
	for line := range strings.Lines(sheet.String()) {
		if len([]rune(line)) > 81 {
			t.Errorf("a line of %d characters: %s", len([]rune(line)), line)
		}
		if strings.ContainsAny(line, "█▀▄") {
			rows = append(rows, line)
		}
	}
	img := image.NewGray(image.Rect(0, 0, 60*scale, (2*len(rows)+8)*scale))
	for y := range img.Rect.Max.Y {
		for x := range img.Rect.Max.X {
			img.SetGray(x, y, color.Gray{Y: 255})
			row, at := y/scale-4, x/scale
			if row < 0 || row/2 >= len(rows) {
				continue
			}
			line := []rune(rows[row/2])
			if at < len(line) && (line[at] == '█' || line[at] == '▀' && row%2 == 0 || line[at] == '▄' && row%2 == 1) {
				img.SetGray(x, y, color.Gray{})
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := household.ParseSecret(got.GetText()); err != nil || again != secret {
		t.Errorf("read as %d characters: %v", len(got.GetText()), err)
	}
}
