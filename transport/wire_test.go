package transport_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// brokered is a hub behind a broker: honest, on the wire's own terms.
type brokered struct {
	t      *testing.T
	broker mqtttest.Broker
	device seal.ID

	mu    sync.Mutex
	luck  *rand.Rand
	store map[seal.Hash]int
	heard []string // topics' last words
}

func (b *brokered) say(m transport.Message) {
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Error(err)
	}
	b.broker.Publish(mqtt.Topic(b.device, mqtt.TopicDown), text)
}

func (b *brokered) hear(topic string, payload []byte) {
	word := topic[strings.LastIndex(topic, "/")+1:]
	b.mu.Lock()
	b.heard = append(b.heard, word)
	b.mu.Unlock()
	hash := seal.Hash(sha256.Sum256(payload))
	if word == mqtt.TopicItem {
		b.stored(hash)
	}
	if b.unlucky() { // what was said is lost with the line
		b.broker.Drop(b.device.String())
		return
	}
	switch word {
	case mqtt.TopicRecord:
		b.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
	case mqtt.TopicItem:
		_, seq := name(payload)
		b.say(transport.Message{Type: transport.Receipt, Ref: ref(seq), Hash: hash})
	case mqtt.TopicWant:
		var w transport.Want
		if err := json.Unmarshal(payload, &w); err != nil {
			b.t.Error(err)
		}
		b.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://hub/put"})
	}
}

func (b *brokered) unlucky() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.luck.IntN(30) == 0
}

// Upload takes a second, and its receipt goes by the broker.
func (b *brokered) Upload(ctx context.Context, _ string, body []byte) error {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, seq := name(body)
	hash := seal.Hash(sha256.Sum256(body))
	b.stored(hash)
	b.say(transport.Message{Type: transport.Receipt, Ref: ref(seq), Hash: hash})
	return nil
}

func (b *brokered) stored(hash seal.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store[hash]++
}

// The loop, real sessions and a broker in one bubble, whose line is cut at random for an
// hour: everything arrives, and nothing is left running.
func TestOverTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &brokered{t: t, device: seal.ID{1}, store: map[seal.Hash]int{}, luck: rand.New(rand.NewPCG(5, 6))}
		hub.broker.Watch("#", hub.hear)
		r := newRig(t, func(o *transport.Options) {
			o.Dialer = &mqtt.Dialer{Options: mqtt.Options{Device: hub.device, Dial: hub.broker.Dial}}
			o.Uploader = hub
		})
		r.run()
		var all []spool.Entry
		for i := range 180 {
			for _, kind := range []seal.Kind{seal.KindThumbnail, seal.KindClip, seal.KindEvent} {
				all = append(all, r.q.addSize(kind, 100+i*i))
			}
			time.Sleep(20 * time.Second)
		}
		pass(10 * time.Minute)
		s := r.d.Stats()
		r.stop()
		hub.broker.Close()
		if n := r.q.len(); n != 0 {
			t.Errorf("%d items are still queued", n)
		}
		twice := 0
		for _, e := range all {
			if hub.store[e.Hash] > 1 {
				twice++
			}
			if hub.store[e.Hash] == 0 {
				t.Errorf("item %d was lost", e.Ref.Seq)
			}
		}
		if s.Sessions < 10 || twice == 0 || s.Delivered != uint64(len(all)) {
			t.Errorf("%d items came twice, stats %+v", twice, s)
		}
		if got := strings.Join(hub.heard[:4], " "); got != "record down status item" {
			t.Errorf("the broker heard %s first", got)
		}
	})
}
