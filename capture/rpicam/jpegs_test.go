//go:build linux

package rpicam

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// splitAll returns the pictures of a stream and how many were broken.
func splitAll(r io.Reader) (pictures [][]byte, broken int, err error) {
	s := newJPEGSplitter(r)
	for {
		p, err := s.next()
		switch {
		case errors.Is(err, errBroken):
			broken++
		case err != nil:
			return pictures, broken, err
		default:
			pictures = append(pictures, p.data)
		}
	}
}

// Damage costs the pictures that have it, and no others, however the bytes come.
func TestJPEGSplitter(t *testing.T) {
	a, b, c := picture(64, 64, 10), picture(80, 48, 90), picture(64, 64, 200)
	withThumbnail := slices.Concat(a[:2], []byte{0xff, 0xe1, 0, 10, 0xff, 0xd8, 1, 2, 0xff, 0xd9, 3, 4}, a[2:])
	cases := map[string]struct {
		stream []byte
		want   [][]byte
		broken int
	}{
		"whole":                {slices.Concat(a, b, c), [][]byte{a, b, c}, 0},
		"padded":               {slices.Concat([]byte("head"), a, make([]byte, 99), b, []byte{0xff}, c, []byte{0xff}), [][]byte{a, b, c}, 0},
		"thumbnail inside":     {slices.Concat(withThumbnail, b), [][]byte{withThumbnail, b}, 0},
		"cut":                  {slices.Concat(a[:len(a)-9], b, c), [][]byte{b, c}, 1},
		"cut in its header":    {slices.Concat(a[:30], b[:30], c), [][]byte{c}, 2},
		"length of 0":          {slices.Concat(a[:2], []byte{0xff, 0xe0, 0, 0}, b), [][]byte{b}, 1},
		"no marker":            {slices.Concat(a[:2], []byte{1, 2, 3}, b), [][]byte{b}, 1},
		"the end is missing":   {slices.Concat(a, b[:len(b)-2]), [][]byte{a}, 0},
		"restart out of place": {slices.Concat(a[:2], []byte{0xff, 0xd0}, b), [][]byte{b}, 1},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{
				bytes.NewReader(test.stream), iotest.OneByteReader(bytes.NewReader(test.stream)), iotest.DataErrReader(bytes.NewReader(test.stream)),
			} {
				got, broken, err := splitAll(r)
				if err != io.EOF || broken != test.broken || !slices.EqualFunc(got, test.want, bytes.Equal) {
					t.Errorf("%d pictures, %d broken, %v; want %d, %d", len(got), broken, err, len(test.want), test.broken)
				}
			}
		})
	}
}

// FuzzJPEGSplitter: what is given out is in the stream, from SOI to EOI, and the
// way in which the bytes come makes no difference.
func FuzzJPEGSplitter(f *testing.F) {
	a := picture(16, 16, 10)
	f.Add(slices.Concat(a, a), uint8(1))
	f.Add(slices.Concat(a[:40], a), uint8(2))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 0xff, 0xff, 0xd9}, uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		whole, broken, err := splitAll(bytes.NewReader(data))
		if err != io.EOF {
			t.Fatal(err)
		}
		pieces, broken2, _ := splitAll(&stepReader{data, int(step)%7 + 1})
		if broken != broken2 || !slices.EqualFunc(whole, pieces, bytes.Equal) {
			t.Fatalf("at once %d and %d broken, in pieces %d and %d", len(whole), broken, len(pieces), broken2)
		}
		rest := data
		for _, p := range whole {
			if !bytes.HasPrefix(p, []byte{0xff, 0xd8}) || !bytes.HasSuffix(p, []byte{0xff, 0xd9}) {
				t.Fatalf("a picture is %x", p)
			}
			i := bytes.Index(rest, p)
			if i < 0 {
				t.Fatalf("a picture is not in the stream, or not in its place: %x", p)
			}
			rest = rest[i+len(p):]
		}
	})
}

type stepReader struct {
	data []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.data)
	r.data = r.data[n:]
	return n, nil
}
