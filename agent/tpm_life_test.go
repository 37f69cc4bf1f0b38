package agent_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/hw/devicekey/attestation"
	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
)

// counter stands before a TPM, counts its commands, and has it serve several programs, as
// the kernel's resource manager does.
type counter struct {
	*testing.T
	tpm      *swtpmtest.TPM
	path     string
	listener net.Listener

	mu       sync.Mutex
	upstream net.Conn // nil while there is none
	counts   map[tpm2.TPMCC]int
}

// maxCommand bounds a command or an answer, in bytes.
const maxCommand = 8 << 10

func newCounter(t *testing.T, tpm *swtpmtest.TPM) *counter {
	t.Helper()
	c := &counter{T: t, tpm: tpm, path: tpm.Path + ".shared", counts: map[tpm2.TPMCC]int{}}
	c.appear()
	t.Cleanup(c.vanish)
	return c
}

// appear is the device node coming up, vanish the whole TPM being away.
func (c *counter) appear() {
	c.Helper()
	l, err := net.Listen("unix", c.path)
	must(c.T, err)
	c.listener = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // vanished
			}
			go c.serve(conn)
		}
	}()
}

func (c *counter) vanish() {
	_ = c.listener.Close() // it may have vanished before
	c.hangUp()
}

// hangUp forgets the connection to the TPM, whose power goes.
func (c *counter) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream != nil {
		_ = c.upstream.Close() // nothing is under way
		c.upstream = nil
	}
}

// serve answers one program until it hangs up or the TPM is away.
func (c *counter) serve(conn net.Conn) {
	defer conn.Close()
	for {
		command, err := frame(conn)
		if err != nil {
			return
		}
		answer, err := c.ask(command)
		if err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (c *counter) ask(command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream == nil {
		conn, err := net.Dial("unix", c.tpm.Path)
		if err != nil {
			return nil, err
		}
		c.upstream = conn
	}
	if _, err := c.upstream.Write(command); err != nil {
		return nil, err
	}
	answer, err := frame(c.upstream)
	if err == nil && binary.BigEndian.Uint32(answer[6:]) == uint32(tpm2.TPMRCSuccess) {
		c.counts[tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))]++
	}
	return answer, err
}

// frame reads a command or an answer: both have their length at the third byte.
func frame(r io.Reader) ([]byte, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[2:])
	if n < 10 || n > maxCommand {
		return nil, fmt.Errorf("read TPM's frame: %d bytes", n)
	}
	b := append(head, make([]byte, n-10)...)
	_, err := io.ReadFull(r, b[10:])
	return b, err
}

// did says how often a command was carried out.
func (c *counter) did(command tpm2.TPMCC) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[command]
}

// reboot cuts the TPM's power for a moment.
func (c *counter) reboot() {
	c.Helper()
	c.hangUp()
	c.tpm.Restart()
}

// clear clears the TPM while others use it.
func (c *counter) clear() {
	c.Helper()
	through := *c.tpm
	through.Path = c.path
	through.Clear()
}

// newTPMRoom is a room whose hub takes only keys that a TPM of the maker's proves, and
// whose camera has one.
func newTPMRoom(t *testing.T) (*room, *counter) {
	t.Helper()
	tpm, maker := swtpmtest.NewEndorsed(t)
	c := newCounter(t, tpm)
	makers := x509.NewCertPool()
	makers.AppendCertsFromPEM(maker)
	dir := t.TempDir()
	r := &room{conf: config.Default(), hub: hubtest.Start(t, hub.Options{
		Dir: filepath.Join(dir, "hub"), SyncInterval: time.Minute, Enrol: hub.EnrolOptions{
			Attester: func(key [32]byte) authority.Attester { return attestation.NewPolicy(key, makers, true) },
		},
	})}
	var err error
	r.keys, err = keyring.New(filepath.Join(dir, "owner"))
	must(t, err)
	r.conf.State.Key, r.conf.State.TPM, r.conf.State.Dir = "tpm", c.path, filepath.Join(dir, "camera")
	r.conf.Hub.ConnectWindow.Duration = 50 * time.Millisecond
	must(t, os.MkdirAll(r.conf.State.Dir, 0o700))
	r.newCode(t)
	return r, c
}

