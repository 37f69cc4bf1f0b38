package pairing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

const (
	hubFile  = "hub.json"
	nextFile = "hub-next.json"
	hubLabel = "lensward/learned-hub/1"
	maxHub   = 16 << 10
)

// Hub is where a camera goes that learned it from a code.
type Hub struct {
	ID seal.ID
	// Brokers are host:port of MQTT over TLS, URLs the HTTPS addresses for devices.
	Brokers, URLs []string
	// CAFile is the hub's CA certificate, PEM.
	CAFile string
}

// wireHub is a learned hub as it is kept. The one that is only to be has an owner: it
// counts from when that owner's record is in force and is another than Before.
type wireHub struct {
	Label   string   `json:"label"`
	ID      string   `json:"id"`
	Brokers []string `json:"brokers"`
	URLs    []string `json:"urls"`
	CA      string   `json:"ca"` // a file beside this one
	Owner   string   `json:"owner,omitempty"`
	Before  string   `json:"before,omitempty"`
}

// Learned is the hub that a camera with this ownership (nil for none) learned from a code,
// nil where it learned none. The hub of a pairing that was cut short between the ownership
// and the hub comes into force here.
func Learned(dir *durable.Dir, own *ownership.Ownership) (*Hub, error) {
	if err := settle(dir, own); err != nil {
		return nil, err
	}
	w, err := readHub(dir, hubFile)
	if err != nil || w == nil {
		return nil, err
	}
	id, err := seal.ParseID(w.ID)
	if err != nil {
		return nil, fmt.Errorf("read learned hub: %w", err)
	}
	return &Hub{ID: id, Brokers: w.Brokers, URLs: w.URLs, CAFile: dir.Path(w.CA)}, nil
}

// settle puts the hub of the newest code in force if the code's owner is the camera's by
// a record that came after it.
func settle(dir *durable.Dir, own *ownership.Ownership) error {
	if own == nil {
		return nil
	}
	next, err := readHub(dir, nextFile)
	if err != nil || next == nil {
		return err
	}
	if next.Owner != own.Record.Owner.String() || next.Before == own.Hash().String() {
		return nil
	}
	if err := dir.Rename(nextFile, hubFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take learned hub: %w", err)
	}
	return nil
}

// readHub reads a kept hub, nil if there is none.
func readHub(dir *durable.Dir, name string) (*wireHub, error) {
	b, err := dir.ReadFile(name, maxHub)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read learned hub: %w", err)
	}
	var w wireHub
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("read learned hub %s: %w", dir.Path(name), err)
	}
	if w.Label != hubLabel || len(w.Brokers) == 0 || len(w.URLs) == 0 || w.CA == "" {
		return nil, fmt.Errorf("read learned hub %s: it is not whole", dir.Path(name))
	}
	return &w, nil
}

// keepNext has the hub of a code on the disk, to be in force with the owner's record. The
// certificate is there before the file that names it.
func keepNext(dir *durable.Dir, f *found, owner seal.ID, before *ownership.Ownership) error {
	name := "hub-" + f.id.String() + ".pem"
	if err := dir.WriteFile(name, f.ca, 0o600); err != nil {
		return fmt.Errorf("keep hub's CA: %w", err)
	}
	w := wireHub{Label: hubLabel, ID: f.id.String(), Brokers: f.brokers, URLs: f.urls, CA: name, Owner: owner.String()}
	if before != nil {
		w.Before = before.Hash().String()
	}
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("keep learned hub: %w", err)
	}
	if err := dir.WriteFile(nextFile, b, 0o600); err != nil {
		return fmt.Errorf("keep learned hub: %w", err)
	}
	return nil
}

// forgetNext drops the hub of a code that came to nothing.
func forgetNext(dir *durable.Dir) error {
	if _, err := dir.ReadFile(nextFile, maxHub); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := dir.Remove(nextFile); err != nil {
		return fmt.Errorf("forget learned hub: %w", err)
	}
	return nil
}
