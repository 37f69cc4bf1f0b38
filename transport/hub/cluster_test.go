package hub

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/nettest"
	"github.com/lensward/lensward/transport/hub/cluster"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// clusterDirs are the state directories of three nodes on loopback.
func clusterDirs(t testing.TB) []string {
	t.Helper()
	var nodes []cluster.Node
	for i := range 3 {
		nodes = append(nodes, cluster.Node{Name: fmt.Sprintf("hub-%d", i+1), Address: nettest.FreeAddress(t)})
	}
	dirs, err := InitCluster(t.TempDir(), "", nodes)
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// startCluster runs a hub on each of the directories.
func startCluster(t testing.TB, dirs []string, o Options) []*running {
	t.Helper()
	hubs := make([]*running, len(dirs))
	var all sync.WaitGroup
	for i, dir := range dirs {
		o := o
		o.Dir = dir
		all.Go(func() { hubs[i] = startHub(t, o) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return hubs
}

// eventually waits for something that has to come.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come: %s", what)
		}
	}
}

func TestCluster(t *testing.T) {
	hubs := startCluster(t, clusterDirs(t), Options{})
	t.Run("is one hub", func(t *testing.T) { clusterIsOneHub(t, hubs) })
	t.Run("session moves", func(t *testing.T) { clusterSessionMoves(t, hubs) })
	t.Run("tells its nodes", func(t *testing.T) { clusterTellsItsNodes(t, hubs) })
	t.Run("pairs", func(t *testing.T) { clusterPairs(t, hubs) })
	t.Run("carries", func(t *testing.T) { clusterCarries(t, hubs) })
	t.Run("brings letters", func(t *testing.T) { clusterLetters(t, hubs) })
	t.Run("is closed to devices", func(t *testing.T) { clusterIsClosedToDevices(t, hubs) })
}

func clusterIsOneHub(t *testing.T, hubs []*running) {
	a, b, c := hubs[0], hubs[1], hubs[2]
	if a.ID() != b.ID() || b.ID() != c.ID() {
		t.Fatal("the nodes have different IDs")
	}
	o := newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, a, cam)
	l.publish(t, topicStatus, []byte(`{"online":true}`))
	thumb, clip := cam.sealed(t, seal.KindThumbnail, 1000), cam.sealed(t, seal.KindClip, 300<<10)
	l.deliver(t, thumb)
	l.deliver(t, thumb) // the same again is the same
	granted := strings.Replace(l.granted(t, clip), a.DeviceURL(), b.DeviceURL(), 1)
	if status, msg := put(t, b, granted, bytes.NewReader(clip.Bytes())); status != http.StatusNoContent {
		t.Fatalf("a grant of one node at another: %d %s", status, msg)
	}
	if d := l.next(t); d.Type != downReceipt || d.Hash != clip.Hash() {
		t.Fatalf("the receipt from another node is %+v", d)
	}

	var pages []timelinePage
	for _, h := range hubs {
		v := signIn(t, h, o.key, o.id)
		p := v.timeline(t, "")
		if len(p.Items) != 2 {
			t.Fatalf("%d rows, not 2", len(p.Items))
		}
		pages = append(pages, p)
		for _, it := range []*seal.Item{thumb, clip} {
			if _, got := v.item(t, it.Header.Ref()); !bytes.Equal(got, it.Bytes()) {
				t.Errorf("%s is another", it.Header.Kind)
			}
		}
		eventually(t, "the device is online at every node", func() bool { d := v.devices(t); return len(d) == 1 && d[0].Online })
	}
	for _, p := range pages {
		if p.Next != pages[0].Next || p.Items[0].Cursor != pages[0].Items[0].Cursor {
			t.Errorf("the nodes' cursors differ: %+v", pages)
		}
	}
}

// A session that moves is online at its new node, whatever its old one hears later.
func clusterSessionMoves(t *testing.T, hubs []*running) {
	o := newOwner(t)
	cam := newCamera(t, o)
	was := attach(t, hubs[0], cam)
	was.publish(t, topicStatus, []byte(`{"online":true}`))
	was.deliver(t, cam.sealed(t, seal.KindThumbnail, 100))
	online := func(h *running, want bool) func() bool {
		v := signIn(t, h, o.key, o.id)
		return func() bool { d := v.devices(t); return len(d) == 1 && d[0].Online == want }
	}
	eventually(t, "online at the other", online(hubs[1], true))

	is := attach(t, hubs[1], cam) // and the first is taken over
	is.publish(t, topicStatus, []byte(`{"online":true}`))
	is.deliver(t, cam.sealed(t, seal.KindThumbnail, 100))
	eventually(t, "the first session ends", func() bool { return !was.client.IsConnectionOpen() })
	is.deliver(t, cam.sealed(t, seal.KindThumbnail, 100))
	for _, h := range hubs {
		eventually(t, "still online", online(h, true))
	}
	is.publish(t, topicStatus, []byte(`{"online":false}`))
	for _, h := range hubs {
		eventually(t, "offline everywhere", online(h, false))
	}
}

