package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// check holds by what the camera is paired.
func (p *Pairing) check() *Error {
	services := []string{"auto", "none"}
	if !slices.Contains(services, p.WiFi) {
		return &Error{Key: "pairing.wifi", What: fmt.Sprintf("pairing.wifi is %q", p.WiFi), Hint: fmt.Sprintf("give one of %q", services)}
	}
	if p.LED != "" && (p.LED != filepath.Base(p.LED) || strings.HasPrefix(p.LED, ".")) {
		return &Error{Key: "pairing.led", What: fmt.Sprintf("pairing.led is %q", p.LED), Hint: "give a name that `ls /sys/class/leds` shows"}
	}
	if p.ButtonKey < 1 || p.ButtonKey > 767 {
		return &Error{Key: "pairing.button_key", What: fmt.Sprintf("pairing.button_key is %d", p.ButtonKey), Hint: "give a key code from 1 to 767, such as 408 (KEY_RESTART)"}
	}
	if p.SerialSpeed < 0 || p.SerialSpeed > 4_000_000 {
		return &Error{Key: "pairing.serial_speed", What: fmt.Sprintf("pairing.serial_speed is %d", p.SerialSpeed), Hint: "give a speed such as 115200"}
	}
	return nil
}
