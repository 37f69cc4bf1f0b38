//go:build linux

package v4l2

import (
	"bytes"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	"github.com/lensward/lensward/capture/videodev"
)

// FuzzPictures gives arbitrary bytes as a camera's pictures.
func FuzzPictures(f *testing.F) {
	f.Add(grey(f, 64, 32, 9), uint16(64), uint16(0), true)
	f.Add([]byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3}, uint16(17), uint16(40), false)
	f.Add(make([]byte, 5000), uint16(31), uint16(31), true)
	f.Fuzz(func(t *testing.T, data []byte, width, stride uint16, gap bool) {
		w := 16 + int(width%100)
		got, err := checkJPEG(data, Mode{Width: w, Height: 32})
		if err == nil && (!bytes.HasPrefix(data, got) || !bytes.HasSuffix(got, []byte{0xff, 0xd9})) {
			t.Error("a JPEG that is not what the camera gave")
		}
		v := &videos{camera: &Camera{}, emit: func(f capture.Frame) {
			if f.Key && annexb.Look(f.Data).Parameters == nil {
				t.Error("a key frame without parameter sets")
			}
		}}
		for range 2 {
			if _, err := v.take(&picture{planes: [][]byte{data}, gap: gap, time: time.Unix(1, 0)}); err != nil {
				t.Error(err)
			}
		}
		for _, p := range rawFormats() {
			rawPicture(t, p, w, int(stride), data)
		}
	})
}

// rawPicture checks that no plane reaches beyond its memory.
func rawPicture(t *testing.T, p PixelFormat, width, stride int, data []byte) {
	t.Helper()
	form := format{pix: videodev.Format{PixelFormat: p, Planes: []videodev.PlaneFormat{{Stride: stride}}}, mode: Mode{Width: width, Height: 33}}
	_, form.mode.Layout = kindOf(p)
	if form.check() != nil {
		return
	}
	r := &raws{camera: &Camera{}, emit: func(raw *capture.Raw) error {
		for i, plane := range raw.Planes {
			rows := raw.Height
			if i > 0 {
				rows = (raw.Height + 1) / 2
			}
			if plane != nil && len(plane) < raw.Strides[i]*(rows-1)+1 {
				t.Errorf("%v: plane %d of %d bytes, stride %d, %d rows", p, i, len(plane), raw.Strides[i], rows)
			}
		}
		return nil
	}}
	if _, err := r.take(&picture{format: form, planes: [][]byte{data}}); err != nil {
		t.Error(err)
	}
}
