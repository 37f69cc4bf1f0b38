//go:build !linux

package encode

import "errors"

// hardware is none: V4L2 is Linux's.
type hardware struct{}

func findM2M(Settings) (device, reason string) {
	return "", "hardware encoders are looked for on Linux alone"
}

func (s *Source) beginM2M() (session, error) {
	return nil, errors.New("hardware encoders are used on Linux alone")
}
