package agent

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/transport/seal"
)

// clockFloor is before any firmware was built: a clock that shows less was never set.
const clockFloor = 1_767_225_600 // 2026-01-01

// timeUnsync is STA_UNSYNC of adjtimex(2): nothing keeps the clock right.
const timeUnsync = 0x40

// clockTrust says how far the system's clock can be trusted: the kernel knows
// whether a time daemon keeps it right.
func clockTrust(now time.Time) seal.ClockTrust {
	if now.Unix() < clockFloor {
		return seal.ClockUnset
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil || t.Status&timeUnsync != 0 {
		return seal.ClockFloor
	}
	return seal.ClockNetwork
}
