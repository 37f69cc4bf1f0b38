package line_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/line"
)

const rendezvous = "000102030405060708090a0b0c0d0e0f"

// TestForm is the example of docs/ref/pairing.md.
func TestForm(t *testing.T) {
	const want = "\r\nPAIR1 000102030405060708090a0b0c0d0e0f camera aGVsbG8 5b2f1e2f\r\n"
	got := string(line.Format(rendezvous, line.Camera, []byte("hello")))
	if got != want {
		t.Errorf("a message is said as %q, want %q", got, want)
	}
	r, from, msg, ok := line.Parse(strings.Trim(want, "\r\n"))
	if !ok || r != rendezvous || from != line.Camera || string(msg) != "hello" {
		t.Errorf("it is read as %q, %q, %q, %v", r, from, msg, ok)
	}
}

// TestDamage: of a message in which any one byte is another, is missing or is there twice,
// nothing is read, unless it is the same text.
func TestDamage(t *testing.T) {
	good := strings.Trim(string(line.Format(rendezvous, line.Owner, []byte("an offer"))), "\r\n")
	tried := 0
	for i := range len(good) {
		for _, bad := range []string{
			good[:i] + good[i+1:], good[:i] + good[i:i+1] + good[i:], good[:i] + string(good[i]^1) + good[i+1:], good[:i] + string(good[i]^0x20) + good[i+1:],
		} {
			tried++
			if _, _, msg, ok := line.Parse(bad); ok && bad != good {
				t.Errorf("%q is read as %q", bad, msg)
			}
		}
	}
	t.Logf("%d damaged lines", tried)
	for _, other := range []string{"", "PAIR1", "PAIR1 ", "login: ", "PAIR1  ", good + " ", " " + good, "PAIR2" + good[5:]} {
		if _, _, _, ok := line.Parse(other); ok {
			t.Errorf("%q is a message", other)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(strings.Trim(string(line.Format(rendezvous, line.Camera, []byte("hello"))), "\r\n"))
	f.Add("PAIR1   00000000")
	f.Add("PAIR1 000102030405060708090a0b0c0d0e0f camera aGVsbG8= 5b2f1e2f")
	f.Fuzz(func(t *testing.T, text string) {
		r, from, msg, ok := line.Parse(text)
		if !ok {
			return
		}
		if again := strings.Trim(string(line.Format(r, from, msg)), "\r\n"); again != text {
			t.Errorf("%q is said as %q", text, again)
		}
		if len(msg) == 0 || len(msg) > pairing.MaxMessage {
			t.Errorf("a message of %d bytes", len(msg))
		}
	})
}

// ends are two lines that hear one another.
func ends(t *testing.T, left, right func(io.ReadWriteCloser) io.ReadWriteCloser) (camera, owner *line.Line) {
	t.Helper()
	a, b := net.Pipe()
	once := func(c io.ReadWriteCloser) func() (io.ReadWriteCloser, error) {
		first := true
		return func() (io.ReadWriteCloser, error) {
			if !first {
				return nil, errors.New("unplugged")
			}
			first = false
			return c, nil
		}
	}
	if left == nil {
		left = func(c io.ReadWriteCloser) io.ReadWriteCloser { return c }
	}
	if right == nil {
		right = left
	}
	camera, owner = line.New(line.Camera, once(left(a))), line.New(line.Owner, once(right(b)))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, l := range []*line.Line{camera, owner} {
		all.Go(func() {
			if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("a line ended with %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return camera, owner
}

// TestLine brings messages and a code over, of any size, among other talk.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		camera, owner := ends(t, nil, nil)
		var codes []string
		camera.Code = func(text string) { codes = append(codes, text) }
		synctest.Wait()
		for _, size := range []int{1, 3000, pairing.MaxMessage} {
			msg := bytes.Repeat([]byte{byte(size)}, size)
			if err := errors.Join(owner.Put(t.Context(), rendezvous, msg), camera.Put(t.Context(), rendezvous, msg)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got, err := owner.Get(t.Context(), rendezvous, nil); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("of the camera's %d bytes come %d, %v", len(msg), len(got), err)
			}
			got, err := camera.Get(t.Context(), rendezvous, nil)
			if err != nil || !bytes.Equal(got, msg) {
				t.Errorf("of %d bytes come %d, %v", len(msg), len(got), err)
			}
			sum := sha256.Sum256(got)
			if got, err := camera.Get(t.Context(), rendezvous, sum[:]); got != nil || err != nil {
				t.Errorf("there is another: %d bytes, %v", len(got), err)
			}
		}
		if got, err := camera.Get(t.Context(), strings.Repeat("0", 32), nil); got != nil || err != nil {
			t.Errorf("of another pairing come %d bytes, %v", len(got), err)
		}
		if err := owner.Show(t.Context(), "LENSWARD1:CODE"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !slices.Equal(codes, []string{"LENSWARD1:CODE"}) {
			t.Errorf("the codes %q were shown", codes)
		}
	})
}

// noisy says other things before each message, and much without a line's end first.
type noisy struct {
	io.ReadWriteCloser
	begun bool
}

// Write adds the noise.
func (n *noisy) Write(p []byte) (int, error) {
	noise := "login: \x1b[0m\x00\xff"
	if !n.begun {
		noise += strings.Repeat("#", 300<<10)
		n.begun = true
	}
	if _, err := n.ReadWriteCloser.Write([]byte(noise)); err != nil {
		return 0, err
	}
	return n.ReadWriteCloser.Write(p)
}

func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loud := func(c io.ReadWriteCloser) io.ReadWriteCloser { return &noisy{ReadWriteCloser: c} }
		camera, owner := ends(t, loud, loud)
		synctest.Wait()
		for _, text := range []string{"offer", "done"} {
			if err := owner.Put(t.Context(), rendezvous, []byte(text)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got, err := camera.Get(t.Context(), rendezvous, nil); string(got) != text || err != nil {
				t.Errorf("%q comes, %v, want %q", got, err, text)
			}
		}
	})
}

// TestUnplugged: a line that is not there says so, and is opened again when it is.
func TestUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		tries := 0
		l := line.New(line.Camera, func() (io.ReadWriteCloser, error) {
			if tries++; tries < 4 {
				return nil, errors.New("no such device")
			}
			return a, nil
		})
		troubles := 0
		l.Trouble = func(error) { troubles++ }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		if err := l.Put(t.Context(), rendezvous, []byte("hello")); err == nil {
			t.Error("a message is said on a line that is not there")
		}
		if err := wait.For(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(line.Format(rendezvous, line.Owner, []byte("offer"))); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Get(t.Context(), rendezvous, nil); string(got) != "offer" || err != nil || troubles != 3 {
			t.Errorf("%q comes, %v, after %d troubles", got, err, troubles)
		}
		// Nobody reads: what is said ends with its context.
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := l.Put(late, rendezvous, []byte("hello")); err == nil {
			t.Error("a message was said that nobody read")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}