// opens waits until the owner has opened a picture that a device took after its start of
// that number, and wants the TPM to have signed it.
func (r *room) opens(t *testing.T, device seal.ID, boot uint64) {
	t.Helper()
	seen := r.opened(t, fmt.Sprintf("picture of start %d", boot), func(h *seal.Header) bool { return h.Device == device && h.Boot == boot })
	if seen.Protection != seal.ProtectionTPM {
		t.Errorf("item %s says %v of its key", seen.Ref(), seen.Protection)
	}
}

// ails is what an agent says of a condition.
func ails(a *agent.Agent, name string) (health.Condition, bool) {
	for _, c := range a.Stats().Conditions {
		if c.Name == name {
			return c, true
		}
	}
	return health.Condition{}, false
}

// untilItSays waits until an agent says a condition.
func untilItSays(t *testing.T, a *agent.Agent, name string) health.Condition {
	t.Helper()
	for {
		if c, ok := ails(a, name); ok {
			return c
		}
		if err := wait.For(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatalf("it does not say %s: %+v", name, a.Stats().Conditions)
		}
	}
}

// keyStays says what is wrong with a device's key: none may be lost, none be added.
func keyStays(dir string, key []byte) error {
	b, err := os.ReadFile(filepath.Join(dir, devicekey.TPMFileName))
	if err == nil && !bytes.Equal(b, key) {
		err = errors.New("the key is another one")
	}
	if _, statErr := os.Stat(filepath.Join(dir, devicekey.FileName)); !errors.Is(statErr, os.ErrNotExist) {
		err = errors.Join(err, errors.New("there is a key in a file"))
	}
	lost, globErr := filepath.Glob(filepath.Join(dir, "*.lost"))
	if len(lost) > 0 {
		err = errors.Join(err, fmt.Errorf("%q were set aside", lost))
	}
	return errors.Join(err, globErr)
}

// tpmLife is such a room, and what was done in it.
type tpmLife struct {
	*room
	t      *testing.T
	tpm    *counter
	first  seal.ID // the device, until its key was lost
	signed int     // signatures that were told of
}

// step prints what was seen.
func (l *tpmLife) step(text string, args ...any) {
	n := l.tpm.did(tpm2.TPMCCSign)
	l.t.Logf("%s [%d signatures by the TPM]", fmt.Sprintf(text, args...), n-l.signed)
	l.signed = n
}

func (l *tpmLife) file(name string) []byte {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.conf.State.Dir, name))
	must(l.t, err)
	return b
}

// paired starts an agent before whose lens is the owner's code, waits until it is theirs
// and they have opened its first picture, and wants the TPM to have been proven to the hub.
func (l *tpmLife) paired() (a *agent.Agent, stop func()) {
	l.t.Helper()
	challenges := l.tpm.did(tpm2.TPMCCActivateCredential)
	a, stop = l.start(l.t, lens(l.conf.State.Dir, phone(l.t, string(l.code.Text()))))
	own := l.wait(l.t)
	if own.Record.Device != a.Device().ID() || own.Acceptance.Protection != seal.ProtectionTPM {
		l.t.Fatalf("paired device %s, %v", own.Record.Device, own.Acceptance.Protection)
	}
	l.opens(l.t, a.Device().ID(), a.Device().Boot())
	if st := a.Stats().Delivery; st.Sessions == 0 || st.Delivered == 0 || l.tpm.did(tpm2.TPMCCActivateCredential) != challenges+1 {
		l.t.Errorf("%+v; %d challenges were answered, before %d", st, l.tpm.did(tpm2.TPMCCActivateCredential), challenges)
	}
	return a, stop
}

