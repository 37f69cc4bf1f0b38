package viewer

import (
	"net/http/httptest"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// A camera that says in the last gap of a chain that its ownership has ended is told to the
// owner as one that is not theirs any more, until a record of a later epoch makes it theirs.
func TestEndOfAnOwnership(t *testing.T) {
	for _, c := range []struct {
		reason string
		again  bool
		want   bool
	}{{"ownership", false, true}, {"budget", false, false}, {"ownership", true, false}} {
		hub, owner, cam := house(t)
		items := cam.visit()
		first := items[0]
		end := cam.sayJSON(seal.KindGap, seal.Gap{Dropped: []seal.Dropped{{
			Chain: 1, From: 1, To: 1, FirstPrev: first.Header.Prev, LastHash: first.Hash(), Kind: seal.KindThumbnail, Reason: c.reason,
		}}})
		hub.take(append(items, end)...)
		if c.again {
			hub.records = append(hub.records, cam.record(owner, 2, 1, cam.latest.Hash()).Bytes())
		}
		server := httptest.NewServer(hub)
		v := owner.look(hub, func(o *Options) { o.HubURL, o.HTTPClient = server.URL, server.Client() })
		var d diary
		d.sync(t, v)
		server.Close()
		cameras := v.Cameras()
		if len(cameras) != 1 {
			t.Fatalf("cameras %+v", cameras)
		}
		if got := cameras[0].Ended; got.IsZero() == c.want || c.want && !got.Equal(end.Header.Captured) {
			t.Errorf("reason %s, paired again %v: ended %v", c.reason, c.again, got)
		}
		if n := len(v.Findings()); n != 0 {
			t.Errorf("%d findings", n)
		}
	}
}
