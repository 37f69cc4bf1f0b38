package keyring

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// Draft is the record by which this owner would take a camera that had no owner, or the
// next revision of the known one. Its recipients and viewers are the household's as it is
// now; before there is one, the viewer key alone is on its list.
func (k *Keyring) Draft(deviceKey []byte, known *ownership.Signed, now time.Time) (ownership.Record, error) {
	if k.root == nil {
		return ownership.Record{}, fmt.Errorf("draft ownership record: %w", ErrMember)
	}
	recipients, viewers, err := k.audience()
	if err != nil {
		return ownership.Record{}, fmt.Errorf("draft ownership record: %w", err)
	}
	r := ownership.Record{
		Device: seal.KeyID(deviceKey), DeviceKey: deviceKey, Owner: k.owner, OwnerKey: k.OwnerKey(),
		Epoch: 1, Revision: 1, Acquired: ownership.AcquiredPaired, Created: now,
		Recipients: recipients, Viewers: viewers,
	}
	if known == nil {
		return r, nil
	}
	if known.Record.Owner != k.owner {
		return r, fmt.Errorf("draft ownership record: camera %s belongs to owner %s",
			known.Record.Device.Short(), known.Record.Owner.Short())
	}
	r.Epoch, r.Revision, r.Previous = known.Record.Epoch, known.Record.Revision+1, known.Hash()
	r.Acquired = known.Record.Acquired
	return r, nil
}

// Claim is the first record of the next epoch of a camera that is free: released to this
// owner, or reset. Known is the record in force, which may be this owner's own.
func (k *Keyring) Claim(deviceKey []byte, known *ownership.Signed, how ownership.Acquired, now time.Time) (ownership.Record, error) {
	r, err := k.Draft(deviceKey, nil, now)
	r.Epoch, r.Previous, r.Acquired = known.Record.Epoch+1, known.Hash(), how
	return r, err
}

// audience is whom a camera encrypts to and who may look, as the household is now.
func (k *Keyring) audience() ([]ownership.Recipient, []ownership.Viewer, error) {
	if k.newest != nil {
		return k.newest.Recipients(), k.newest.Viewers(), nil
	}
	key, err := k.viewerKey()
	if err != nil {
		return nil, nil, err
	}
	return []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: k.Recipient()}},
		[]ownership.Viewer{{Key: key, Name: ownName, Role: ownership.RoleOwner}}, nil
}

// Outdated are the newest ownerships of cameras that still record for the household as it
// was: each needs the next revision, as Draft gives it.
func (k *Keyring) Outdated() ([]*ownership.Ownership, error) {
	all, err := k.Ownerships()
	if err != nil {
		return nil, err
	}
	recipients, viewers, err := k.audience()
	if err != nil {
		return nil, fmt.Errorf("list outdated ownerships: %w", err)
	}
	var out []*ownership.Ownership
	for _, o := range newestOf(all) {
		if !slices.Equal(o.Record.Recipients, recipients) || !slices.EqualFunc(o.Record.Viewers, viewers, ownership.Viewer.Equal) {
			out = append(out, o)
		}
	}
	return out, nil
}

// newestOf are the newest record of each camera, in the order of first appearance.
func newestOf(all []*ownership.Ownership) []*ownership.Ownership {
	var out []*ownership.Ownership
	for _, o := range all {
		i := slices.IndexFunc(out, func(p *ownership.Ownership) bool { return p.Record.Device == o.Record.Device })
		switch {
		case i < 0:
			out = append(out, o)
		case o.Record.Epoch > out[i].Record.Epoch,
			o.Record.Epoch == out[i].Record.Epoch && o.Record.Revision > out[i].Record.Revision:
			out[i] = o
		}
	}
	return out
}

// Release signs that a camera may become another owner's, anyone's if to is zero, until
// expires. The camera's newest record must be kept here.
func (k *Keyring) Release(device, to seal.ID, expires time.Time) (*ownership.Release, error) {
	if k.root == nil {
		return nil, fmt.Errorf("release camera %s: %w", device.Short(), ErrMember)
	}
	all, err := k.Ownerships()
	if err != nil {
		return nil, err
	}
	for _, o := range newestOf(all) {
		if o.Record.Device == device {
			return ownership.SignRelease(k.root, &o.Signed, to, expires)
		}
	}
	return nil, fmt.Errorf("release camera %s: it is not one of owner %s's", device.Short(), k.owner.Short())
}

// Keep stores a camera's ownership, so that the camera is known without a hub.
func (k *Keyring) Keep(o *ownership.Ownership) error {
	if err := o.Verify(); err != nil {
		return fmt.Errorf("keep ownership: %w", err)
	}
	if o.Record.Owner != k.owner {
		return fmt.Errorf("keep ownership: it is owner %s's", o.Record.Owner.Short())
	}
	name := fmt.Sprintf("%s-%d-%d%s", o.Record.Device, o.Record.Epoch, o.Record.Revision, recordSuffix)
	if err := k.dir.WriteFile(name, o.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep ownership: %w", err)
	}
	return nil
}

// Ownerships are the kept records, every one verified.
func (k *Keyring) Ownerships() ([]*ownership.Ownership, error) {
	names, err := k.dir.Names()
	if err != nil {
		return nil, fmt.Errorf("list ownerships: %w", err)
	}
	var out []*ownership.Ownership
	for _, name := range names {
		if !strings.HasSuffix(name, recordSuffix) {
			continue
		}
		b, err := k.dir.ReadFile(name, ownership.MaxOwnership)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		o, err := ownership.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if err := o.Verify(); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// Policy is what this owner's items are held against, by the kept records.
func (k *Keyring) Policy() (*seal.Policy, error) {
	all, err := k.Ownerships()
	if err != nil {
		return nil, err
	}
	p := &seal.Policy{Owner: k.owner, Cameras: make(map[seal.ID]seal.Camera)}
	for _, o := range all {
		cam := p.Cameras[o.Record.Device]
		if cam.Records == nil {
			cam.Records = make(map[seal.Hash]uint64)
		}
		cam.Records[o.Hash()] = o.Record.Epoch
		p.Cameras[o.Record.Device] = cam
	}
	return p, nil
}
