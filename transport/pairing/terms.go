package pairing

import (
	"bytes"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Terms are what a camera said of itself, and on what terms it can be taken.
type Terms struct {
	Device     seal.ID
	DeviceKey  []byte // SubjectPublicKeyInfo, DER
	Protection seal.Protection
	Firmware   string
	// Acquired is how the camera is free.
	Acquired ownership.Acquired
	// Epoch and Previous are what the record has to say. The first is 0 where the record
	// may begin at any epoch: on a camera that knows of no ownership.
	Epoch    uint64
	Previous seal.Hash
}

// terms are what a hello, whose fields are checked here, asks for.
func (w *wireHello) terms() (Terms, error) {
	t := Terms{
		Device: seal.KeyID(w.Key), DeviceKey: w.Key, Protection: seal.Protection(w.Protection), Firmware: w.Firmware,
		Acquired: ownership.Acquired(w.Acquired),
	}
	if _, err := statement.ParseKey(w.Key); err != nil {
		return t, refuse(ReasonBadField, "device key: %v", err)
	}
	switch {
	case len(w.Nonce) != nonceSize:
		return t, refuse(ReasonBadField, "nonce of %d bytes", len(w.Nonce))
	case w.Protection < 1 || w.Protection > 2:
		return t, refuse(ReasonBadField, "key protection %d", w.Protection)
	case len(w.Firmware) < 1 || len(w.Firmware) > 64 || !isPrintable(w.Firmware, ' '):
		return t, refuse(ReasonBadField, "firmware version %.80q", w.Firmware)
	case w.Acquired < 1 || w.Acquired > 3:
		return t, refuse(ReasonBadField, "free in way %d", w.Acquired)
	case (w.Known == nil) != (t.Acquired == ownership.AcquiredPaired):
		return t, refuse(ReasonBadField, "free in way %d, and the ownership before does not fit", w.Acquired)
	case w.Known == nil:
		return t, nil
	case w.Known.Epoch < 1 || w.Known.Epoch >= statement.MaxInt || len(w.Known.Hash) != len(t.Previous):
		return t, refuse(ReasonBadField, "known ownership")
	}
	t.Epoch, t.Previous = w.Known.Epoch+1, seal.Hash(w.Known.Hash)
	return t, nil
}

// after are the terms for an owner to whom newest is the newest ownership of the device
// that they have seen, nil for none.
func (t Terms) after(newest *ownership.Signed) (Terms, error) {
	switch {
	case newest == nil && t.Epoch == 0:
		t.Epoch = 1
	case newest == nil:
	case t.Epoch == 0:
		t.Epoch, t.Previous = newest.Record.Epoch+1, newest.Hash()
	case newest.Record.Epoch >= t.Epoch:
		return t, refuse(ReasonRolledBack, "the device knows epoch %d, this owner has seen %d", t.Epoch-1, newest.Record.Epoch)
	}
	return t, nil
}

// apply writes the terms into a record.
func (t Terms) apply(r ownership.Record) ownership.Record {
	r.Device, r.DeviceKey, r.Acquired = t.Device, t.DeviceKey, t.Acquired
	r.Epoch, r.Revision, r.Previous = t.Epoch, 1, t.Previous
	return r
}

// check says what in a record is not as the terms have it.
func (t Terms) check(r ownership.Record) error {
	switch {
	case r.Device != t.Device || !bytes.Equal(r.DeviceKey, t.DeviceKey):
		return refuse(ReasonWrongRecord, "it is of device %s", r.Device.Short())
	case r.Acquired != t.Acquired:
		return refuse(ReasonWrongRecord, "acquired in way %d, not %d", r.Acquired, t.Acquired)
	case r.Revision != 1:
		return refuse(ReasonWrongRecord, "revision %d, not 1", r.Revision)
	case t.Epoch == 0 && (r.Epoch == 1) == r.Previous.IsZero():
	case r.Epoch != t.Epoch || r.Previous != t.Previous:
		return refuse(ReasonWrongRecord, "epoch %d does not follow the known ownership", r.Epoch)
	}
	return nil
}
