package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/nettest"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// node is one server of a cluster, and the store as the hub beside it has it.
type node struct {
	*Store
	server *server.Server
}

// openCluster starts three servers and opens the store at each.
func openCluster(t *testing.T) []*node {
	t.Helper()
	var ports []int
	for range 3 {
		address, err := net.ResolveTCPAddr("tcp", nettest.FreeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, address.Port)
	}
	nodes := make([]*node, len(ports))
	for i, port := range ports {
		opts := &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), MaxPayload: MaxMessage, JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 1 << 30,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
		}
		for _, other := range ports {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(other))})
		}
		srv, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = &node{server: srv}
	}
	return nodes
}

// run starts the servers and opens the stores.
func run(t *testing.T, nodes []*node) {
	t.Helper()
	for _, n := range nodes {
		go n.server.Start()
		t.Cleanup(func() {
			n.server.Shutdown()
			n.server.WaitForShutdown()
		})
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			if !n.server.ReadyForConnections(20 * time.Second) {
				t.Error("a server does not start")
				return
			}
			conn, err := nats.Connect("", nats.InProcessServer(n.server))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(conn.Close)
			js, err := jetstream.New(conn)
			if err == nil {
				n.Store, err = Open(t.Context(), js, Options{Replicas: 3, Node: fmt.Sprintf("n%d", i)})
			}
			if err != nil {
				t.Error(err)
				return
			}
			running(t, n.Store)
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func TestCluster(t *testing.T) {
	nodes := openCluster(t)
	run(t, nodes)
	t.Run("has what it acknowledged", func(t *testing.T) { clusterHasWhatItAcknowledged(t, nodes) })
	t.Run("stores once", func(t *testing.T) { clusterStoresOnce(t, nodes) })
	t.Run("keeps the newest record", func(t *testing.T) { clusterKeepsTheNewestRecord(t, nodes) })
	t.Run("rings", func(t *testing.T) { clusterRings(t, nodes) })
	t.Run("without follower", func(t *testing.T) { clusterWithoutFollower(t, nodes) })
	t.Run("without majority", func(t *testing.T) { clusterWithoutMajority(t, nodes) })
}

// What one node was told is stored, every node has at once.
func clusterHasWhatItAcknowledged(t *testing.T, nodes []*node) {
	var all sync.WaitGroup
	for worker := range 16 {
		p := newParty(t)
		all.Go(func() {
			var cursor uint64
			for i := range 40 {
				at, other := nodes[(worker+i)%3].Store, nodes[(worker+i+1)%3].Store
				if err := showsAtOnce(t, p, at, other, uint64(i+1), &cursor); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	p := newParty(t)
	if known, err := nodes[0].HasRecord(t.Context(), p.item(t, seal.KindThumbnail, 100, 1).Header); known || err != nil {
		t.Errorf("a record that nobody has: %v, %v", known, err)
	}
}

// showsAtOnce stores a record and an item at one node and looks for them at another,
// whose timeline it has read up to the cursor.
func showsAtOnce(t *testing.T, p *party, at, other *Store, n uint64, cursor *uint64) error {
	o, it := p.record(t, 1, n), p.item(t, seal.KindThumbnail, 100, n)
	if err := at.PutRecord(t.Context(), o); err != nil {
		return err
	}
	for range 4 { // each asks one replica or another
		if known, err := other.HasRecord(t.Context(), seal.Header{Owner: p.id, Device: o.Record.Device, Epoch: 1, Record: o.Hash()}); !known {
			return fmt.Errorf("the record is not at another node: %w", err)
		}
	}
	if r, err := other.Records(t.Context(), p.id); len(r) != 1 || !r[0].Newest || r[0].Record.Revision != n {
		return fmt.Errorf("record %d is not the newest at another node: %+v, %w", n, r, err)
	}
	if err := at.PutItem(t.Context(), it); err != nil {
		return err
	}
	for range 4 {
		if held, err := other.Holds(t.Context(), it.Header.Ref(), it.Hash()); !held {
			return fmt.Errorf("the item is not at another node: %w", err)
		}
	}
	rows, next, err := other.Timeline(t.Context(), p.id, *cursor, 10)
	if len(rows) != 1 {
		return fmt.Errorf("%d new rows at another node: %w", len(rows), err)
	}
	*cursor = next
	return nil
}

// Of two items for one place that come to different nodes at once one stays, and the
// same item that comes to all of them is stored once.
func clusterStoresOnce(t *testing.T, nodes []*node) {
	for range 15 {
		p := newParty(t)
		a, b := p.item(t, seal.KindThumbnail, 100, 1), p.item(t, seal.KindThumbnail, 101, 1)
		results := make([]error, 6)
		var all sync.WaitGroup
		for i := range results {
			it := a
			if i%2 == 1 {
				it = b
			}
			all.Go(func() { results[i] = nodes[i/2].PutItem(t.Context(), it) })
		}
		all.Wait()
		for i, err := range results {
			if (err != nil) != errors.Is(err, ErrFork) || (err == nil) != (results[i%2] == nil) {
				t.Fatalf("write %d: %v", i, err)
			}
		}
		if (results[0] == nil) == (results[1] == nil) {
			t.Fatalf("two items for one place: %v, %v", results[0], results[1])
		}
		if rows, _, err := nodes[2].Timeline(t.Context(), p.id, 0, 10); len(rows) != 1 || err != nil {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
	}
}

// Records that come to different nodes at once end with the newest.
func clusterKeepsTheNewestRecord(t *testing.T, nodes []*node) {
	p := newParty(t)
	var records []*ownership.Ownership
	for i := range 6 {
		records = append(records, p.record(t, 1, uint64(i+1)))
	}
	var all sync.WaitGroup
	for i, o := range records {
		all.Go(func() {
			if err := nodes[i%3].PutRecord(t.Context(), o); err != nil && !errors.Is(err, ErrRollBack) {
				t.Errorf("revision %d: %v", i+1, err)
			}
		})
	}
	all.Wait()
	last := records[len(records)-1]
	if err := nodes[0].PutRecord(t.Context(), last); err != nil {
		t.Errorf("the newest again: %v", err)
	}
	if err := nodes[1].PutRecord(t.Context(), records[0]); !errors.Is(err, ErrRollBack) {
		t.Errorf("the oldest: %v", err)
	}
	got, err := nodes[2].Records(t.Context(), p.id)
	if err != nil || len(got) != 1 || got[0].Hash() != last.Hash() {
		t.Errorf("the newest is %+v, %v", got, err)
	}
}

// A write that no majority takes is not acknowledged, and is there or not there later,
// but never twice.
func clusterWithoutMajority(t *testing.T, nodes []*node) {
	p := newParty(t)
	it := p.item(t, seal.KindThumbnail, 100, 1)
	if err := nodes[0].PutRecord(t.Context(), p.record(t, 1, 1)); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	short := func() (err error) {
		ctx, cancel := contextFor(t, 2*time.Second)
		defer cancel()
		return nodes[0].PutItem(ctx, it)
	}
	if err := short(); err == nil || errors.Is(err, ErrFork) {
		t.Errorf("a write without a majority: %v", err)
	}
	ctx, cancel := contextFor(t, 2*time.Second)
	defer cancel()
	if err := nodes[0].Probe(ctx); err == nil {
		t.Error("a probe without a majority is well")
	}
	other := newParty(t)
	if known, err := nodes[0].HasRecord(ctx, other.item(t, seal.KindThumbnail, 100, 1).Header); err == nil {
		t.Errorf("without a majority it is known that a record is nowhere: %v", known)
	}
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func FuzzSeen(f *testing.F) {
	f.Add([]byte(`{"online":true,"node":"hub-1","run":"x"}`))
	f.Add([]byte(``))
	f.Add([]byte(`{"online":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseSeen(b)
		if err == nil && len(b) > maxSeen {
			t.Fatalf("%d bytes are read as %+v", len(b), v)
		}
	})
}
