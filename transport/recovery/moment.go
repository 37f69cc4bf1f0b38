package recovery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// momentLabel separates moments from all else that is made of a device's ID.
const momentLabel = "lensward/moment/1\x00"

// Moment is a device's place in a period that its whole fleet shares, for work that
// comes round: firmware checks, time servers, a certificate's renewal. It is at least 0
// and less than the period, spread evenly over devices, the same at every call, and
// for each label another, so that who is late with one thing is not with the next. A
// period of 0 or less has one moment, 0.
//
// It is the first eight bytes, big-endian, of HMAC-SHA-256 with the device's ID as the
// key over "lensward/moment/1", a zero byte and the label; that as a fraction of 2^64,
// times the period.
func Moment(device [32]byte, label string, period time.Duration) time.Duration {
	if period <= 0 {
		return 0
	}
	mac := hmac.New(sha256.New, device[:])
	mac.Write([]byte(momentLabel + label)) // a hash's Write never fails
	share := binary.BigEndian.Uint64(mac.Sum(nil))
	high, _ := bits.Mul64(share, uint64(period))
	return time.Duration(high)
}
