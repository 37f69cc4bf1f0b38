package device

import (
	"bytes"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/statement"
)

// MaxLetter bounds a letter, in bytes.
const MaxLetter = ownership.MaxRecord

// TakeLetter takes what the device's owner has told it by way of a courier, who is not
// believed: the next revision of the record in force, or a release. What was taken before
// is taken again without effect. The error is nil or has a word: ownership.Reason. It is
// on the disk when it returns.
//
// A record of another epoch is refused (ErrRight) whatever its right: only a pairing
// proves who the new owner is.
func (d *Device) TakeLetter(b []byte, now time.Time) error {
	if len(b) > MaxLetter {
		return fmt.Errorf("take letter: %d bytes, at most %d: %w", len(b), MaxLetter, statement.ErrTooLarge)
	}
	st, _, err := statement.Parse(b, MaxLetter)
	if err != nil {
		return fmt.Errorf("take letter: %w", err)
	}
	switch label := statement.Label(st.Payload); label {
	case ownership.Label:
		return d.takeRevision(b, now)
	case ownership.LabelRelease:
		return d.takeRelease(b, now)
	default:
		return fmt.Errorf("take letter: label %.40q is neither a record nor a release: %w", label, ownership.ErrInvalid)
	}
}

func (d *Device) takeRevision(b []byte, now time.Time) error {
	s, err := ownership.ParseSigned(b)
	if err != nil {
		return fmt.Errorf("take letter: %w", err)
	}
	if err := s.Verify(); err != nil {
		return fmt.Errorf("take letter: %w", err)
	}
	o, err := d.Ownership()
	switch {
	case err != nil:
		return fmt.Errorf("take letter: %w: %w", err, ownership.ErrRight)
	case o.Hash() == s.Hash():
		return nil
	case s.Record.Device != d.id:
		return fmt.Errorf("take letter: it is for device %s: %w", s.Record.Device.Short(), ownership.ErrRight)
	case s.Record.Epoch > o.Record.Epoch:
		return fmt.Errorf("take letter: a record of epoch %d without a pairing: %w", s.Record.Epoch, ownership.ErrRight)
	}
	_, err = d.Accept(s, now)
	return err
}

func (d *Device) takeRelease(b []byte, now time.Time) error {
	r, err := ownership.ParseRelease(b)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.owned == nil:
		return fmt.Errorf("take release: %w: %w", ErrUnpaired, ownership.ErrRight)
	case d.reset:
		return fmt.Errorf("take release: the camera was reset, and is nobody's to give away: %w", ownership.ErrRight)
	}
	if err := r.Frees(&d.owned.Signed, d.latest(now)); err != nil {
		return fmt.Errorf("take release: %w", err)
	}
	if d.release != nil && bytes.Equal(d.release.Bytes(), b) {
		return nil
	}
	if err := d.dir.WriteFile(releaseFile, b, 0o600); err != nil {
		return fmt.Errorf("keep the release: %w", err)
	}
	d.release = r
	d.page()
	return nil
}
