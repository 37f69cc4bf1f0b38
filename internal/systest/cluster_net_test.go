package systest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// site is where the nodes of a cluster stand: each in a network namespace of its own,
// with one line to the devices and the viewers and another to the other nodes, where
// namespaces may be made, and otherwise all on the loopback.
type site struct {
	name  string // of its bridges and namespaces
	octet int
	apart bool
}

// newSite makes a site for n nodes. Namespaces need the superuser and the ip program.
func newSite(t *testing.T, n int) *site {
	t.Helper()
	s := &site{name: fmt.Sprintf("lw%d", os.Getpid()), octet: 1 + rand.IntN(250)}
	if os.Getuid() != 0 {
		return s
	}
	if err := ip("netns", "add", s.space(0)); err != nil {
		t.Logf("no network namespaces here: %v", err)
		return s
	}
	s.apart = true
	t.Cleanup(func() { s.remove(n) })
	must(t, ip("netns", "del", s.space(0)))
	// The numbers are those set aside for trials of network devices (RFC 2544).
	for _, line := range []string{"d", "r"} {
		must(t, ip("link", "add", s.name+line, "type", "bridge"))
		must(t, ip("link", "set", s.name+line, "up"))
	}
	must(t, ip("addr", "add", fmt.Sprintf("198.18.%d.1/24", s.octet), "dev", s.name+"d"))
	for i := 1; i <= n; i++ {
		must(t, ip("netns", "add", s.space(i)))
		must(t, ip("-n", s.space(i), "link", "set", "lo", "up"))
		for _, line := range []string{"d", "r"} {
			here, there := s.line(i, line), line+"0"
			must(t, ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", s.space(i)))
			must(t, ip("link", "set", here, "master", s.name+line, "up"))
			must(t, ip("-n", s.space(i), "link", "set", there, "up"))
		}
		must(t, ip("-n", s.space(i), "addr", "add", s.address(i, "d")+"/24", "dev", "d0"))
		must(t, ip("-n", s.space(i), "addr", "add", s.address(i, "r")+"/24", "dev", "r0"))
	}
	return s
}

// remove takes away what newSite made, however far it came.
func (s *site) remove(n int) {
	for i := range n + 1 {
		_ = ip("netns", "del", s.space(i)) // and the lines' ends in it
	}
	for _, line := range []string{"d", "r"} {
		_ = ip("link", "del", s.name+line)
	}
}

func (s *site) space(i int) string             { return fmt.Sprintf("%sn%d", s.name, i) }
func (s *site) line(i int, line string) string { return fmt.Sprintf("%s%s%d", s.name, line, i) }

// address is the i-th node's on a line.
func (s *site) address(i int, line string) string {
	if !s.apart {
		return "127.0.0.1"
	}
	if line == "r" {
		return fmt.Sprintf("198.19.%d.%d", s.octet, 10+i)
	}
	return fmt.Sprintf("198.18.%d.%d", s.octet, 10+i)
}

// command runs a program where the i-th node stands.
func (s *site) command(i int, args ...string) []string {
	if !s.apart {
		return args
	}
	return append([]string{"ip", "netns", "exec", s.space(i)}, args...)
}

// cut takes the i-th node's line to the others away, or gives it back.
func (s *site) cut(i int, off bool) error {
	state := "up"
	if off {
		state = "down"
	}
	return ip("link", "set", s.line(i, "r"), state)
}

func ip(args ...string) error {
	if b, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, b)
	}
	return nil
}
