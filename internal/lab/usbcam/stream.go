package usbcam

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// Fault is what is wrong with a frame.
type Fault uint8

// The faults.
const (
	// None: the frame is well.
	None Fault = 0
	// Truncated: the frame ends in its middle, and says that it is whole.
	Truncated Fault = 1
	// ErrorBit: the whole frame comes, and its last payload says that something failed.
	ErrorBit Fault = 2
	// MissingEnd: no payload says that it is the last; the next frame's begins.
	MissingEnd Fault = 3
	// LostPayload: a payload in the middle never comes.
	LostPayload Fault = 4
	// StuckID: the frame goes by the number of the frame before.
	StuckID Fault = 5
	// Empty: the frame has no bytes.
	Empty Fault = 6
	// Hang: neither this frame nor any other comes, until the camera is unplugged.
	Hang Fault = 7
)

// Bits of a payload's head (USB Video 1.1, table 2-5).
const (
	headBytes = 2
	bitID     = 0x01
	bitEnd    = 0x02
	bitError  = 0x40
	bitHead   = 0x80 // the head ends here
)

// String returns the fault's name.
func (f Fault) String() string {
	names := []string{"none", "truncated", "error bit", "missing end", "lost payload", "stuck id", "empty", "hang"}
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown fault"
}

// payload is a part of a frame as it is sent.
type payload struct {
	bits byte
	data []byte
}

// cut makes a frame's payloads, with what is wrong with it. id changes from frame
// to frame.
func cut(frame []byte, id byte, f Fault) []payload {
	switch f {
	case Truncated:
		frame = frame[:len(frame)/2]
	case Empty:
		frame = nil
	case StuckID:
		id ^= bitID
	}
	const room = payloadBytes - headBytes
	var out []payload
	for at := 0; at < len(frame) || at == 0; at += room {
		out = append(out, payload{bits: bitHead | id, data: frame[at:min(at+room, len(frame))]})
	}
	last := &out[len(out)-1]
	if f != MissingEnd {
		last.bits |= bitEnd
	}
	if f == ErrorBit {
		last.bits |= bitError
	}
	if f == LostPayload {
		middle := len(out) / 2
		if len(out) < 3 { // too short to lose one: lose half of it
			last.data = last.data[len(last.data)/2:]
		} else {
			out = append(out[:middle], out[middle+1:]...)
		}
	}
	return out
}

// Stream sends frames on all streams until ctx is done.
func (p *plug) Stream(ctx context.Context, pipes *usbip.Pipes) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range p.streams {
		g.Go(func() error {
			s := sender{camera: p.camera, index: i, state: p.streams[i], pipe: pipes.In(endpointOf(i))}
			return s.run(ctx)
		})
	}
	return g.Wait()
}

// sender sends the frames of one stream.
type sender struct {
	camera *Camera
	index  int
	state  *streamState
	pipe   *usbip.Pipe

	turn  uint64
	mode  Mode
	start uint64
	n     uint64 // of the next frame since the start
	due   time.Time
	id    byte
}

func (s *sender) run(ctx context.Context) error {
	for {
		if err := s.pipe.Await(ctx); err != nil {
			return err
		}
		s.follow()
		if err := until(ctx, s.due); err != nil {
			return err
		}
		if _, turn := s.state.mode(); turn != s.turn {
			continue // the host thought better of it
		}
		if err := s.frame(ctx); err != nil {
			return err
		}
		s.due = s.due.Add(s.mode.Interval)
		if behind := time.Since(s.due); behind > time.Second {
			s.due = s.due.Add(behind) // a slow host gets fewer frames, not a burst of them
		}
	}
}

// follow begins anew where the host did.
func (s *sender) follow() {
	mode, turn := s.state.mode()
	if turn == s.turn && s.start > 0 {
		return
	}
	s.mode, s.turn, s.n, s.due = mode, turn, 0, time.Now()
	s.camera.mu.Lock()
	defer s.camera.mu.Unlock()
	s.camera.starts[s.index]++
	s.start = s.camera.starts[s.index]
}

// frame sends the next frame.
func (s *sender) frame(ctx context.Context) error {
	d := &s.camera.described
	data, err := d.Streams[s.index].Reel.Frame(s.mode, s.n)
	if err != nil {
		return fmt.Errorf("make frame %d: %w", s.n, err)
	}
	fault := None
	if d.Fault != nil {
		fault = d.Fault(s.index, s.n)
	}
	if fault == Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, part := range cut(data, s.id, fault) {
		stale := false
		err := s.pipe.Send(ctx, func(room int) []byte {
			if _, turn := s.state.mode(); turn != s.turn {
				stale = true
				return nil
			}
			out := append([]byte{headBytes, part.bits}, part.data...)
			return out[:min(len(out), room)]
		})
		if err != nil || stale {
			return err
		}
	}
	if d.Served != nil {
		d.Served(Served{Stream: s.index, Mode: s.mode, Start: s.start, N: s.n, Data: data, Fault: fault})
	}
	s.n++
	if fault != StuckID { // the number that it did not use is the next one's
		s.id ^= bitID
	}
	return nil
}

// until waits for a moment.
func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
