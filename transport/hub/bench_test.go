package hub

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// From the publish of a sealed 20 KB thumbnail to its receipt, over MQTT with TLS
// on loopback.
func BenchmarkReceipt(b *testing.B) {
	for name, interval := range map[string]time.Duration{"every write synced": synced, "synced at intervals": time.Hour} {
		b.Run(name, func(b *testing.B) {
			h := startHub(b, Options{SyncInterval: interval})
			c := newCamera(b, newOwner(b))
			l := attach(b, h, c)
			b.SetBytes(20 << 10)
			for b.Loop() {
				b.StopTimer()
				it := c.sealed(b, seal.KindThumbnail, 20<<10)
				b.StartTimer()
				l.deliver(b, it)
			}
		})
	}
}

// One row of a timeline page of 100 thumbnails of 20 KB.
func BenchmarkTimelineRow(b *testing.B) {
	h := startHub(b, Options{})
	o := newOwner(b)
	c := newCamera(b, o)
	l := attach(b, h, c)
	for range 100 {
		l.deliver(b, c.sealed(b, seal.KindThumbnail, 20<<10))
	}
	v := signIn(b, h, o.key, o.id)
	for i := 0; b.Loop(); i++ {
		if i%100 == 0 {
			if status, body := v.call(b, http.MethodGet, "/api/v1/timeline", nil); status != http.StatusOK || bytes.Count(body, []byte("cursor")) != 100 {
				b.Fatalf("timeline: %d", status)
			}
		}
	}
}

// Sealed 20 KB thumbnails of 24 cameras, each with up to 8 without an answer, every
// write synced: one hub, and three as a cluster on one machine.
func BenchmarkDelivery(b *testing.B) {
	b.Run("one hub", func(b *testing.B) {
		deliverMany(b, []*running{startHub(b, Options{SyncInterval: synced})})
	})
	b.Run("three hubs", func(b *testing.B) {
		deliverMany(b, startCluster(b, clusterDirs(b), Options{SyncInterval: synced}))
	})
}

func deliverMany(b *testing.B, hubs []*running) {
	const cameras, window = 24, 8
	o := newOwner(b)
	each := (b.N + cameras - 1) / cameras
	var links []*link
	var items [][]*seal.Item
	for i := range cameras {
		c := newCamera(b, o)
		links = append(links, attach(b, hubs[i%len(hubs)], c))
		var own []*seal.Item
		for range each {
			own = append(own, c.sealed(b, seal.KindThumbnail, 20<<10))
		}
		items = append(items, own)
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			waiting := 0
			for _, it := range items[i] {
				if waiting == window {
					l.next(b)
					waiting--
				}
				l.publish(b, topicItem, it.Bytes())
				waiting++
			}
			for range waiting {
				l.next(b)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(each*cameras)/b.Elapsed().Seconds(), "items/s")
}
