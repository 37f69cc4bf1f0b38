//go:build linux

// Command init is process 1 of the lab's guests.
package main

import (
	"fmt"
	"os"

	"github.com/lensward/lensward/internal/lab/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: it powers the machine off; only a guest starts it")
		os.Exit(1)
	}
	if err := guest.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	guest.PowerOff()
}
