package recovery

import (
	"encoding/binary"
	"testing"
	"time"
)

// These moments are in devices' lives: a change would move a whole fleet's at once.
func TestMomentVectors(t *testing.T) {
	var counting [32]byte
	for i := range counting {
		counting[i] = byte(i)
	}
	for _, c := range []struct {
		device [32]byte
		label  string
		period time.Duration
		want   time.Duration
	}{
		{[32]byte{}, "firmware", 24 * time.Hour, 50794306550013},
		{counting, "firmware", 24 * time.Hour, 32439504465269},
		{counting, "time", 24 * time.Hour, 68928266020949},
		{counting, "", 1, 0},
		{counting, "firmware", 0, 0},
		{counting, "firmware", -time.Hour, 0},
	} {
		if got := Moment(c.device, c.label, c.period); got != c.want {
			t.Errorf("Moment(%x, %q, %v) = %d, want %d", c.device[:4], c.label, c.period, got, c.want)
		}
	}
}

func TestMomentsAreSpread(t *testing.T) {
	const devices, bins = 20_000, 10
	var hits [bins]int
	for i := range uint64(devices) {
		var id [32]byte
		binary.BigEndian.PutUint64(id[:], i)
		at := Moment(id, "firmware", time.Hour)
		if at < 0 || at >= time.Hour {
			t.Fatalf("device %d: %v of an hour", i, at)
		}
		hits[at*bins/time.Hour]++
	}
	for i, n := range hits {
		if n < devices/bins*9/10 || n > devices/bins*11/10 {
			t.Errorf("%d of %d in tenth %d", n, devices, i)
		}
	}
}
