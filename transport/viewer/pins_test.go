package viewer

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

func openState(t *testing.T, path string, opts ...durable.Option) *FileState {
	t.Helper()
	dir, err := durable.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return OpenState(dir, "viewer.json")
}

// The hub gives an older record, a contradicting one, one of another owner, one
// that is no record: none is taken, and what is pinned stays in force.
func TestRecordsThatAreRefused(t *testing.T) {
	synctest.Test(t, recordsThatAreRefused)
}

func recordsThatAreRefused(t *testing.T) {
	hub, owner, cam := house(t)
	first := cam.latest
	early := cam.visit()
	second := cam.revise()
	third := cam.revise()
	hub.records = [][]byte{third.Bytes()}
	state := openState(t, t.TempDir())
	var d diary
	d.sync(t, owner.look(hub, func(o *Options) { o.State = state }))

	stranger := newPerson(t)
	time.Sleep(time.Second) // what is made from here on differs
	flipped := append([]byte(nil), third.Bytes()...)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name string
		give []byte
		want error
	}{
		{"roll-back", first.Bytes(), ownership.ErrRollBack},
		{"another third", cam.record(owner, 1, 3, second.Hash()).Bytes(), ownership.ErrSuccession},
		{"a fourth that follows another", cam.record(owner, 1, 4, first.Hash()).Bytes(), ownership.ErrSuccession},
		{"another owner's", cam.record(stranger, 2, 1, third.Hash()).Bytes(), errForeign},
		{"damaged", flipped, ownership.ErrSignature},
		{"nothing", nil, nil},
	} {
		hub.records = [][]byte{c.give}
		var d diary
		v := owner.look(hub, func(o *Options) { o.State = state })
		d.sync(t, v)
		if len(d.pinned) != 0 {
			t.Errorf("%s: pinned %+v", c.name, d.pinned)
		}
		found := false
		for _, r := range d.refused {
			found = found || c.want == nil || errors.Is(r.Err, c.want)
		}
		if !found {
			t.Errorf("%s: refused %+v, want %v", c.name, d.refused, c.want)
		}
		if c := v.Cameras(); len(c) != 1 || c[0].Revision != 3 {
			t.Errorf("cameras %+v", c)
		}
	}

	// Items under the third and, by its word, the second open; the first is unknown
	// to a viewer that came after it.
	hub.records = [][]byte{third.Bytes()}
	hub.take(early...)
	late := cam.visit()
	hub.take(late...)
	d = diary{}
	d.sync(t, owner.look(hub, func(o *Options) { o.State = state }))
	d.wantOpened(t, late...)
	if d.reasons()[seal.ReasonUnknownRecord] == 0 || len(hub.reports) != 0 {
		t.Errorf("withheld %v, %d reports", d.reasons(), len(hub.reports))
	}
}

// A record is in force only once its pin is on the disk. When saving fails the
// record is not taken; when it fails but the pin is there, it is taken the next
// time without a fuss.
func TestPinsAreSavedFirst(t *testing.T) {
	synctest.Test(t, pinsAreSavedFirst)
}

func pinsAreSavedFirst(t *testing.T) {
	for _, op := range []durable.Op{durable.OpWrite, durable.OpSync, durable.OpRename, durable.OpSyncDir} {
		for _, after := range []durable.Phase{durable.Before, durable.After} {
			hub, owner, cam := house(t)
			items := cam.visit()
			hub.take(items...)
			path, broken := t.TempDir(), true
			state := openState(t, path, durable.WithHook(func(s durable.Step) error {
				if broken && s.Op == op && s.Phase == after {
					return errors.New("the disk is broken")
				}
				return nil
			}))
			v := owner.look(hub, func(o *Options) { o.State = state })
			var d diary
			if err := v.SyncOnce(t.Context(), d.note); err == nil {
				t.Errorf("%v, %v: no error", op, after)
			}
			d.wantOpened(t)
			if len(d.pinned) != 0 {
				t.Errorf("%v, %v: pinned without being saved", op, after)
			}
			broken = false
			d.sync(t, v)
			d.wantOpened(t, items...)
			if pins, err := openState(t, path).Load(); err != nil || len(pins.Records) != 1 || len(pins.Heads) != 1 || pins.Heads[0].Seq != 4 {
				t.Errorf("%v, %v: pins %+v, %v", op, after, pins, err)
			}
		}
	}
}

