package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time such as "5s" or "2m30s". It is a struct so that a bare number
// in the file is refused: a number of what?
type Duration struct{ time.Duration }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration, such as \"5s\" or \"2m30s\"", b)
	}
	d.Duration = v
	return nil
}

// Size is a number of bytes such as "64MiB". The units are B, KiB, MiB and GiB.
type Size struct{ Bytes int64 }

// UnmarshalText reads a whole number followed by a unit.
func (s *Size) UnmarshalText(b []byte) error {
	text := string(b)
	for _, u := range units() {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || v < 0 || v > int64(1)<<50/u.bytes {
			break
		}
		s.Bytes = v * u.bytes
		return nil
	}
	return fmt.Errorf("%q is no size, such as \"64MiB\"", b)
}

// String is the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units() {
		if s.Bytes >= u.bytes && s.Bytes%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s.Bytes/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", s.Bytes)
}

type unit struct {
	name  string
	bytes int64
}

func units() []unit {
	return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}
