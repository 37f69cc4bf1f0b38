package storm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

// Stock is what became of every item: sealed, and where it is in the end.
type Stock struct {
	Sealed int `json:"items_sealed"`
	Stored int `json:"items_stored"`
	// Left items are in a spool and not in the hub.
	Left int `json:"items_left"`
	// Lost items are neither in the hub nor in a spool; it must be 0.
	Lost int `json:"losses"`
	// Twice counts items that stand in the hub's store more than once, and Strange those
	// that stand there and were not sealed by who they say; both must be 0.
	Twice   int `json:"duplicates"`
	Strange int `json:"strange"`
	// Resent counts items that a device sent again for want of an answer.
	Resent int `json:"resent"`
}

// take compares what the devices sealed with what a hub holds.
func take(devices []Device, rows []holding) Stock {
	s := Stock{Stored: len(rows)}
	held := map[seal.Ref]seal.Hash{}
	for _, r := range rows {
		if _, twice := held[r.ref]; twice {
			s.Twice++
		}
		held[r.ref] = r.hash
	}
	own := 0
	for _, d := range devices {
		s.Resent += int(d.Delivery.Resent)
		for _, it := range d.Items {
			s.Sealed++
			switch h, ok := held[it.Ref]; {
			case ok && h == it.Hash:
				own++
			case it.Left:
				s.Left++
			default:
				s.Lost++
			}
		}
	}
	s.Strange = len(held) - own
	return s
}

// holding is an item in a hub's store.
type holding struct {
	ref  seal.Ref
	hash seal.Hash
}

// readStore reads all items in the store of a hub that does not run.
func readStore(ctx context.Context, dir string) (out []holding, err error) {
	opts := &server.Options{}
	const account = `accounts { FLEET { jetstream: enabled, users: [ { user: storm, password: storm } ] } }`
	if err := opts.ProcessConfigString(account); err != nil {
		return nil, fmt.Errorf("read hub's store: %w", err)
	}
	opts.DontListen, opts.NoSigs, opts.NoLog = true, true, true
	opts.JetStream, opts.StoreDir = true, filepath.Join(dir, "jetstream")
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("read hub's store: %w", err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo("storm", "storm"))
	if err != nil {
		return nil, fmt.Errorf("read hub's store: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("read hub's store: %w", err)
	}
	st, err := store.Open(ctx, js, store.Options{})
	if err != nil {
		return nil, fmt.Errorf("read hub's store: %w", err)
	}
	for cursor := uint64(0); ; {
		row, _, err := st.Sample(ctx, cursor)
		if errors.Is(err, store.ErrNotFound) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read hub's store: %w", err)
		}
		it, err := seal.ParseEnvelope(row.Envelope)
		if err != nil {
			return nil, fmt.Errorf("read hub's store: at %d: %w", row.Cursor, err)
		}
		out, cursor = append(out, holding{it.Header.Ref(), it.Hash()}), row.Cursor
	}
}
