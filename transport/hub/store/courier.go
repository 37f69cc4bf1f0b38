package store

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamPairing   = "LENSWARD_PAIRING"
	streamHousehold = "LENSWARD_HOUSEHOLD"
	streamLetters   = "LENSWARD_LETTERS"

	mailMessages = 4096
	mailAge      = time.Hour
	// LetterAge is how long a letter, or the answer to it, is kept.
	LetterAge = 30 * 24 * time.Hour
)

// courier is what a hub carries beside items and records: pairing's messages, what
// households exchange, and letters to devices.
type courier struct {
	mail      jetstream.Stream
	household jetstream.Stream
	letters   jetstream.Stream
	bells     bell[MailBox]
}

// streams are how each of them is kept: the newest message of each subject.
func (c *courier) streams(latest func(name string, subjects ...string) jetstream.StreamConfig) []kept {
	mail, letters := latest(streamPairing, "ward.pair.>"), latest(streamLetters, "ward.letter.>")
	mail.MaxMsgs, mail.MaxAge, letters.MaxAge = mailMessages, mailAge, LetterAge
	return []kept{
		{mail, &c.mail}, {letters, &c.letters},
		{latest(streamHousehold, "ward.household.>", "ward.keys.>", "ward.card.>", "ward.box.>", "ward.boxpart.>"), &c.household},
	}
}
