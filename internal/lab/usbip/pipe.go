package usbip

import (
	"context"
	"slices"
	"sync"
)

// Pipes are the device's pipes that lead to the host, one for each endpoint.
type Pipes struct {
	reply func(seq uint32, data []byte) error

	// mu is held while a transfer is answered: the host never gets an answer to one
	// that it was told is cancelled, for which it would drop the device.
	mu  sync.Mutex
	all map[uint32]*Pipe
}

func newPipes() *Pipes { return &Pipes{all: map[uint32]*Pipe{}} }

// In is the pipe of an endpoint, by its number without the direction's bit.
func (p *Pipes) In(endpoint uint32) *Pipe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[endpoint] == nil {
		p.all[endpoint] = &Pipe{pipes: p, more: make(chan struct{}, 1)}
	}
	return p.all[endpoint]
}

// cancel takes a transfer back, unless it is answered.
func (p *Pipes) cancel(seq uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pipe := range p.all {
		if i := slices.IndexFunc(pipe.waiting, func(t transfer) bool { return t.seq == seq }); i >= 0 {
			pipe.waiting = slices.Delete(pipe.waiting, i, i+1)
			return true
		}
	}
	return false
}

// Pipe holds the transfers that the host waits for. One goroutine may send.
type Pipe struct {
	pipes   *Pipes
	waiting []transfer
	more    chan struct{} // has an element if something was pushed
}

// transfer is one that the host waits for.
type transfer struct {
	seq  uint32
	room int // bytes
}

func (p *Pipe) push(t transfer) {
	p.pipes.mu.Lock()
	p.waiting = append(p.waiting, t)
	p.pipes.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// Await returns when the host waits for something.
func (p *Pipe) Await(ctx context.Context) error {
	for {
		p.pipes.mu.Lock()
		n := len(p.waiting)
		p.pipes.mu.Unlock()
		if n > 0 {
			return nil
		}
		select {
		case <-p.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Send waits for a transfer and answers it with what fill makes for so much room,
// in bytes. fill is called once, and not at all if Send fails before.
func (p *Pipe) Send(ctx context.Context, fill func(room int) []byte) error {
	for {
		if err := p.Await(ctx); err != nil {
			return err
		}
		if sent, err := p.send(fill); sent {
			return err
		}
	}
}

// send answers the oldest transfer, if it has not been cancelled meanwhile.
func (p *Pipe) send(fill func(room int) []byte) (sent bool, err error) {
	p.pipes.mu.Lock()
	defer p.pipes.mu.Unlock()
	if len(p.waiting) == 0 {
		return false, nil
	}
	t := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	data := fill(t.room)
	return true, p.pipes.reply(t.seq, data[:min(len(data), t.room)])
}