// TestLifeWithATPMAtAHub is a camera's life whose key is in a TPM, at a hub that has each
// key proven: paired, enrolled, recording; rebooted; started while its TPM is away; its TPM
// cleared under it; a new device that says why, and that is enrolled and paired as one.
func TestLifeWithATPMAtAHub(t *testing.T) {
	r, tpm := newTPMRoom(t)
	l := &tpmLife{room: r, t: t, tpm: tpm}
	a, stop := l.paired()
	l.first = a.Device().ID()
	if a.Device().Key().Protection() != devicekey.ProtectionTPM || tpm.did(tpm2.TPMCCCreate) != 1 {
		t.Fatalf("the key is in a %s, the TPM made %d", a.Device().Key().Protection(), tpm.did(tpm2.TPMCCCreate))
	}
	l.step("device %s: key made in the TPM, paired, TPM proven to the hub, in a session, first event opened", l.first.Short())
	certificate := l.file("certificate.pem")

	stop()
	tpm.reboot()
	a, stop = r.start(t, lens(r.conf.State.Dir, nil))
	if a.Device().ID() != l.first || a.Device().Boot() != 2 {
		t.Fatalf("after a reboot it is device %s, start %d", a.Device().ID().Short(), a.Device().Boot())
	}
	r.opens(t, l.first, 2)
	if !bytes.Equal(l.file("certificate.pem"), certificate) || tpm.did(tpm2.TPMCCActivateCredential) != 1 {
		t.Error("after a reboot it enrolled again")
	}
	l.step("rebooted: the same device, start 2, the same certificate, the next event opened")

	stop()
	l.waits()
	a, stop = r.start(t, lens(r.conf.State.Dir, nil))
	r.opens(t, l.first, 4)
	l.step("started without its TPM: waited for it, the same device; and the next event opened")

	tpm.clear()
	lost := untilItSays(t, a, "spool-failing")
	l.step("TPM cleared under the agent: it goes on and says %q", lost.Cause)
	stop()
	second := l.startsAnew()
	l.step("three starts later: new device %s, the same one each time, and it says why", second.Short())

	r.newCode(t)
	a, _ = l.paired()
	if c, ok := ails(a, "key-lost"); ok || a.Device().ID() != second {
		t.Errorf("device %s, paired, and still: %s", a.Device().ID().Short(), c.Cause)
	}
	if bytes.Equal(l.file("certificate.pem"), certificate) {
		t.Error("it has the old device's certificate")
	}
	r.opens(t, l.first, 4)
	l.step("paired anew, enrolled anew: its first event opened, and those of device %s still open", l.first.Short())
}

// waits starts an agent while its TPM is away, and has it come back: the start waits for
// it, and is one of the same device.
func (l *tpmLife) waits() {
	t, tpm := l.t, l.tpm
	t.Helper()
	key := l.file(devicekey.TPMFileName)
	tpm.vanish()
	tpm.tpm.Stop()
	type opening struct {
		*agent.Agent
		err error
	}
	opened := make(chan opening, 1)
	go func() {
		a, err := agent.New(t.Context(), l.conf, agent.Options{Firmware: "1.0", NoControl: true, Log: slog.New(slog.NewTextHandler(l, nil))})
		opened <- opening{a, err}
	}()
	for !strings.Contains(l.said(), "waiting for the TPM; the device stays who it is") {
		must(t, wait.For(t.Context(), 10*time.Millisecond))
	}
	if err := keyStays(l.conf.State.Dir, key); err != nil {
		t.Errorf("while its TPM is away: %v", err)
	}
	tpm.tpm.Start()
	tpm.appear()
	o := <-opened
	must(t, o.err)
	if o.Device().ID() != l.first || o.Device().Boot() != 3 || tpm.did(tpm2.TPMCCCreate) != 1 {
		t.Errorf("after its TPM was away it is device %s, start %d", o.Device().ID().Short(), o.Device().Boot())
	}
	must(t, o.Close())
}

// startsAnew starts an agent three times after its TPM was cleared: it is one new device,
// which says why and goes on running.
func (l *tpmLife) startsAnew() (is seal.ID) {
	t, tpm, was := l.t, l.tpm, l.first
	t.Helper()
	made := tpm.did(tpm2.TPMCCCreate)
	for range 3 {
		a, stop := l.start(t, lens(l.conf.State.Dir, shown("no code")))
		if c := untilItSays(t, a, "key-lost"); c.Severity != health.Failure || !strings.Contains(c.Cause, was.Short()) || !strings.Contains(c.Cause, "to be paired again") {
			t.Errorf("%+v", c)
		}
		untilItSays(t, a, "unpaired")
		if is.IsZero() {
			is = a.Device().ID()
		}
		if a.Device().ID() != is || is == was {
			t.Errorf("it is device %s, was %s", a.Device().ID().Short(), was.Short())
		}
		stop()
	}
	if n := tpm.did(tpm2.TPMCCCreate) - made; n != 1 {
		t.Errorf("%d keys were made", n)
	}
	for _, name := range []string{"device-key", "ownership"} {
		_, err := os.Stat(filepath.Join(l.conf.State.Dir, name+"."+was.String()+".lost"))
		must(t, err)
	}
	return is
}
