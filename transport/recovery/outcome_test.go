package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

type refusal bool

func (r refusal) Error() string { return "refusal" }
func (r refusal) Refused() bool { return bool(r) }

type stall bool

func (s stall) Error() string { return "stall" }
func (s stall) Stalled() bool { return bool(s) }

func TestClassify(t *testing.T) {
	op := func(name string, e error) error { return &net.OpError{Op: name, Net: "tcp", Err: e} }
	dial := func(e error) error { return op("dial", os.NewSyscallError("connect", e)) }
	noName := &net.DNSError{Err: "no such host", IsNotFound: true}
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{refusal(true), Refused},
		{fmt.Errorf("connect: %w", refusal(true)), Refused},
		{refusal(false), TimedOut},
		{fmt.Errorf("read: %w", io.EOF), Refused},
		{dial(syscall.ECONNRESET), Refused},
		{op("read", os.ErrDeadlineExceeded), Stalled},
		{fmt.Errorf("receipt: %w", stall(true)), Stalled},
		{stall(false), TimedOut},
		{dial(syscall.ECONNREFUSED), Dead},
		{dial(syscall.ETIMEDOUT), TimedOut},
		{op("dial", os.ErrDeadlineExceeded), TimedOut},
		{context.DeadlineExceeded, TimedOut},
		{os.ErrDeadlineExceeded, TimedOut},
		{noName, NoName},
		{op("dial", noName), NoName},
		{op("dial", &net.DNSError{Err: "timeout", IsTimeout: true}), NoName},
		{dial(syscall.ENETUNREACH), Unreachable},
		{dial(syscall.EHOSTUNREACH), Unreachable},
		{dial(syscall.ENETDOWN), Unreachable},
		{errors.New("who knows"), TimedOut},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestOutcomeNames(t *testing.T) {
	seen := map[string]bool{}
	for o := range Outcome(8) {
		if seen[o.String()] {
			t.Errorf("two outcomes are called %q", o)
		}
		seen[o.String()] = true
	}
}
