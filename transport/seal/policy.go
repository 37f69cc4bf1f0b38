package seal

// Policy is what a viewer knows before it looks at an item: whose it has to be,
// and which cameras are theirs. It comes from the owner's own keys and from
// ownership records that verify, never from whoever delivers the item.
type Policy struct {
	// Owner is the only owner whose items are shown.
	Owner ID
	// Cameras are the paired cameras by device ID.
	Cameras map[ID]Camera
}

// Camera is a paired camera: the ownership records that its items may name.
type Camera struct {
	// Records maps the hash of each known record revision to its epoch.
	Records map[Hash]uint64
}

// Check decides whether an item that Verify (or VerifyEnvelope) has passed is
// for this viewer. Errors are *Error: wrong-owner, unknown-device, wrong-epoch,
// unknown-record.
func (p *Policy) Check(h Header) error {
	if h.Owner != p.Owner {
		return refuse(ReasonWrongOwner, "it belongs to owner %s", h.Owner.Short())
	}
	cam, ok := p.Cameras[h.Device]
	if !ok {
		return refuse(ReasonUnknownDevice, "camera %s is not paired with this owner", h.Device.Short())
	}
	epoch, ok := cam.Records[h.Record]
	if ok && epoch == h.Epoch {
		return nil
	}
	for _, e := range cam.Records {
		if e == h.Epoch {
			return refuse(ReasonUnknownRecord, "no ownership record %s is known for epoch %d", h.Record, h.Epoch)
		}
	}
	return refuse(ReasonWrongEpoch, "epoch %d is not this owner's", h.Epoch)
}
