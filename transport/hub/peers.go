package hub

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// peersSubject is where the hubs of a cluster say what each admits. No device may use it.
const peersSubject = "ward.admits."

// peerSilence is after how long a hub that says nothing counts as gone.
const peerSilence = 5 * time.Second

// peers are the other hubs of the cluster, and what each of them admits. A hub alone has
// none, and then a fleet is all its own.
type peers struct {
	conn *nats.Conn
	name string

	mu    sync.Mutex
	rates map[string]peer
}

type peer struct {
	rate  float64 // connects a second
	heard time.Time
}

// peerMessage is what a hub says of itself once a second.
type peerMessage struct {
	Rate float64 `json:"rate"`
}

// listenToPeers hears the others until the connection closes.
func listenToPeers(conn *nats.Conn) (*peers, error) {
	p := &peers{conn: conn, name: conn.ConnectedServerId(), rates: make(map[string]peer)}
	if _, err := conn.Subscribe(peersSubject+"*", p.hear); err != nil {
		return nil, fmt.Errorf("listen to other hubs: %w", err)
	}
	return p, nil
}

func (p *peers) hear(m *nats.Msg) {
	var said peerMessage
	if json.Unmarshal(m.Data, &said) != nil || !(said.Rate > 0) {
		return // of a newer version, perhaps
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rates[m.Subject[len(peersSubject):]] = peer{rate: said.Rate, heard: time.Now()}
}

// say tells the others what this hub admits. What is lost is said again in a second.
func (p *peers) say(rate float64) {
	b, err := json.Marshal(peerMessage{Rate: rate})
	if err != nil {
		return // not a number, which a rate never is
	}
	_ = p.conn.Publish(peersSubject+p.name, b)
}

// share is this hub's part, above 0 and at most 1, of what all that are there admit.
func (p *peers) share(own float64, now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := own
	for name, o := range p.rates {
		if now.Sub(o.heard) > peerSilence {
			delete(p.rates, name)
			continue
		}
		all += o.rate
	}
	return own / all
}
