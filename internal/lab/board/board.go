// Package board describes the machines that the lab has: which processor, which
// kernel, and how QEMU is told.
//
// It owns the command lines, as data. It never starts anything.
package board

import (
	"fmt"
	"slices"
	"strconv"
)

// Board is a machine, and what it takes to run on it.
type Board struct {
	// Name is the processor's: arm64, armv7, armv6.
	Name string
	// GOARCH and GOARM are what programs are built for.
	GOARCH, GOARM string
	// Kernel is its directory's name in the cache; DeviceTree a file of it, where the
	// machine has none of its own.
	Kernel, DeviceTree string
	// Emulator is the program.
	Emulator string
	// Machine are its arguments, Card the network card.
	Machine []string
	Card    string
	// Parameters are the kernel's.
	Parameters string
	// Modules are what its network card needs.
	Modules []string
}

// All are the boards that there are.
func All() []Board {
	return []Board{
		{
			Name: "arm64", GOARCH: "arm64", Kernel: "arm64",
			Emulator: "qemu-system-aarch64",
			Machine:  []string{"-M", "virt", "-cpu", "cortex-a53", "-m", "512"}, Card: "virtio-net-device",
			Parameters: "console=ttyAMA0", Modules: []string{"virtio_mmio", "virtio_net"},
		},
		{
			Name: "armv7", GOARCH: "arm", GOARM: "7", Kernel: "armmp",
			Emulator: "qemu-system-arm",
			Machine:  []string{"-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "512"}, Card: "virtio-net-device",
			Parameters: "console=ttyAMA0", Modules: []string{"virtio_mmio", "virtio_net"},
		},
		{
			// The first Pi and the Zero. Its network card is on the USB. Its timer takes the
			// moment at which it is to ring, and one that has passed when the emulator comes
			// to it rings after 71 minutes: a tick that is always 10 ms away never has.
			Name: "armv6", GOARCH: "arm", GOARM: "6", Kernel: "rpi", DeviceTree: "bcm2835-rpi-zero.dtb",
			Emulator: "qemu-system-arm",
			Machine:  []string{"-M", "raspi0"}, Card: "usb-net",
			Parameters: "console=ttyAMA0 nohz=off highres=off initcall_blacklist=bcm2835_power_driver_init",
			Modules:    []string{"phy_generic", "dwc2", "cdc_ether"},
		},
	}
}

// Named finds a board.
func Named(name string) (Board, error) {
	all := All()
	if i := slices.IndexFunc(all, func(b Board) bool { return b.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Board{}, fmt.Errorf("no board is called %q", name)
}

// Start is what a board is started with: files, and more of the kernel's
// parameters.
type Start struct {
	Kernel, Initramfs, DeviceTree string
	Parameters                    string
	// Processors is how many there are; 0 is one. The raspi machines have what they have.
	Processors int
}

// Args are the emulator's arguments. The console is its standard output, and
// nothing is asked on its input; the guest's network is QEMU's user mode.
func (b Board) Args(s Start) []string {
	args := append([]string{}, b.Machine...)
	if s.Processors > 1 {
		args = append(args, "-smp", strconv.Itoa(s.Processors))
	}
	args = append(args,
		"-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-netdev", "user,id=lab", "-device", b.Card+",netdev=lab",
		"-kernel", s.Kernel, "-initrd", s.Initramfs)
	if s.DeviceTree != "" {
		args = append(args, "-dtb", s.DeviceTree)
	}
	return append(args, "-append", b.Parameters+" panic=-1 quiet loglevel=4 "+s.Parameters)
}
