package systest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/cluster"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// herdSize is how many devices there are and how often everything befalls the cluster:
// LENSWARD_CLUSTER, such as "300,5", or what a test in passing can afford.
func herdSize(t *testing.T) (devices, rounds int) {
	t.Helper()
	v := os.Getenv("LENSWARD_CLUSTER")
	if v == "" {
		return 24, 1
	}
	if _, err := fmt.Sscanf(v, "%d,%d", &devices, &rounds); err != nil || devices < 1 || rounds < 1 {
		t.Fatalf("LENSWARD_CLUSTER is %q, want two numbers such as 300,5", v)
	}
	return devices, rounds
}

// TestClusterLosesNodes has devices deliver to three hubs that work as one while one is
// killed, one is cut off from the others, and all are stopped and started in turn.
func TestClusterLosesNodes(t *testing.T) {
	devices, rounds := herdSize(t)
	c := newCluster(t)
	for _, n := range c.nodes {
		must(t, n.start())
	}
	for _, n := range c.nodes {
		must(t, n.await())
	}
	h := c.newHerd(t, devices)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	full, enough := context.WithCancel(ctx)
	defer enough()
	grazing := h.graze(ctx, full)
	for range rounds {
		c.eventually("all are online", func() bool { return c.online(h) == devices })
		c.killOne(h)
		c.cutOne(h)
		if rounds > 1 {
			c.freezeOne()
		}
		c.roll()
	}
	enough()
	c.eventually("everything is delivered", func() bool { return h.waiting() == 0 })
	stop()
	must(t, grazing.Wait())
	c.check(h)
}

// settlement is a cluster of hubs, each a process.
type settlement struct {
	t     *testing.T
	site  *site
	nodes []*clusterNode
}

type clusterNode struct {
	station
	site   *site
	number int
}

func newCluster(t *testing.T) *settlement {
	t.Helper()
	const n = cluster.MinNodes
	dir, p := t.TempDir(), buildPrograms(t)
	c := &settlement{t: t, site: newSite(t, n)}
	ports := fixedAddresses(t, 4*n)
	var nodes []cluster.Node
	for i := 1; i <= n; i++ {
		at := func(line string, port int) string { return c.site.address(i, line) + port4(ports[4*(i-1)+port]) }
		node := &clusterNode{site: c.site, number: i, station: station{
			programs: p, log: filepath.Join(dir, fmt.Sprintf("hub-%d.log", i)),
			mqtt: at("d", 0), devices: at("d", 1), viewers: at("d", 2),
		}}
		c.nodes = append(c.nodes, node)
		nodes = append(nodes, cluster.Node{Name: fmt.Sprintf("hub-%d", i), Address: at("r", 3)})
	}
	dirs, err := hub.InitCluster(filepath.Join(dir, "hubs"), "", nodes)
	must(t, err)
	for i, d := range dirs {
		c.nodes[i].dir = d
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.proc.discard()
			if t.Failed() {
				t.Logf("hub-%d:\n%s", n.number, lastLines(n.log, 30))
			}
		}
	})
	return c
}

// port4 is the port of an IPv4 address, colon and all.
func port4(address string) string { return address[len("127.0.0.1"):] }

// start starts the node where it stands.
func (n *clusterNode) start() (err error) {
	args := n.site.command(n.number, n.lensctl, "hub", "--state", n.dir, "--log", "info", "--enrol-rate", "1000", "--enrol", "open",
		"--mqtt", n.mqtt, "--devices", n.devices, "--listen", n.viewers, "--tls")
	n.proc, err = startProcess(n.log, "viewers ", args[0], args[1:]...)
	return err
}

func (c *settlement) newHerd(t *testing.T, devices int) *herd {
	t.Helper()
	keys, err := keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	h := &herd{keys: keys, pool: c.pool()}
	for _, n := range c.nodes {
		h.brokers, h.uploads = append(h.brokers, n.mqtt), append(h.uploads, "https://"+n.devices)
	}
	h.grow(t, t.TempDir(), devices)
	return h
}

