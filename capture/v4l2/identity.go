//go:build linux

package v4l2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lensward/lensward/capture/videodev"
)

// Identity says which camera it is, however the nodes are numbered.
type Identity struct {
	// Node is where it is now, such as /dev/video0.
	Node string
	// Card is its name, and Index counts the nodes of one camera, from 0.
	Card  string
	Index int
	// Port is the USB port, such as 1-1.2; "" if it is not on USB. Vendor and Product
	// are USB's numbers in hexadecimal, Serial what the maker calls this very one: many
	// have none, or all the same.
	Port, Vendor, Product, Serial string
}

// String is for people.
func (i Identity) String() string {
	s := fmt.Sprintf("%s (%s", i.Node, i.Card)
	if i.Port != "" {
		s += ", USB port " + i.Port
	}
	if i.Serial != "" {
		s += ", serial number " + i.Serial
	}
	return s + ")"
}

// same says whether it is the same camera, as far as can be told: by the serial
// number where there is one, else by model and place.
func (i Identity) same(j Identity) bool {
	if i.Card != j.Card || i.Index != j.Index || i.Vendor != j.Vendor || i.Product != j.Product || i.Serial != j.Serial {
		return false
	}
	switch {
	case i.Serial != "":
		return true
	case i.Port != "":
		return i.Port == j.Port
	default:
		return i.Node == j.Node
	}
}

// Names that are no node.
const (
	autoName     = "auto"
	portPrefix   = "usb="
	serialPrefix = "serial="
)

// checkName says what is wrong with a name.
func checkName(name string) error {
	switch {
	case name == autoName, filepath.IsAbs(name):
		return nil
	case strings.HasPrefix(name, portPrefix) && len(name) > len(portPrefix),
		strings.HasPrefix(name, serialPrefix) && len(name) > len(serialPrefix):
		return nil
	default:
		return fmt.Errorf("v4l2: %q names no camera; hint: give a node such as /dev/video0, usb=PORT, serial=NUMBER or auto", name)
	}
}

// system is where cameras are found: the real one, or a made-up one.
type system struct {
	kernel videodev.Kernel
	// class is the directory of the class video4linux in sysfs.
	class string
	// dev is where the nodes are.
	dev string
	// knobs opens a node for its controls.
	knobs func(path string) (knobs, error)
}

func theSystem() system {
	return system{kernel: videodev.Linux{}, class: "/sys/class/video4linux", dev: "/dev", knobs: openKnobs}
}

// maxNodes bounds how many nodes are looked at.
const maxNodes = 256

// nodes lists all video nodes by number. It opens none.
func (s system) nodes() ([]Identity, error) {
	entries, err := os.ReadDir(s.class)
	if errors.Is(err, fs.ErrNotExist) { // no driver was ever loaded
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list cameras: %w", err)
	}
	var all []Identity
	for _, e := range entries {
		number, err := strconv.Atoi(strings.TrimPrefix(e.Name(), "video"))
		if err != nil || !strings.HasPrefix(e.Name(), "video") || number >= maxNodes {
			continue
		}
		all = append(all, s.identify(e.Name()))
	}
	slices.SortFunc(all, func(a, b Identity) int { return number(a.Node) - number(b.Node) })
	return all, nil
}

func number(node string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(node), "video")) // checked before
	return n
}

// identify reads what sysfs says of a node. What it does not say stays empty.
func (s system) identify(name string) Identity {
	dir := filepath.Join(s.class, name)
	id := Identity{Node: filepath.Join(s.dev, name), Card: attribute(dir, "name")}
	id.Index, _ = strconv.Atoi(attribute(dir, "index")) // 0 where it is not said
	device, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
	if err != nil {
		return id
	}
	// A USB camera's device is an interface of it, such as 1-1.2:1.0.
	usb := filepath.Dir(device)
	if port := filepath.Base(usb); attribute(usb, "idVendor") != "" {
		id.Port, id.Serial = port, attribute(usb, "serial")
		id.Vendor, id.Product = attribute(usb, "idVendor"), attribute(usb, "idProduct")
	}
	return id
}

// maxAttribute bounds what is read of a file in sysfs, in bytes.
const maxAttribute = 256

// attribute reads a line of sysfs; "" where there is none.
func attribute(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(b) > maxAttribute {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
}

// find returns the camera that a name stands for: the known one wherever it is now,
// else whichever fits.
func (s system) find(name string, known Identity) (Identity, error) {
	all, err := s.nodes()
	if err != nil {
		return Identity{}, err
	}
	fits := all[:0:0]
	for _, id := range all {
		if s.fits(id, name) {
			fits = append(fits, id)
		}
	}
	if known != (Identity{}) {
		// A camera is found again at another node even if a node was named: its number
		// is not its own choice.
		for _, id := range all {
			if id.same(known) && (len(fits) == 0 || s.fits(id, name) || filepath.IsAbs(name)) {
				return id, nil
			}
		}
	}
	if filepath.IsAbs(name) && len(fits) == 0 {
		// What sysfs does not know may be a link, or no camera: to open it will tell.
		if _, err := os.Stat(name); err != nil {
			return Identity{}, fmt.Errorf("%w: %w", errAbsent, err)
		}
		return Identity{Node: name}, nil
	}
	for _, id := range fits {
		if name != autoName || s.gives(id) {
			return id, nil
		}
	}
	return Identity{}, errAbsent
}

// fits says whether a name may stand for a node.
func (s system) fits(id Identity, name string) bool {
	switch {
	case name == autoName:
		return true
	case strings.HasPrefix(name, portPrefix):
		return id.Port == strings.TrimPrefix(name, portPrefix) && s.gives(id)
	case strings.HasPrefix(name, serialPrefix):
		return id.Serial == strings.TrimPrefix(name, serialPrefix) && s.gives(id)
	default:
		return id.Node == name
	}
}

// gives says whether a node is one of a camera's that gives pictures: a USB camera
// has another for metadata. One that cannot be opened may be.
func (s system) gives(id Identity) bool {
	dev, err := videodev.Open(s.kernel, id.Node)
	if err != nil {
		return !errors.Is(err, videodev.ErrNotVideo)
	}
	_, ok := dev.Capability().CaptureType()
	return dev.Close() == nil && ok
}
