package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// maxLetter bounds a letter, in bytes.
const maxLetter = 64 << 10

func hashOf(b []byte) seal.Hash { return sha256.Sum256(b) }

// post carries letters to devices. What a letter says is the device's to judge; post
// looks at what it can, so that a mistake shows early.
type post struct {
	store *store.Store
	out   outbox
	log   *slog.Logger
}

// letterAnswer is what a device says of a letter.
type letterAnswer struct {
	Hash   seal.Hash `json:"hash"`
	OK     bool      `json:"ok"`
	Reason string    `json:"reason,omitempty"`
}

func parseAnswer(b []byte) (letterAnswer, error) {
	var a letterAnswer
	if err := parseControl(b, &a); err != nil {
		return letterAnswer{}, fmt.Errorf("read answer: %w", err)
	}
	switch {
	case a.Hash.IsZero():
		return letterAnswer{}, errors.New("read answer: the hash is missing")
	case a.OK != (a.Reason == ""):
		return letterAnswer{}, errors.New("read answer: a reason and no refusal, or a refusal and no reason")
	case len(a.Reason) > maxWord || strings.Trim(a.Reason, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return letterAnswer{}, errors.New("read answer: the reason is not one word")
	}
	return a, nil
}

// answer keeps what a device says of a letter. That a letter is not there is nothing
// unusual: another took its place, or it was answered before.
func (p *post) answer(ctx context.Context, device seal.ID, b []byte) error {
	a, err := parseAnswer(b)
	if err != nil {
		return err
	}
	found, err := p.store.AnswerLetter(ctx, device, a.Hash, time.Now().Unix(), a.OK, a.Reason)
	if err != nil || !found {
		return err
	}
	p.log.Info("letter answered", "device", device.String(), "hash", a.Hash.String(), "ok", a.OK, "reason", a.Reason)
	return nil
}

// deliver sends a device the letters that it has not answered, once the hub has its
// record. A record that comes back accepted is an answer, too.
func (p *post) deliver(ctx context.Context, o *ownership.Ownership) error {
	device := o.Record.Device
	letters, err := p.store.Letters(ctx, device)
	if err != nil {
		return err
	}
	for _, l := range letters {
		switch {
		case l.Answered != 0 || l.Owner != o.Record.Owner || l.Epoch != o.Record.Epoch:
		case l.Hash == hashOf(o.Signed.Bytes()):
			_, err = p.store.AnswerLetter(ctx, device, l.Hash, time.Now().Unix(), true, "")
		default:
			err = p.send(device, l.Bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *post) send(device seal.ID, letter []byte) error {
	return p.out.send(device, down{Type: downLetter, Hash: hashOf(letter), Letter: letter})
}

// readLetter takes a letter apart and checks its signature. What it is for is checked
// against the device's newest record by fits.
func readLetter(b []byte) (*ownership.Signed, *ownership.Release, error) {
	st, _, err := statement.Parse(b, maxLetter)
	if err != nil {
		return nil, nil, fmt.Errorf("read letter: %w", err)
	}
	switch label := statement.Label(st.Payload); label {
	case ownership.Label:
		s, err := ownership.ParseSigned(b)
		if err == nil {
			err = s.Verify()
		}
		return s, nil, err
	case ownership.LabelRelease:
		r, err := ownership.ParseRelease(b)
		return nil, r, err
	default:
		return nil, nil, fmt.Errorf("read letter: label %.40q is neither a record's nor a release's", label)
	}
}

// letterOf describes a letter for a device of this owner, or says what is wrong with it.
func letterOf(b []byte, device, owner seal.ID, now time.Time) (store.Letter, *ownership.Signed, error) {
	l := store.Letter{Hash: hashOf(b), Bytes: b, Sent: now.Unix()}
	signed, release, err := readLetter(b)
	if err != nil {
		return l, nil, answer(http.StatusBadRequest, "", "%v", err)
	}
	about := seal.ID{}
	if signed != nil {
		r := signed.Record
		l.Kind, l.Owner, l.Epoch, l.Created, about = store.LetterRecord, r.Owner, r.Epoch, r.Created.UnixMilli(), r.Device
	} else {
		l.Kind, l.Owner, l.Epoch, about = store.LetterRelease, release.Owner, release.Epoch, release.Device
	}
	switch {
	case about != device:
		return l, nil, answer(http.StatusBadRequest, "", "the letter is for device %s", about.Short())
	case l.Owner != owner:
		return l, nil, answer(http.StatusForbidden, "", "the letter is owner %s's", l.Owner.Short())
	case release != nil && !now.Before(release.Expires):
		return l, nil, answer(http.StatusConflict, "sign another", "the release has expired")
	}
	return l, signed, nil
}

// fits holds a letter against the device's newest record: 409 for what no device would
// take any more. Signed is nil for a release.
func fits(l store.Letter, signed *ownership.Signed, newest *ownership.Ownership) error {
	k := newest.Record
	switch {
	case k.Owner != l.Owner:
		return answer(http.StatusForbidden, "", "the device's newest ownership record is another owner's")
	case k.Epoch != l.Epoch:
		return answer(http.StatusConflict, "", "the letter is of epoch %d, the device's newest record of %d", l.Epoch, k.Epoch)
	case signed == nil || signed.Record.Revision > k.Revision+1:
		return nil // it names a record that this hub has not seen yet, perhaps
	}
	if err := signed.Follows(&newest.Signed); err != nil {
		return answer(http.StatusConflict, "sign the revision after the device's newest record", "%v", err)
	}
	return nil
}

func pathDevice(r *http.Request) (seal.ID, error) {
	device, err := seal.ParseID(r.PathValue("device"))
	if err != nil {
		return device, answer(http.StatusBadRequest, "", "%v", err)
	}
	return device, nil
}

func (c *courier) putLetter(w http.ResponseWriter, r *http.Request, s *session) error {
	device, err := pathDevice(r)
	if err != nil {
		return err
	}
	b, err := readBytes(w, r, maxLetter)
	if err != nil {
		return err
	}
	l, signed, err := letterOf(b, device, s.owner, time.Now())
	if err != nil {
		return err
	}
	newest, err := c.store.NewestRecord(r.Context(), device)
	if errors.Is(err, store.ErrNotFound) {
		return answer(http.StatusForbidden, "the device has to connect first", "no ownership record of the device is stored")
	}
	if err != nil {
		return err
	}
	if err := fits(l, signed, newest); err != nil {
		return err
	}
	err = c.store.PutLetter(r.Context(), device, l)
	if errors.Is(err, store.ErrRollBack) {
		return answer(http.StatusConflict, "", "the record was created before the one that waits for the device")
	}
	if err != nil {
		return err
	}
	if err := c.post.send(device, b); err != nil {
		c.post.log.Warn("letter not sent", "device", device.String(), "err", err) // it is once the device connects
	}
	return nil
}

// letterRow is what the hub says of a letter.
type letterRow struct {
	Kind     store.LetterKind `json:"kind"`
	Hash     seal.Hash        `json:"hash"`
	Sent     int64            `json:"sent"`
	Answered int64            `json:"answered"`
	OK       bool             `json:"ok"`
	Reason   string           `json:"reason"`
}

func (c *courier) letters(w http.ResponseWriter, r *http.Request, s *session) error {
	device, err := pathDevice(r)
	if err != nil {
		return err
	}
	all, err := c.store.Letters(r.Context(), device)
	if err != nil {
		return err
	}
	rows := make([]letterRow, 0, len(all))
	for _, l := range all {
		if l.Owner == s.owner {
			rows = append(rows, letterRow{l.Kind, l.Hash, l.Sent, l.Answered, l.OK, l.Reason})
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Letters []letterRow `json:"letters"`
	}{rows})
	return nil
}
