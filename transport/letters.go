package transport

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// maxLetters is how many letters of one session are looked at: a hub must not keep a
	// camera busy with signatures and its disk with writes.
	maxLetters = 16
	// maxEarly is how many of them may come before the record's receipt.
	maxEarly = 4
	// letterMalformed is the reason for what are no letter's bytes.
	letterMalformed = "malformed"
)

// letters are what became of one session's letters.
type letters struct {
	looked   int
	answered map[seal.Hash]bool
}

// letter hands a letter to whoever is to decide on it, and answers it once. An error ends
// the session.
func (c *courier) letter(ctx context.Context, m Message) error {
	if c.d.opts.Letter == nil || c.letters.answered[m.Hash] || c.letters.looked >= maxLetters {
		c.d.ignore(m)
		return nil
	}
	c.letters.looked++
	reason, err := c.read(m)
	if err != nil {
		// Not decided: the hub will send it again.
		c.trouble("taking a letter failed", err)
		return nil
	}
	if c.letters.answered == nil {
		c.letters.answered = make(map[seal.Hash]bool)
	}
	c.letters.answered[m.Hash] = true
	c.d.board.update(func(s *Stats) {
		if reason == "" {
			s.Letters++
		} else {
			s.LettersRefused++
		}
	})
	// A record that was taken is there before its answer.
	if err := c.showRecord(ctx); err != nil {
		return err
	}
	if err := c.s.PublishAnswer(ctx, Answer{Hash: m.Hash, OK: reason == "", Reason: reason}); err != nil {
		return fmt.Errorf("answer a letter: %w", err)
	}
	return nil
}

// read takes the bytes out of a message and has them decided on.
func (c *courier) read(m Message) (reason string, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(m.Letter)
	if err != nil || len(b) > MaxLetter || m.Hash != sha256.Sum256(b) {
		c.d.log.Warn("a letter of the hub's is not what its hash says", slog.String("hash", m.Hash.String()))
		return letterMalformed, nil
	}
	reason, err = c.d.opts.Letter(b)
	if err == nil && reason != "" && !isReason(reason) {
		return "", fmt.Errorf("%.80q is no reason", reason)
	}
	return reason, err
}

// early keeps a letter that came before the record's receipt, for when the session is
// admitted: the order of the two is not promised.
func (d *Delivery) early(m Message) {
	if len(d.letters) >= maxEarly {
		d.ignore(m)
		return
	}
	d.letters = append(d.letters, m)
}

// showRecord shows the hub the ownership record in force, if that is another than was
// shown: what is sealed under it is refused before it is known there.
func (c *courier) showRecord(ctx context.Context) error {
	record := c.d.opts.Record()
	if record.Hash == c.d.shown {
		return nil
	}
	if err := c.s.PublishRecord(ctx, record.Bytes); err != nil {
		return fmt.Errorf("show the new ownership record: %w", err)
	}
	c.d.shown = record.Hash
	return nil
}

// recordAnswered takes what the hub says of a record that was shown in the session. A
// refusal of the one in force ends it: nothing that is sealed under it would be taken.
func (c *courier) recordAnswered(m Message) error {
	switch {
	case m.Hash != c.d.shown:
		c.d.ignore(m)
	case m.Type == RecordRefusal:
		return &RecordRefused{Reason: m.Reason, Detail: m.Detail}
	}
	return nil
}

// never is the channel of a record that nobody says has changed.
func never() <-chan struct{} { return nil }