// What one node stored wakes those who wait at another, and a record that one node
// stored ends the sessions that it takes the ground from at another.
func clusterTellsItsNodes(t *testing.T, hubs []*running) {
	o, guest := newOwner(t), newOwner(t)
	cam := newCamera(t, o)
	cam.own(t, o, ownership.Record{Epoch: 1, Revision: 2, Viewers: []ownership.Viewer{{Key: spkiOf(t, guest.key), Name: "guest", Role: ownership.RoleViewer}}})
	l := attach(t, hubs[0], cam)
	l.deliver(t, cam.sealed(t, seal.KindThumbnail, 100))

	v := signIn(t, hubs[1], guest.key, o.id)
	first := v.timeline(t, "")
	came := make(chan timelinePage, 1)
	go func() { came <- v.timeline(t, fmt.Sprintf("after=%d&wait=15", first.Next)) }()
	late := cam.sealed(t, seal.KindThumbnail, 100)
	l.deliver(t, late)
	if p := <-came; len(p.Items) != 1 {
		t.Errorf("who waited at another node got %d rows", len(p.Items))
	}

	cam.own(t, o, ownership.Record{Epoch: 1, Revision: 3})
	l.publish(t, topicRecord, cam.record.Bytes())
	eventually(t, "the guest's session ends", func() bool {
		status, _ := v.call(t, http.MethodGet, "/api/v1/records", nil)
		return status == http.StatusUnauthorized
	})
}

// Nodes whose disks are full are silent. What they did not take gets in, once, when they
// were started again with more room.
func TestClusterFull(t *testing.T) {
	dirs := clusterDirs(t)
	hubs := startCluster(t, dirs, Options{MaxStore: 48 << 20})
	o := newOwner(t)
	cam := newCamera(t, o)
	l := attach(t, hubs[0], cam)
	var items []*seal.Item
	for silent := false; !silent; {
		it := cam.sealed(t, seal.KindThumbnail, 96<<10)
		items = append(items, it)
		l.publish(t, topicItem, it.Bytes())
		select {
		case d := <-l.down:
			if d.Type != downReceipt {
				t.Fatalf("answered with %+v", d)
			}
		case <-time.After(3 * time.Second):
			silent = true
		}
		if len(items) > 1000 {
			t.Fatal("the store has no end")
		}
	}
	if len(items) < 10 {
		t.Errorf("the store took %d items of 96 KiB", len(items)-1)
	}
	for _, h := range hubs {
		h.stop(t)
	}
	hubs = startCluster(t, dirs, Options{})
	l = attach(t, hubs[1], cam)
	for _, it := range items[len(items)-3:] {
		l.deliver(t, it)
	}
	if p := signIn(t, hubs[2], o.key, o.id).timeline(t, "limit=200"); len(p.Items) != min(len(items), maxRows) {
		t.Errorf("%d rows of %d", len(p.Items), len(items))
	}
}

// A device's certificate is from the nodes' CA, and still makes it no node.
func clusterIsClosedToDevices(t *testing.T, hubs []*running) {
	cert := enrol(t, hubs[0], newKey(t))
	conn, err := tls.Dial("tcp", hubs[0].cluster.Self().Address, &tls.Config{RootCAs: hubs[0].CAPool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{cert}})
	if err != nil {
		return // nor does it come so far
	}
	defer conn.Close()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte(`CONNECT {"verbose":false,"pedantic":false,"tls_required":true,"name":"x","cluster":"` + clusterName(hubs[0].authority) + `"}` + "\r\nPING\r\n"))
	must(err)
	said, err := io.ReadAll(conn)
	if !bytes.Contains(said, []byte("Authorization Violation")) {
		t.Errorf("a device that calls as a node is told %q, %v", said, err)
	}
}

func TestClusterInit(t *testing.T) {
	nodes := []cluster.Node{{Name: "a", Address: "127.0.0.1:1"}, {Name: "b", Address: "127.0.0.1:2"}, {Name: "c", Address: "127.0.0.1:3"}}
	alone, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	dirs, err := InitCluster(out, alone.dir.Path(""), nodes)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range dirs {
		h, err := New(Options{Dir: d})
		if err != nil {
			t.Fatal(err)
		}
		if h.ID() != alone.ID() || !bytes.Equal(h.grantKey, alone.grantKey) || h.node() != nodes[i].Name {
			t.Errorf("node %s is hub %s and not %s", h.node(), h.ID().Short(), alone.ID().Short())
		}
		for _, name := range []string{"ca-key.pem", "grant-key", cluster.File} {
			if info, err := os.Stat(h.dir.Path(name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := InitCluster(out, "", nodes); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("again in the same place: %v", err)
	}
	if _, err := InitCluster(t.TempDir(), "", nodes[:2]); err == nil || !strings.Contains(err.Error(), "a cluster has 3") {
		t.Errorf("two nodes: %v", err)
	}
	if _, err := InitCluster(t.TempDir(), filepath.Join(out, "nowhere"), nodes); err == nil {
		t.Error("the CA of a hub that is not there")
	}
}