// pool holds the cluster's CA.
func (c *settlement) pool() *x509.CertPool {
	pem, err := os.ReadFile(filepath.Join(c.nodes[0].dir, "ca.pem"))
	must(c.t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

func (c *settlement) eventually(what string, is func() bool) {
	c.t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > patience {
			c.t.Fatalf("it does not come: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Logf("%s after %v", what, time.Since(began).Round(10*time.Millisecond))
}

// online is how many devices deliver.
func (c *settlement) online(h *herd) (n int) {
	for _, node := range c.nodes {
		n += h.at(node.mqtt)
	}
	return n
}

// busiest is the node with the most devices.
func (c *settlement) busiest(h *herd) *clusterNode {
	return slices.MaxFunc(c.nodes, func(a, b *clusterNode) int { return cmp.Compare(h.at(a.mqtt), h.at(b.mqtt)) })
}

// killOne kills a node with devices at it, and starts it again once they are at others.
func (c *settlement) killOne(h *herd) {
	n := c.busiest(h)
	c.t.Logf("hub-%d is killed, with %d devices", n.number, h.at(n.mqtt))
	must(c.t, n.proc.kill())
	c.eventually("its devices deliver to others", func() bool { return h.at(n.mqtt) == 0 && c.online(h) == len(h.members) })
	must(c.t, n.start())
	must(c.t, n.await())
}

// cutOne takes a node from the others, but not from its devices: it has to let them go.
func (c *settlement) cutOne(h *herd) {
	if !c.site.apart {
		c.t.Log("no node is cut off: that takes network namespaces")
		return
	}
	n := c.busiest(h)
	c.t.Logf("hub-%d is cut off, with %d devices", n.number, h.at(n.mqtt))
	must(c.t, c.site.cut(n.number, true))
	c.eventually("its devices deliver to others", func() bool { return h.at(n.mqtt) == 0 && c.online(h) == len(h.members) })
	must(c.t, c.site.cut(n.number, false))
}

// freezeOne has a node stand still for longer than the others wait for it, as one whose
// disk hangs, and go on with what it believed.
func (c *settlement) freezeOne() {
	n := c.nodes[rand.IntN(len(c.nodes))]
	c.t.Logf("hub-%d stands still", n.number)
	must(c.t, n.proc.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(20 * time.Second)
	must(c.t, n.proc.cmd.Process.Signal(syscall.SIGCONT))
}

// roll stops and starts the nodes, one after another.
func (c *settlement) roll() {
	began := time.Now()
	for _, n := range c.nodes {
		must(c.t, n.proc.stop())
		must(c.t, n.start())
		must(c.t, n.await())
	}
	c.t.Logf("rolled in %v", time.Since(began).Round(10*time.Millisecond))
}

// check wants everything that was sealed at every node, once, in one order, and nothing
// that was refused.
func (c *settlement) check(h *herd) {
	t := c.t
	t.Helper()
	sealed := map[seal.Ref]seal.Hash{}
	for _, m := range h.members {
		for r, hash := range m.sealed {
			sealed[r] = hash
		}
		if s := m.spool.Stats(); s.AsideItems != 0 || s.Corrupt != 0 {
			t.Errorf("device %s set %d items aside", m.dev.ID().Short(), s.AsideItems)
		}
	}
	var first []seal.Ref
	for _, n := range c.nodes {
		got, order := c.look(n, h)
		if err := sameItems(sealed, got); err != nil {
			t.Errorf("sealed and at hub-%d: %v", n.number, err)
		}
		if first == nil {
			first = order
		}
		for i := range min(len(first), len(order)) {
			if first[i] != order[i] {
				t.Errorf("hub-1 and hub-%d have another item at place %d", n.number, i)
				break
			}
		}
	}
	t.Logf("%d items of %d devices, each once at each node", len(sealed), len(h.members))
}

// look has the owner open everything at one node.
func (c *settlement) look(n *clusterNode, h *herd) (got map[seal.Ref]seal.Hash, order []seal.Ref) {
	t := c.t
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.pool}}}
	v := newViewer(t, h.keys, "https://"+n.viewers, seal.ID{}, client)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got = map[seal.Ref]seal.Hash{}
	err := v.SyncOnce(ctx, func(e viewer.Event) {
		switch e := e.(type) {
		case viewer.Opened:
			ref := e.Header.Ref()
			if _, twice := got[ref]; twice {
				t.Errorf("hub-%d has %s twice", n.number, ref)
			}
			got[ref], order = e.Hash, append(order, ref)
		case viewer.Trouble, viewer.Unavailable, viewer.RecordRefused:
			t.Errorf("at hub-%d the viewer says %+v", n.number, e)
		}
	})
	if s := v.Summary(); err != nil || s.Withheld != 0 || len(s.Missing) != 0 || s.Waiting != 0 {
		t.Errorf("at hub-%d the viewer's account is %+v, %v", n.number, s, errors.Join(err))
	}
	return got, order
}
