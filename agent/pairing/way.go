package pairing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/lensward/lensward/hw/wifi"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/mailbox"
)

const maxCAFile = 1 << 20

// way is the way to the owner by a hub: the network is joined, the hub found and its
// mailbox opened when they are first needed, and again when they fail.
type way struct {
	p    *Pairing
	code *pairing.Code // nil when it is forgotten
	hub  *Hub          // the configured or learned one; nil where it is the code's, or there is none

	turn   chan struct{} // holds one token: who has it may touch what is below
	joined bool
	urls   []string // of the hub, the next to be tried first
	client *http.Client
	box    *mailbox.Mailbox
	ready  chan struct{} // closed when the hub that the code names is on the disk
}

func newWay(p *Pairing) *way {
	w := &way{p: p, turn: make(chan struct{}, 1), ready: make(chan struct{})}
	w.turn <- struct{}{}
	return w
}

// of says which code's way it is, nil for one that is forgotten already.
func (w *way) of(code *pairing.Code) (err error) {
	w.code = code
	if w.hub, err = w.p.Hub(); err == nil && w.hub == nil && !w.named() {
		w.hub, err = Learned(w.p.Dir, w.p.Device.Ownership())
	}
	return err
}

// named says whether the code names a hub.
func (w *way) named() bool { return w.code != nil && w.code.Hub != nil }

// leads says whether there is a hub at all.
func (w *way) leads() bool { return w.hub != nil || w.named() }

// known says whether the hub of the code, if the camera is to go to it, is on the disk.
func (w *way) known() bool {
	if w.hub != nil || !w.named() {
		return true
	}
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

// Put is the mailbox's.
func (w *way) Put(ctx context.Context, rendezvous string, msg []byte) error {
	box, err := w.open(ctx)
	if err != nil {
		return err
	}
	return w.came(box, box.Put(ctx, rendezvous, msg))
}

// Get is the mailbox's.
func (w *way) Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	box, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	msg, err := box.Get(ctx, rendezvous, have)
	return msg, w.came(box, err)
}

// came takes the next of the hub's addresses when one does not answer.
func (w *way) came(box *mailbox.Mailbox, err error) error {
	var status *mailbox.StatusError
	if err == nil || errors.As(err, &status) {
		return err
	}
	<-w.turn
	defer func() { w.turn <- struct{}{} }()
	if w.box == box && len(w.urls) > 0 {
		w.box, w.urls = nil, append(w.urls[1:len(w.urls):len(w.urls)], w.urls[0])
	}
	return err
}

// open gives the mailbox, and does first what is needed for it.
func (w *way) open(ctx context.Context) (*mailbox.Mailbox, error) {
	select {
	case <-w.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { w.turn <- struct{}{} }()
	if w.box != nil {
		return w.box, nil
	}
	if err := w.join(ctx); err != nil {
		return nil, err
	}
	if w.client == nil {
		if err := w.reach(ctx); err != nil {
			return nil, err
		}
	}
	box, err := mailbox.New(mailbox.Options{
		URL: w.urls[0], Path: mailbox.DevicePath, Side: mailbox.SideCamera, HTTP: w.client,
	})
	if err == nil {
		w.box = box
	}
	return box, err
}

// join joins the code's network. Where nothing here can do that, it is said, and there may
// be a cable.
func (w *way) join(ctx context.Context) error {
	if w.joined || w.code == nil || w.code.WiFi == nil {
		return nil
	}
	if w.p.Join == nil {
		w.joined = true
		w.p.Log.Warn("the code names a Wi-Fi network, and pairing.wifi is \"none\"")
		return nil
	}
	err := w.p.Join(ctx, w.code.WiFi)
	if errors.Is(err, wifi.ErrNone) {
		w.p.Log.Warn("the code names a Wi-Fi network that cannot be joined", "error", err)
		err = nil
	} else if err == nil {
		w.p.Log.Info("joined the code's Wi-Fi")
	}
	w.joined = err == nil
	return err
}

// reach finds out which hub it is, and has one that the code names on the disk.
func (w *way) reach(ctx context.Context) error {
	if w.hub != nil {
		return w.trust(w.hub)
	}
	f, err := find(ctx, w.code.Hub, w.p.Dial)
	if err != nil {
		return err
	}
	if err := keepNext(w.p.Dir, f, w.code.Owner, w.p.Device.Ownership()); err != nil {
		return err
	}
	close(w.ready)
	return w.through(f.urls, f.ca)
}

// trust takes a hub whose CA is in a file.
func (w *way) trust(hub *Hub) error {
	info, err := os.Stat(hub.CAFile)
	if err != nil {
		return fmt.Errorf("read hub's CA: %w", err)
	}
	if info.Size() > maxCAFile {
		return fmt.Errorf("read hub's CA: %s has %d bytes, at most %d", hub.CAFile, info.Size(), maxCAFile)
	}
	ca, err := os.ReadFile(hub.CAFile)
	if err != nil {
		return fmt.Errorf("read hub's CA: %w", err)
	}
	return w.through(hub.URLs, ca)
}

// through makes the client for a hub at these addresses.
func (w *way) through(urls []string, ca []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("read hub's CA: it holds no certificate")
	}
	w.urls = append([]string(nil), urls...)
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: w.p.Dial, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 15 * time.Second, MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute,
	}}
	return nil
}
