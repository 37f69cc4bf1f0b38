package pairing_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

// stage is a side of the vectors' pairing, waiting for a message.
type stage struct {
	name  string
	state []byte
	key   []byte // that the other side's messages are authenticated with
	make  func(t testing.TB) receiver
}

// stages gives every state that a vector begins in, once, and all messages.
func stages(t testing.TB) (all []stage, messages [][]byte) {
	t.Helper()
	known := map[string]bool{}
	for _, v := range vectortest.Read[vector](t, vectorDir) {
		if v.Step == nil {
			continue
		}
		messages = append(messages, decode64(t, v.Step.Message))
		if known[v.Step.State] {
			continue
		}
		known[v.Step.State] = true
		f := forge(t, v.Text)
		s := stage{v.Step.Side, decode64(t, v.Step.State), f.owner, v.Step.side(t, time.Unix(1_790_000_000, 0))}
		if s.name == "owner" {
			s.key = f.camera
		}
		all = append(all, s)
	}
	return all, messages
}

// FuzzReceive gives each side, in each state, bytes as they are, as an envelope with a good
// MAC, and as a payload that is signed and has one. What is refused has a reason, and
// changes nothing.
func FuzzReceive(f *testing.F) {
	all, messages := stages(f)
	for _, m := range messages {
		if len(m) <= 32 || len(m) > 8<<10 {
			continue
		}
		f.Add(m)
		f.Add(m[:len(m)-32])
		if st, _, err := statement.Parse(m[:len(m)-32], len(m)); err == nil {
			f.Add(st.Payload)
		}
	}
	stranger, now := newKey(f), time.Unix(1_790_000_000, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		forms := [][]byte{b}
		envelopes := [][]byte{b}
		if e, err := statement.Sign(stranger, rawPayload(b)); err == nil {
			envelopes = append(envelopes, e)
		}
		for _, s := range all {
			for _, e := range envelopes {
				forms = append(forms, bytes.Join([][]byte{e, hmacOf(s.key, e)}, nil))
			}
			for _, m := range forms {
				r := s.make(t)
				phase, out := r.Phase(), r.Send()
				err := r.Receive(m, now)
				if err != nil && pairing.ReasonOf(err) == "" {
					t.Fatalf("%s, %s: refused without a reason: %v", s.name, phase, err)
				}
				if err != nil && r.Phase() != pairing.PhaseFailed && (r.Phase() != phase || !bytes.Equal(r.Send(), out)) {
					t.Fatalf("%s, %s: refused (%v), and now it is %s", s.name, phase, err, r.Phase())
				}
			}
			forms = forms[:1]
		}
	})
}

// FuzzRestore gives both sides states that they may not have saved. One that is read is
// used: nothing of it may do harm.
func FuzzRestore(f *testing.F) {
	all, messages := stages(f)
	for _, s := range all {
		f.Add(s.state)
	}
	who, d, now := newOwner(f), newDevice(f), time.Unix(1_790_000_000, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		var sides []receiver
		if o, err := pairing.RestoreOwner(b, who, who.save); err == nil {
			_, _ = o.Terms()
			_, _ = o.Ownership()
			_, _, _, _, _ = o.Rival(), o.Device(), o.Code(), o.Failure(), o.Tick(now)
			sides = append(sides, o)
		}
		if c, err := pairing.RestoreCamera(b, d.options(), now); err == nil {
			_, _, _ = c.Failure(), c.Code(), c.Tick(now)
			sides = append(sides, c)
		}
		for _, r := range sides {
			for _, m := range messages[:min(len(messages), 20)] {
				_ = r.Receive(m, now)
			}
			_ = r.Send()
		}
	})
}
