package preview

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is a running ffmpeg and the ends of its pipes.
type process struct {
	cmd            *exec.Cmd
	input          *os.File
	pixels, stamps *os.File
	said           tail
}

func startProcess(ctx context.Context, program string, args []string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...)}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err != nil {
			err = fmt.Errorf("make pipe for ffmpeg: %w", err)
		}
		return r, w, err
	}
	in, input, err := pipe()
	if err != nil {
		return nil, err
	}
	p.input, theirs = input, append(theirs, in)
	pixels, out, err := pipe()
	if err != nil {
		p.close()
		return nil, err
	}
	p.pixels, theirs = pixels, append(theirs, out)
	stamps, times, err := pipe()
	if err != nil {
		p.close()
		return nil, err
	}
	p.stamps, theirs = stamps, append(theirs, times)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, &p.said
	p.cmd.ExtraFiles = []*os.File{times}
	p.cmd.Env = []string{"LC_ALL=C"}
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		p.close()
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	return p, nil
}

// wait waits for the process to end.
func (p *process) wait() error { return p.cmd.Wait() }

// close closes our ends of the pipes.
func (p *process) close() {
	for _, f := range []*os.File{p.input, p.pixels, p.stamps} {
		if f != nil {
			f.Close()
		}
	}
}

// explain adds to an error what ffmpeg said last.
func (p *process) explain(err error) error {
	if said := p.said.String(); said != "" {
		return fmt.Errorf("%w: ffmpeg said %q", err, said)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const keep = 500
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, b...)
	t.data = append(t.data[:0], t.data[max(0, len(t.data)-keep):]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}
