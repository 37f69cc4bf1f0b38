package hub

import (
	"bytes"
	"net/http"
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
