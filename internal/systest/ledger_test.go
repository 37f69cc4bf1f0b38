package systest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

// ledger is all that was ever seen of one camera's items, from outside.
type ledger struct {
	items   map[seal.Ref]seal.Hash // whole and signed, in the spool at one time or another
	key     string                 // the device key's file
	waiting map[seal.Ref]seal.Hash // in the spool when it was last looked at
}

// look reads a dead camera's directory as a burglar would. What is there has to be
// whole, and must not contradict what was there before.
func (l *ledger) look(state string) error {
	if err := errors.Join(l.lookAtKey(state), lookAtCertificate(state)); err != nil {
		return err
	}
	l.waiting = map[seal.Ref]seal.Hash{}
	files, err := os.ReadDir(filepath.Join(state, "spool"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".lwi") || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(state, "spool", f.Name()))
		if err != nil {
			return err
		}
		it, err := seal.Parse(b)
		if err != nil {
			return fmt.Errorf("spooled item %s: %w", f.Name(), err)
		}
		if err := it.Verify(); err != nil {
			return fmt.Errorf("spooled item %s: %w", f.Name(), err)
		}
		if err := l.note(it.Header.Ref(), it.Hash()); err != nil {
			return err
		}
		l.waiting[it.Header.Ref()] = it.Hash()
	}
	if aside, err := os.ReadDir(filepath.Join(state, "spool", "aside")); err == nil && len(aside) > 0 {
		return fmt.Errorf("%d items are set aside, such as %s", len(aside), aside[0].Name())
	}
	return nil
}

// note takes an item down; another one in its place is a fork.
func (l *ledger) note(r seal.Ref, h seal.Hash) error {
	if before, ok := l.items[r]; ok && before != h {
		return fmt.Errorf("fork: two items were made for %s", r)
	}
	if l.items == nil {
		l.items = map[seal.Ref]seal.Hash{}
	}
	l.items[r] = h
	return nil
}

// lookAtKey wants the device to stay the device that it is.
func (l *ledger) lookAtKey(state string) error {
	b, err := os.ReadFile(filepath.Join(state, "device-key.pem"))
	if errors.Is(err, fs.ErrNotExist) && l.key == "" {
		return nil // killed before it had one
	}
	if err != nil {
		return err
	}
	if l.key != "" && l.key != string(b) {
		return errors.New("the device has another key than before")
	}
	l.key = string(b)
	return nil
}

// lookAtCertificate wants a whole certificate, or none.
func lookAtCertificate(state string) error {
	rest, err := os.ReadFile(filepath.Join(state, "certificate.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return errors.New("the certificate is half written")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the certificate is damaged: %w", err)
		}
	}
	return nil
}

// settled wants every item of the chain, from the first to the last, at the hub or
// in the spool, and none in two forms.
func (l *ledger) settled(device seal.ID, stored map[seal.Ref]seal.Hash) error {
	chains := map[uint64]uint64{} // the highest number of each
	for _, known := range []map[seal.Ref]seal.Hash{l.items, stored} {
		for r := range known {
			if r.Device == device {
				chains[r.Chain] = max(chains[r.Chain], r.Seq)
			}
		}
	}
	if len(chains) != 1 {
		return fmt.Errorf("device %s has %d chains", device.Short(), len(chains))
	}
	for chain, head := range chains {
		for seq := uint64(1); seq <= head; seq++ {
			r := seal.Ref{Device: device, Epoch: 1, Chain: chain, Seq: seq}
			have, delivered := stored[r]
			_, waits := l.waiting[r]
			if !delivered && !waits {
				return fmt.Errorf("item %s of %d is neither at the hub nor in the spool", r, head)
			}
			if want, seen := l.items[r]; seen && delivered && want != have {
				return fmt.Errorf("fork: the hub has another item at %s", r)
			}
		}
	}
	return nil
}

// openStore reads a stopped hub's store: every item of an owner, and how much
// evidence of forks and misrouting there is.
func openStore(t *testing.T, dir string, owner seal.ID) (items map[seal.Ref]seal.Hash, evidence uint64) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(conf, []byte(`accounts { FLEET { jetstream: enabled, users: [ { user: test, password: test } ] } }`), 0o600))
	opts, err := server.ProcessConfigFile(conf)
	must(t, err)
	opts.DontListen, opts.JetStream, opts.StoreDir, opts.NoSigs, opts.NoLog = true, true, filepath.Join(dir, "jetstream"), true, true
	srv, err := server.NewServer(opts)
	must(t, err)
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo("test", "test"))
	must(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := store.Open(ctx, js, store.Options{})
	must(t, err)
	evidence, err = st.Evidence(ctx)
	must(t, err)
	items = map[seal.Ref]seal.Hash{}
	for cursor := uint64(0); ; {
		rows, next, err := st.Timeline(ctx, owner, cursor, 200)
		must(t, err)
		if len(rows) == 0 {
			return items, evidence
		}
		for _, row := range rows {
			it, err := seal.ParseEnvelope(row.Envelope)
			must(t, err)
			if _, twice := items[it.Header.Ref()]; twice {
				t.Errorf("the hub has %s twice", it.Header.Ref())
			}
			items[it.Header.Ref()] = it.Hash()
		}
		cursor = next
	}
}

// sameItems compares two accounts of the same items.
func sameItems(a, b map[seal.Ref]seal.Hash) error {
	if maps.Equal(a, b) {
		return nil
	}
	var differ []string
	for r := range a {
		if a[r] != b[r] {
			differ = append(differ, r.String())
		}
	}
	for r := range b {
		if _, ok := a[r]; !ok {
			differ = append(differ, r.String())
		}
	}
	slices.Sort(differ)
	return fmt.Errorf("%d and %d items, which differ at %s", len(a), len(b), strings.Join(differ[:min(5, len(differ))], ", "))
}
