package transport

import (
	"errors"
	"fmt"
	"time"
)

// Settings are the delivery loop's limits. Take DefaultSettings and change what must
// differ.
type Settings struct {
	// Window is how many messages may be without a receipt at once, 1 to 32: all their
	// answers fit into what a session holds ready.
	Window int
	// Uploads is how many clip parts may be on their way at once, 1 to 8. Each is held
	// in memory, up to 4 MiB.
	Uploads int
	// Receipt is how long to wait for the hub's answer to an item, a want or the
	// ownership record.
	Receipt time.Duration
	// Sends is how often an item is sent in a row, at least 1. One that stays without an
	// answer rests for Rest if the hub answered others meanwhile; else the session is
	// given up.
	Sends int
	// Rest is how long an item that got nowhere is left alone, and the longest pause
	// between uploads that fail.
	Rest time.Duration
	// Checkpoint is the time between checkpoints while connected.
	Checkpoint time.Duration
	// ItemsPerSecond and BytesPerSecond pace the backlog, what was sealed before the
	// connect; 0 is as fast as the window allows. The newest thumbnail and what is sealed
	// later are not paced. A hint's drain counts where it is slower.
	ItemsPerSecond, BytesPerSecond float64
	// HintWait is how long the backlog waits for the session's hint, so that it does not
	// run ahead of it. It counts only for a device that takes hints.
	HintWait time.Duration
}

// DefaultSettings suit a camera at home.
func DefaultSettings() Settings {
	return Settings{
		Window:     8,
		Uploads:    2,
		Receipt:    30 * time.Second,
		Sends:      3,
		Rest:       10 * time.Minute,
		Checkpoint: 5 * time.Minute,
		HintWait:   2 * time.Second,
	}
}

// Validate says which setting is out of its range.
func (s Settings) Validate() error {
	switch {
	case s.Window < 1 || s.Window > 32:
		return fmt.Errorf("delivery settings: window %d is not from 1 to 32", s.Window)
	case s.Uploads < 1 || s.Uploads > 8:
		return fmt.Errorf("delivery settings: %d uploads at once are not from 1 to 8", s.Uploads)
	case s.Sends < 1:
		return fmt.Errorf("delivery settings: an item cannot be sent %d times", s.Sends)
	case s.Receipt <= 0 || s.Rest <= 0 || s.Checkpoint <= 0:
		return errors.New("delivery settings: the times for receipt, rest and checkpoint must be above 0")
	case s.HintWait < 0:
		return fmt.Errorf("delivery settings: the wait for a hint %v is negative", s.HintWait)
	case !(s.ItemsPerSecond >= 0 && s.BytesPerSecond >= 0):
		return errors.New("delivery settings: a rate is negative")
	}
	return nil
}
