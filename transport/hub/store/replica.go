package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/wait"
)

// In a cluster a stream has several replicas. One of them leads: it takes what is
// written once a majority has it, and has everything that was ever acknowledged. The
// others may be behind. When the leader is lost the others choose another, which takes
// some seconds in which nothing is written. Three rules follow:
//
//   - What any replica has is there. What it does not have is asked of the leader
//     (last, next) before it counts as missing: a refusal is for ever.
//   - A write that nobody answers may have been done. It is tried again until the
//     context ends (publish); those with a condition are told that the place is taken,
//     and look what stands there.
//   - A leader that was cut off does not know it for some seconds. Before something
//     that would be for ever rests on what a leader does not have, a majority is asked
//     to take a write (Probe).
const (
	glance  = 2 * time.Second // for any replica's answer
	attempt = 3 * time.Second // for a leader's
	pause   = 250 * time.Millisecond
)

// again does something until it is done or fails for good, or ctx ends. Alone there is
// nobody else who could answer, and it is done once.
func (s *Store) again(ctx context.Context, do func(context.Context) error) error {
	if s.options.Replicas == 1 {
		return do(ctx)
	}
	for {
		one, cancel := context.WithTimeout(ctx, attempt)
		err := do(one)
		cancel()
		if err == nil || !passes(err) || wait.For(ctx, pause) != nil {
			return err
		}
	}
}

// catchUp waits until this node's replica of each stream has what its leader has, and a
// majority takes a write.
func (s *Store) catchUp(ctx context.Context) error {
	told := false
	for _, k := range s.streams() {
		for {
			info, err := s.info(ctx, *k.stream)
			if err != nil {
				return err
			}
			if isCurrent(info.Cluster, s.options.Node) {
				break
			}
			if !told {
				s.options.Log.Info("catching up with the cluster", "stream", info.Config.Name)
				told = true
			}
			if err := wait.For(ctx, pause); err != nil {
				return err
			}
		}
	}
	return s.PutAlive(ctx)
}

// info is what a stream's leader says of it.
func (s *Store) info(ctx context.Context, st jetstream.Stream, opts ...jetstream.StreamInfoOpt) (info *jetstream.StreamInfo, err error) {
	err = s.again(ctx, func(ctx context.Context) (err error) {
		info, err = st.Info(ctx, opts...)
		return err
	})
	return info, err
}

// isCurrent says that a node has all of a stream, or none because others keep it.
func isCurrent(c *jetstream.ClusterInfo, node string) bool {
	if c == nil || c.Leader == "" {
		return false
	}
	for _, r := range c.Replicas {
		if r.Name == node {
			return r.Current
		}
	}
	return true
}

// publish writes a message until it is acknowledged or refused, or ctx ends. It returns
// the message's number in its stream.
func (s *Store) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (seq uint64, err error) {
	err = s.again(ctx, func(ctx context.Context) error {
		ack, err := s.js.PublishMsg(ctx, m, opts...)
		if err == nil {
			seq = ack.Sequence
		}
		return err
	})
	return seq, err
}

// passes says that an error may be another or none a moment later.
func passes(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case errNoPeers, errNotAvailable, errNotLeader, errNotReady, jetstream.JSErrCodeStreamNotFound:
			return true // the streams are made before anything else is done with them
		}
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// The server's errors while a cluster finds together, by their numbers in its errors.json.
const (
	errNoPeers      jetstream.ErrorCode = 10005
	errNotAvailable jetstream.ErrorCode = 10008
	errNotLeader    jetstream.ErrorCode = 10009
	errNotReady     jetstream.ErrorCode = 10163 // to compare with the last at a subject
)

// last is the newest message at a subject, which may hold wildcards, as far as any
// replica has it, or ErrNotFound.
func (s *Store) last(ctx context.Context, st jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	one, cancel := context.WithTimeout(ctx, glance)
	m, err := st.GetLastMsgForSubject(one, subject)
	cancel()
	if err == nil {
		return m, nil
	}
	if s.options.Replicas == 1 && errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	return s.newest(ctx, st, subject)
}

// at is the message with a sequence number, or ErrNotFound. That it is not there is the
// word of a majority.
func (s *Store) at(ctx context.Context, st jetstream.Stream, seq uint64) (*jetstream.RawStreamMsg, error) {
	one, cancel := context.WithTimeout(ctx, glance)
	m, err := st.GetMsg(one, seq)
	cancel()
	if err == nil {
		return m, nil
	}
	if s.options.Replicas == 1 && errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	m, err = s.ask(ctx, st, question{Seq: seq})
	if errors.Is(err, ErrNotFound) && s.options.Replicas > 1 {
		if err = s.Probe(ctx); err == nil {
			m, err = s.ask(ctx, st, question{Seq: seq})
		}
	}
	return m, err
}

// newest is the newest message at a subject as the stream's leader has it, or ErrNotFound.
func (s *Store) newest(ctx context.Context, st jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	return s.ask(ctx, st, question{LastFor: subject})
}

// following is the first message from a sequence number on whose subject matches, or
// ErrNotFound.
func (s *Store) following(ctx context.Context, st jetstream.Stream, seq uint64, filter string) (*jetstream.RawStreamMsg, error) {
	one, cancel := context.WithTimeout(ctx, glance)
	m, err := st.GetMsg(one, seq, jetstream.WithGetMsgSubject(filter))
	cancel()
	if err == nil {
		return m, nil
	}
	if s.options.Replicas == 1 && errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	return s.ask(ctx, st, question{Seq: seq, NextFor: filter})
}

// question and its answer are the server's API for reading one message, which only a
// stream's leader answers ($JS.API.STREAM.MSG.GET). The client library reads from any
// replica of a stream that allows it.
type question struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`
}

type leadersAnswer struct {
	Error   *jetstream.APIError `json:"error"`
	Message struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

// ask asks a stream's leader for a message until it answers or ctx ends.
func (s *Store) ask(ctx context.Context, st jetstream.Stream, q question) (m *jetstream.RawStreamMsg, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	err = s.again(ctx, func(ctx context.Context) error {
		m, err = s.askOnce(ctx, st.CachedInfo().Config.Name, b)
		return err
	})
	return m, err
}

func (s *Store) askOnce(ctx context.Context, stream string, q []byte) (*jetstream.RawStreamMsg, error) {
	m, err := s.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, q)
	if err != nil {
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, err)
	}
	var a leadersAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, err)
	}
	if a.Error != nil {
		if a.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, ErrNotFound
		}
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, a.Error)
	}
	got := a.Message
	return &jetstream.RawStreamMsg{Subject: got.Subject, Sequence: got.Seq, Data: got.Data, Time: got.Time}, nil
}
