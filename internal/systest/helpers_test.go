package systest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
	"github.com/lensward/lensward/transport/viewer"
)

// patience bounds every wait for something that has to come.
const patience = 3 * time.Minute

// metrics are a hub's counters, by name with labels.
func metrics(t *testing.T, viewerURL string) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, viewerURL+"/metrics", nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	return readMetrics(t, res.Body)
}

// readMetrics reads the text in which a hub gives its counters.
func readMetrics(t *testing.T, text io.Reader) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for lines := bufio.NewScanner(text); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			n, err := strconv.ParseFloat(value, 64)
			must(t, err)
			out[name] = n
		}
	}
	if len(out) == 0 {
		t.Fatal("no metrics")
	}
	return out
}

// sum adds up the counters whose names have this prefix and hold this label.
func sum(counters map[string]float64, prefix, label string) (n float64) {
	for name, v := range counters {
		if strings.HasPrefix(name, prefix) && strings.Contains(name, label) {
			n += v
		}
	}
	return n
}

// pairDevice makes the device in a state directory an owner's.
func pairDevice(t testing.TB, keys *keyring.Keyring, dev *device.Device) *ownership.Ownership {
	t.Helper()
	draft, err := keys.Draft(dev.Key().SPKI(), nil, time.Now())
	must(t, err)
	signed, err := ownership.Sign(keys.Root(), draft)
	must(t, err)
	o, err := dev.Accept(signed, time.Now())
	must(t, err)
	must(t, keys.Keep(o))
	return o
}

// openSpool opens a device's spool, as the agent would, where the agent would.
func openSpool(t testing.TB, state string, dev *device.Device) *spool.Spool {
	t.Helper()
	o, err := dev.Ownership()
	must(t, err)
	binding, err := o.Binding()
	must(t, err)
	sealer, err := seal.NewSealer(seal.Device{
		Key: dev.Key(), Protection: dev.Protection(), Firmware: dev.Firmware(), Boot: dev.Boot(),
	}, binding)
	must(t, err)
	s, err := spool.Open(t.Context(), spool.Options{
		Dir: filepath.Join(state, "spool"), Sealer: sealer, Boot: dev.Boot(), Log: testLog(),
	})
	must(t, err)
	return s
}

// newViewer is an owner's viewer that knows of its cameras only what the hub tells
// it, and the owner signed.
func newViewer(t testing.TB, keys *keyring.Keyring, url string, id seal.ID, client *http.Client) *viewer.Viewer {
	t.Helper()
	v, err := viewer.New(viewer.Options{
		HubURL: url, Hub: id, HTTPClient: client, State: &viewer.MemoryState{}, Log: testLog(),
		Keys: viewer.Keys{Owner: keys.Owner(), Signer: keys.Viewer(), Identities: keys.Household()},
	})
	must(t, err)
	return v
}

// mark is what a plaintext of these tests holds, so that it shows whose it is
// wherever it turns up.
type mark struct {
	Owner, Device seal.ID
	Kind          seal.Kind
}

func (m mark) String() string { return fmt.Sprintf("[[%s of %s: %s]]", m.Device, m.Owner, m.Kind) }

// marked reads the mark in a plaintext; false if there is none.
func marked(plain []byte) (m mark, ok bool) {
	_, rest, found := strings.Cut(string(plain), "[[")
	inner, _, closed := strings.Cut(rest, "]]")
	dev, rest, _ := strings.Cut(inner, " of ")
	own, kind, _ := strings.Cut(rest, ": ")
	var err error
	if !found || !closed {
		return m, false
	}
	if m.Device, err = seal.ParseID(dev); err != nil {
		return m, false
	}
	if m.Owner, err = seal.ParseID(own); err != nil {
		return m, false
	}
	for _, k := range kinds {
		if k.String() == kind {
			m.Kind = k
		}
	}
	return m, m.Kind != 0
}

// kinds are what a marked spool holds one of each of.
var kinds = []seal.Kind{seal.KindThumbnail, seal.KindClip, seal.KindEvent, seal.KindCheckpoint}

// draft is an item of a kind whose plaintext holds the mark.
func draft(m mark, event seal.EventID) (seal.Draft, error) {
	now := time.Now()
	d := seal.Draft{Kind: m.Kind, Captured: now, Clock: seal.ClockNetwork, MediaType: m.Kind.MediaType()}
	if m.Kind != seal.KindCheckpoint {
		d.Event = event
	}
	var err error
	switch m.Kind {
	case seal.KindThumbnail:
		d.Body = append([]byte("\xff\xd8\xff\xfe"+m.String()), make([]byte, 4<<10)...)
	case seal.KindClip:
		d.Part, d.Last = 1, true
		d.MediaType += `; codecs="jpeg"`
		d.Body = append(make([]byte, 40<<10), m.String()...)
	case seal.KindEvent:
		d.Body, err = json.Marshal(struct {
			seal.Event
			Mark string
		}{seal.Event{Start: now.UnixMilli(), End: now.UnixMilli() + 1, Parts: 1}, m.String()})
	case seal.KindCheckpoint:
		d.Body, err = json.Marshal(struct {
			seal.Checkpoint
			Mark string
		}{seal.Checkpoint{Cause: "start"}, m.String()})
	}
	return d, err
}
