package annexb

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// unit makes a unit with a start code of n bytes.
func unit(n int, kind byte, rest ...byte) []byte {
	return append(append(bytes.Repeat([]byte{0}, n-1), 1, kind), rest...)
}

func join(units ...[]byte) []byte { return slices.Concat(units...) }

// pictures are access units as encoders write them: with and without a delimiter,
// of one slice and of three, with start codes of three and four bytes, with an SEI
// in front, and zeros behind.
func pictures() [][]byte {
	return [][]byte{
		join(unit(4, 0x67, 1, 2, 3), unit(4, 0x68, 4, 5), unit(4, 0x65, 0x88, 9)),
		unit(4, 0x41, 0x9a, 1, 2, 3),
		join(unit(4, 0x06, 5, 1, 0x80), unit(3, 0x41, 0x9a, 1), unit(3, 0x41, 0x40, 2), unit(3, 0x41, 0x20, 3)),
		join(unit(4, 0x09, 0xf0), unit(4, 0x41, 0x9a), []byte{0, 0, 0}),
		join(unit(4, 0x09, 0x10), unit(4, 0x67, 1, 2, 3), unit(4, 0x68, 4, 5), unit(3, 0x65, 0x88), unit(3, 0x65, 0x44, 1)),
		unit(4, 0x01, 0xff, 0xff),
	}
}

// trimmed is without the zeros that may belong to either side of a boundary.
func trimmed(b []byte) string { return string(bytes.Trim(b, "\x00")) }

// However the bytes come, they are cut at the same places.
func TestSplitter(t *testing.T) {
	stream := append([]byte{7, 7, 7}, join(pictures()...)...)
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)), "with the end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSplitter(r)
			for i, want := range pictures() {
				u, err := s.Next()
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 { // what stood before the stream is still there
					u.Data = bytes.TrimPrefix(u.Data, []byte{7, 7, 7})
				}
				if u.Ended != (i == len(pictures())-1) {
					t.Errorf("access unit %d: ended is %v", i, u.Ended)
				}
				if trimmed(u.Data) != trimmed(want) {
					t.Fatalf("access unit %d is %x, want %x", i, u.Data, want)
				}
			}
			if u, err := s.Next(); err != io.EOF {
				t.Errorf("after the last comes %x, %v", u.Data, err)
			}
		})
	}
}

// An access unit's time is when it began to come, not when it was known to be
// whole.
func TestCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		began := time.Now()
		go func() {
			for _, p := range pictures() {
				w.Write(p[:3])
				time.Sleep(time.Second / 30)
				w.Write(p[3:])
				time.Sleep(time.Second / 15)
			}
			w.Close()
		}()
		s := NewSplitter(r)
		for i := range pictures() {
			u, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			want := time.Duration(i) * (time.Second/30 + time.Second/15)
			if i > 0 { // its first bytes could still have been zeros of the one before
				want += time.Second / 30
			}
			if got := u.Came.Sub(began); got != want {
				t.Errorf("access unit %d came after %v, want %v", i, got, want)
			}
		}
	})
}

// A stream that is none ends, with little memory used.
func TestTooLong(t *testing.T) {
	r := io.LimitReader(zeros{}, 1<<40)
	if _, err := NewSplitter(r).Next(); !errors.Is(err, ErrTooLong) {
		t.Errorf("an endless stream of nothing gives %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReadError(t *testing.T) {
	broken := errors.New("broken")
	s := NewSplitter(io.MultiReader(bytes.NewReader(pictures()[0]), iotest.ErrReader(broken)))
	if u, err := s.Next(); err != nil || trimmed(u.Data) != trimmed(pictures()[0]) {
		t.Errorf("what had come is %x, %v", u.Data, err)
	}
	if _, err := s.Next(); !errors.Is(err, broken) {
		t.Errorf("then the error is %v", err)
	}
}

func TestLook(t *testing.T) {
	all := pictures()
	for i, want := range []Contents{
		{true, true, join(unit(4, 0x67, 1, 2, 3), unit(4, 0x68, 4, 5))}, {Picture: true}, {Picture: true}, {Picture: true},
		{true, true, join(unit(4, 0x67, 1, 2, 3), unit(4, 0x68, 4, 5))}, {Picture: true},
	} {
		got := Look(all[i])
		if got.Picture != want.Picture || got.IDR != want.IDR || !bytes.Equal(got.Parameters, want.Parameters) {
			t.Errorf("access unit %d has %+v, want %+v", i, got, want)
		}
	}
	if got := Look(unit(4, 0x67, 1)); got.Picture || got.Parameters != nil {
		t.Errorf("an SPS alone is %+v", got)
	}
	if got := Look(nil); got.Picture {
		t.Errorf("nothing is %+v", got)
	}
}

// FuzzSplitter: no byte is lost or made up, no access unit has two pictures'
// beginnings, and the way in which the bytes come makes no difference.
func FuzzSplitter(f *testing.F) {
	f.Add(join(pictures()...), uint8(3))
	f.Add(append(bytes.Repeat([]byte{0}, 50), 1, 0x65, 0x80), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		whole, err := splitAll(bytes.NewReader(data))
		if err != io.EOF {
			t.Fatal(err)
		}
		pieces, err := splitAll(&stepReader{data, int(step)%7 + 1})
		if err != io.EOF {
			t.Fatal(err)
		}
		if !slices.EqualFunc(whole, pieces, bytes.Equal) {
			t.Fatalf("at once %x, in pieces %x", whole, pieces)
		}
		joined := slices.Concat(whole...)
		if !bytes.HasPrefix(data, joined) {
			t.Fatalf("%x became %x", data, joined)
		}
		for _, u := range whole {
			if !Look(u).Picture {
				t.Fatalf("an access unit without a picture: %x", u)
			}
		}
	})
}

func splitAll(r io.Reader) (all [][]byte, err error) {
	s := NewSplitter(r)
	for {
		u, err := s.Next()
		if err != nil {
			return all, err
		}
		all = append(all, u.Data)
	}
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
