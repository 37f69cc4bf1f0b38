// Package line carries pairing messages over a serial line, or whatever else passes bytes
// both ways: docs/ref/pairing.md, "Over a serial line".
//
// It owns the form of a message on the line, and finds one among whatever else is said
// there. It never reads a message, and it keeps none but the newest.
package line

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/pairing"
)

const (
	// mark begins a line that is a message.
	mark = "PAIR1"
	// codeMark begins a line that is a code, of any version.
	codeMark = "LENSWARD"
	// maxLine is the longest line that is a message, in bytes.
	maxLine = len(mark) + 1 + 32 + 1 + len(Camera) + 1 + (pairing.MaxMessage+2)/3*4 + 1 + 8
	// getWait is how long Get waits.
	getWait = 25 * time.Second
	// putTime bounds the saying of one message: the largest takes 94 s at 9,600 bits a
	// second.
	putTime = 2 * time.Minute
	// again is how long a line that failed is left alone.
	again = 5 * time.Second
)

// Side is who says a message.
type Side string

// The sides.
const (
	Camera Side = "camera"
	Owner  Side = "owner"
)

// Format is a message as it is on a line, the line's end included. Other text on the line
// does not disturb it: it begins with a line's end too.
func Format(rendezvous string, from Side, msg []byte) []byte {
	var b bytes.Buffer
	text := rendezvous + " " + string(from) + " " + base64.RawURLEncoding.EncodeToString(msg)
	fmt.Fprintf(&b, "\r\n%s %s %s\r\n", mark, text, checksum(text))
	return b.Bytes()
}

func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// Parse reads a line, without its end. ok is false for whatever else is said on a line,
// and for a message that was damaged.
func Parse(l string) (rendezvous string, from Side, msg []byte, ok bool) {
	rest, found := strings.CutPrefix(l, mark+" ")
	at := strings.LastIndexByte(rest, ' ')
	if !found || at < 0 || len(l) > maxLine || strings.ContainsAny(l, "\r\n") {
		return "", "", nil, false
	}
	text := rest[:at]
	if rest[at+1:] != checksum(text) {
		return "", "", nil, false
	}
	part := strings.Split(text, " ")
	if len(part) != 3 || len(part[0]) != 32 || strings.Trim(part[0], "0123456789abcdef") != "" {
		return "", "", nil, false
	}
	if from = Side(part[1]); from != Camera && from != Owner {
		return "", "", nil, false
	}
	msg, err := base64.RawURLEncoding.Strict().DecodeString(part[2])
	if err != nil || len(msg) == 0 || len(msg) > pairing.MaxMessage {
		return "", "", nil, false
	}
	return part[0], from, msg, true
}

// Line is one end of a line. It is an exchange.Carrier while Run runs.
type Line struct {
	side Side
	open func() (io.ReadWriteCloser, error)
	// Trouble, unless nil, is told what the line failed in, before it is opened again.
	Trouble func(error)
	// Code, unless nil, is given each line that begins as a pairing code does, from Run's
	// goroutine: who has the line shows a code on it as to a lens.
	Code func(text string)

	mu         sync.Mutex
	port       io.Writer // nil while it is not open
	rendezvous string    // of what follows
	heard      []byte
	changed    chan struct{} // closed and made anew with each message

	writing sync.Mutex // held for as long as a message is written
}

// errClosed means that the line is not open at this moment.
var errClosed = errors.New("the line is not open")

// New makes this side's end of a line, which open opens.
func New(side Side, open func() (io.ReadWriteCloser, error)) *Line {
	return &Line{side: side, open: open, changed: make(chan struct{})}
}

// Run listens to the line until ctx is done, whose error it returns. A line that fails or
// is not there is opened again.
func (l *Line) Run(ctx context.Context) error {
	for {
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.Trouble != nil {
			l.Trouble(err)
		}
		if err := wait.For(ctx, again); err != nil {
			return err
		}
	}
}

// listen opens the line and hears what is said on it until it ends.
func (l *Line) listen(ctx context.Context) error {
	port, err := l.open()
	if err != nil {
		return err
	}
	l.set(port)
	ended := make(chan error, 1)
	go func() { ended <- l.hear(port) }()
	select {
	case err = <-ended:
		return errors.Join(err, l.end(port))
	case <-ctx.Done():
	}
	err = l.end(port) // ends the reading
	<-ended
	return errors.Join(ctx.Err(), err)
}

func (l *Line) set(port io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.port = port
}

func (l *Line) end(port io.Closer) error {
	l.set(nil)
	return port.Close()
}

// hear takes messages from a line. A line that is too long is passed over.
func (l *Line) hear(r io.Reader) error {
	in := bufio.NewReaderSize(r, 4096)
	var text []byte
	long := false
	for {
		b, err := in.ReadSlice('\n')
		if len(text)+len(b) > maxLine+2 {
			long = true
			text = text[:0]
		} else if !long {
			text = append(text, b...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read line: %w", err)
		}
		if !long {
			l.said(strings.TrimRight(string(text), "\r\n"))
		}
		text, long = text[:0], false
	}
}

// said takes one line, without its end.
func (l *Line) said(text string) {
	if rendezvous, from, msg, ok := Parse(text); ok && from != l.side {
		l.took(rendezvous, msg)
	}
	if l.Code != nil && strings.HasPrefix(text, codeMark) && len(text) <= pairing.MaxCode {
		l.Code(text)
	}
}

func (l *Line) took(rendezvous string, msg []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rendezvous, l.heard = rendezvous, msg
	close(l.changed)
	l.changed = make(chan struct{})
}

// Show says a code.
func (l *Line) Show(ctx context.Context, code secret.Text) error {
	if err := l.write(ctx, []byte("\r\n"+string(code)+"\r\n")); err != nil {
		return fmt.Errorf("say pairing code: %w", err)
	}
	return nil
}

// Put says a message.
func (l *Line) Put(ctx context.Context, rendezvous string, msg []byte) error {
	if err := l.write(ctx, Format(rendezvous, l.side, msg)); err != nil {
		return fmt.Errorf("say pairing message: %w", err)
	}
	return nil
}

func (l *Line) write(ctx context.Context, text []byte) error {
	l.mu.Lock()
	port := l.port
	l.mu.Unlock()
	if port == nil {
		return errClosed
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d, ok := port.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Now().Add(putTime)) // where it has none, the line is waited for
		defer context.AfterFunc(ctx, func() { _ = d.SetWriteDeadline(time.Unix(1, 0)) })()
	}
	_, err := port.Write(text)
	return err
}

// Get is the newest message that was heard for a rendezvous if its SHA-256 is not have; it
// waits for one, and gives nil if none comes.
func (l *Line) Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	timer := time.NewTimer(getWait)
	defer timer.Stop()
	for {
		l.mu.Lock()
		msg, of, changed := l.heard, l.rendezvous, l.changed
		l.mu.Unlock()
		if sum := sha256.Sum256(msg); of == rendezvous && msg != nil && !bytes.Equal(sum[:], have) {
			return msg, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, nil
		case <-changed:
		}
	}
}
