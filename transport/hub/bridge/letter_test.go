package bridge_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// client is a device's bare connection to the broker.
func (d *device) client(t *testing.T) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("ssl://" + d.w.broker.address).SetTLSConfig(d.tls).
		SetClientID(d.id.String()).SetProtocolVersion(4).SetAutoReconnect(false).SetOrderMatters(false))
	done(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func done(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer")
	}
	must(t, token.Error())
}

// A letter of the largest record reaches the device through the broker, and its own
// answer comes back; nobody answers in its stead.
func TestLetter(t *testing.T) {
	w := newWorld(t)
	d, thief := w.newDevice(), w.newDevice()
	letter := largest(t, w, d)
	hash := seal.Hash(sha256.Sum256(letter))
	heard := make(chan seal.Hash, 64)
	c := d.client(t)
	done(t, c.Subscribe(mqtt.Topic(d.id, mqtt.TopicDown), 0, func(_ paho.Client, m paho.Message) {
		var said struct {
			Type string    `json:"type"`
			Hash seal.Hash `json:"hash"`
		}
		if json.Unmarshal(m.Payload(), &said) == nil && said.Type == "letter" {
			heard <- said.Hash
		}
	}))
	courier, err := viewer.NewCourier(viewer.CourierOptions{
		HubURL: w.hub.ViewerURL(), Hub: w.hub.ID(), Owner: seal.KeyID(spki(t, w.owner)), Signer: w.owner,
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.hub.CAPool()}}},
	})
	must(t, err)
	eventually(t, "the hub takes the letter", func() bool { // once it has the record
		done(t, c.Publish(mqtt.Topic(d.id, mqtt.TopicRecord), 0, false, d.record.Bytes()))
		return courier.PutLetter(t.Context(), d.id, letter) == nil
	})
	eventually(t, "the letter is heard", func() bool {
		select {
		case got := <-heard:
			return got == hash
		default:
			return false
		}
	})

	said := fmt.Appendf(nil, `{"hash":%q,"ok":true}`, hash)
	other := thief.client(t)
	answered := func() bool {
		states, err := courier.Letters(t.Context(), d.id)
		must(t, err)
		return slices.ContainsFunc(states, func(s viewer.LetterState) bool { return s.Hash == hash && !s.Answered.IsZero() && !s.OK })
	}
	done(t, other.Publish(mqtt.Topic(d.id, "answer"), 0, false, said))
	done(t, other.Publish(mqtt.Topic(thief.id, "answer"), 0, false, said))
	done(t, c.Publish(mqtt.Topic(d.id, "answer"), 0, false, fmt.Appendf(nil, `{"hash":%q,"ok":false,"reason":"no-right"}`, hash)))
	// Had another's answer counted, it would be the first, and stay.
	eventually(t, "the answer", answered)
}

// largest is the next record of a device with as many viewers as there may be.
func largest(t *testing.T, w *world, d *device) []byte {
	t.Helper()
	r := d.record.Record
	r.Revision, r.Previous = r.Revision+1, d.record.Hash()
	for range 64 {
		r.Viewers = append(r.Viewers, ownership.Viewer{Key: spki(t, newKey(t)), Name: "somebody who looks", Role: ownership.RoleViewer})
	}
	s, err := ownership.Sign(w.owner, r)
	must(t, err)
	return s.Bytes()
}
