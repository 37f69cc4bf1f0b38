package viewer

import (
	"bytes"
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"

	"github.com/lensward/lensward/transport/seal"
)

// witness looks over the viewer's shoulder. It reads again, by itself and from
// the bytes, whose an item is that was just shown, and counts those that should
// not have been. It shares no code with what it watches (seal's parser and
// Policy), so that a fault there does not silence it. It stops nothing: the
// figure that it gives is a measurement.
type witness struct {
	owner   seal.ID
	devices map[seal.ID]bool
}

func newWitness(owner seal.ID) *witness {
	return &witness{owner: owner, devices: map[seal.ID]bool{}}
}

// coseSign1 is a COSE_Sign1 as CBOR has it.
type coseSign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected cbor.RawMessage
	Payload     []byte
	Signature   []byte
}

// payload reads what an envelope at the front of b says, and what follows it.
func payload(b []byte) (said map[int]any, rest []byte, ok bool) {
	var tag cbor.RawTag
	rest, err := cbor.UnmarshalFirst(b, &tag)
	if err != nil {
		return nil, nil, false
	}
	var c coseSign1
	if cbor.Unmarshal(tag.Content, &c) != nil || cbor.Unmarshal(c.Payload, &said) != nil {
		return nil, nil, false
	}
	return said, rest, true
}

// see learns from an ownership record's bytes which camera is the owner's: the
// owner key that it names must hash to the owner's ID.
func (w *witness) see(record []byte) {
	var halves [][]byte
	if cbor.Unmarshal(record, &halves) != nil || len(halves) != 2 {
		return
	}
	said, _, ok := payload(halves[0])
	if !ok {
		return
	}
	device, _ := said[1].([]byte)
	key, _ := said[4].([]byte)
	if len(device) == len(seal.ID{}) && sha256.Sum256(key) == w.owner {
		w.devices[seal.ID(device)] = true
	}
}

// wrong says whether an item's bytes should not have been shown: they do not say
// that the owner is this one, that the camera is one of theirs whose key is in
// them, or that this is the body.
func (w *witness) wrong(item []byte) bool {
	said, body, ok := payload(item)
	if !ok {
		return true
	}
	key, _ := said[2].([]byte)
	device, _ := said[3].([]byte)
	owner, _ := said[4].([]byte)
	hash, _ := said[20].([]byte)
	camera, sum := sha256.Sum256(key), sha256.Sum256(body)
	return !bytes.Equal(owner, w.owner[:]) || !bytes.Equal(device, camera[:]) ||
		!w.devices[camera] || !bytes.Equal(hash, sum[:])
}
