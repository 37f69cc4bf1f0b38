package config

import "fmt"

// check holds where the device's key is made; that a directory is set is checked with
// the other keys that have no default.
func (s *State) check() *Error {
	switch s.Key {
	case "auto", "file", "tpm":
	default:
		return &Error{Key: "state.key", What: fmt.Sprintf("state.key is %q", s.Key), Hint: `give "auto", "file" or "tpm"`}
	}
	if s.TPM == "" {
		return &Error{Key: "state.tpm", What: "state.tpm is empty", Hint: `give a device, such as "/dev/tpmrm0"`}
	}
	return nil
}
