package board

import (
	"slices"
	"strings"
	"testing"
)

// What QEMU is told, word for word: a change of it is to be seen.
func TestArgs(t *testing.T) {
	start := Start{Kernel: "K", Initramfs: "I", DeviceTree: "", Parameters: "x=y", Processors: 2}
	for name, want := range map[string]string{
		"arm64": "qemu-system-aarch64 -M virt -cpu cortex-a53 -m 512 -smp 2 -display none -monitor none -serial stdio -no-reboot " +
			"-netdev user,id=lab -device virtio-net-device,netdev=lab -kernel K -initrd I " +
			"-append console=ttyAMA0 panic=-1 quiet loglevel=4 x=y",
		"armv7": "qemu-system-arm -M virt,highmem=off -cpu cortex-a7 -m 512 -smp 2 -display none -monitor none -serial stdio -no-reboot " +
			"-netdev user,id=lab -device virtio-net-device,netdev=lab -kernel K -initrd I " +
			"-append console=ttyAMA0 panic=-1 quiet loglevel=4 x=y",
		"armv6": "qemu-system-arm -M raspi0 -display none -monitor none -serial stdio -no-reboot " +
			"-netdev user,id=lab -device usb-net,netdev=lab -kernel K -initrd I -dtb D " +
			"-append console=ttyAMA0 nohz=off highres=off initcall_blacklist=bcm2835_power_driver_init panic=-1 quiet loglevel=4 x=y",
	} {
		b, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		s := start
		if b.DeviceTree != "" {
			s.DeviceTree, s.Processors = "D", 0
		}
		if got := b.Emulator + " " + strings.Join(b.Args(s), " "); got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
}

// The boards are the three processors that the agent ships for.
func TestAll(t *testing.T) {
	var built []string
	for _, b := range All() {
		built = append(built, b.GOARCH+b.GOARM)
		if b.Kernel == "" || len(b.Modules) == 0 {
			t.Errorf("%s has no kernel, or no network", b.Name)
		}
	}
	if want := []string{"arm64", "arm7", "arm6"}; !slices.Equal(built, want) {
		t.Errorf("boards for %q, want %q", built, want)
	}
	if _, err := Named("riscv"); err == nil {
		t.Error("a board that there is not was found")
	}
}