func TestPinsSurvive(t *testing.T) {
	state := openState(t, t.TempDir())
	if p, err := state.Load(); err != nil || !reflect.DeepEqual(p, Pins{}) {
		t.Fatalf("no file: %+v, %v", p, err)
	}
	want := Pins{
		Owner: seal.KeyID([]byte("o")), Hub: seal.KeyID([]byte("h")),
		Records: []PinnedRecord{{Device: seal.KeyID([]byte("d")), Epoch: 1, Revision: 2, Hash: seal.Hash{1}}},
		Heads:   []Head{{Device: seal.KeyID([]byte("d")), Epoch: 1, Chain: 3, Seq: 4}},
	}
	if err := state.Save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := state.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Pins that cannot be read stop the viewer: starting without them would forget
// what must not be forgotten.
func TestDamagedPins(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":3}`, `{"version":2,"household":{}}`, `{"version":2,"heads":[{"device":"` + strings.Repeat("a", 52) + `","epoch":1,"chain":1,"seq":1,"through":3,"holes":[[2,4]]}]}`, `{"version":1,"more":1}`, `{"version":1,"records":[{}]}`, `{"version":1,"heads":[{}]}`} {
		path := t.TempDir()
		state := openState(t, path)
		if err := os.WriteFile(path+"/viewer.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		owner := newPerson(t)
		_, err := New(Options{HubURL: "http://127.0.0.1:1", Keys: owner.keys(), State: state})
		if err == nil || !strings.Contains(err.Error(), "read viewer's pins") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Pins belong to one owner, and to one hub.
func TestPinsOfSomebodyElse(t *testing.T) {
	hub, owner, _ := house(t)
	state := &MemoryState{}
	var d diary
	d.sync(t, owner.look(hub, func(o *Options) { o.State = state }))
	if _, err := New(Options{HubURL: "http://127.0.0.1:1", Keys: newPerson(t).keys(), State: state}); err == nil {
		t.Error("another owner's pins were taken")
	}
	hub.id = seal.KeyID([]byte("another hub"))
	err := owner.look(hub, func(o *Options) { o.State = state }).SyncOnce(t.Context(), nil)
	if !errors.Is(err, ErrHubChanged) {
		t.Errorf("another hub: %v", err)
	}
	if n := hub.count("/api/v1/session"); n != 1 {
		t.Errorf("%d statements were signed, one for the right hub", n)
	}
}

func TestHubAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://hub.example": true, "https://hub.example:8443/base": true, "http://127.0.0.1:8080": true,
		"http://[::1]:8080": true, "http://localhost:1": true, "http://hub.example": false, "http://192.168.1.2": false,
		"http://127.0.0.1.example": false, "ftp://hub": false, "hub.example": false, "": false,
		"https://user:pass@hub.example": false, "https://hub.example/?q": false, "://": false,
	} {
		if _, err := checkURL(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	owner := newPerson(t)
	good := Options{HubURL: "http://127.0.0.1:1", Keys: owner.keys(), State: &MemoryState{}}
	for name, spoil := range map[string]func(*Options){
		"owner":    func(o *Options) { o.Keys.Owner = seal.ID{} },
		"key":      func(o *Options) { o.Keys.Signer = nil },
		"identity": func(o *Options) { o.Keys.Identities = nil },
		"pins":     func(o *Options) { o.State = nil },
		"hub":      func(o *Options) { o.HubURL = "hub" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
