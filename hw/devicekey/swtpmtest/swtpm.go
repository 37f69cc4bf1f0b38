// Package swtpmtest gives tests a TPM 2.0: Debian's swtpm, an own one for each test.
//
// It owns the process and its files. It never runs outside tests, and never touches a
// TPM of the machine.
package swtpmtest

import (
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"context"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/lensward/lensward/internal/wait"
)

// patience is how long swtpm may take to start on a busy machine.
const patience = 30 * time.Second

// TPM is a TPM that is on, unless Stop was called.
type TPM struct {
	// Path is its socket.
	Path string

	t    testing.TB
	dir  string
	proc *exec.Cmd
}

// New is a TPM that no maker vouches for, switched on.
func New(t testing.TB) *TPM {
	t.Helper()
	m := place(t)
	m.Start()
	return m
}

// NewEndorsed is a TPM with a certificate of its maker, which swtpm_setup makes up, and
// the certificates (PEM) that it leads to.
func NewEndorsed(t testing.TB) (m *TPM, maker []byte) {
	t.Helper()
	m = place(t)
	ca := filepath.Join(m.dir, "ca")
	must(t, os.Mkdir(ca, 0o700))
	write := func(name, text string) string {
		path := filepath.Join(m.dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	setup := write("setup.conf", fmt.Sprintf("create_certs_tool=%s\ncreate_certs_tool_config=%s\ncreate_certs_tool_options=%s\n",
		program(t, "swtpm_localca"),
		write("localca.conf", fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/key.pem\nissuercert = %[1]s/issuer.pem\ncertserial = %[1]s/serial\n", ca)),
		write("localca.options", "--platform-manufacturer test\n--platform-version 1\n--platform-model test\n")))
	cmd := exec.CommandContext(t.Context(), program(t, "swtpm_setup"), "--tpm2", "--tpmstate", m.state(), "--createek", "--create-ek-cert", "--config", setup)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("swtpm_setup: %v\n%s", err, out)
	}
	for _, name := range []string{"issuer.pem", "swtpm-localca-rootca-cert.pem"} {
		b, err := os.ReadFile(filepath.Join(ca, name))
		must(t, err)
		block, _ := pem.Decode(b)
		maker = append(maker, pem.EncodeToMemory(block)...)
	}
	m.Start()
	return m, maker
}

// place makes the directories of a TPM. A socket's path is short: not t.TempDir's.
func place(t testing.TB) *TPM {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	m := &TPM{Path: filepath.Join(dir, "tpm"), t: t, dir: dir}
	must(t, os.Mkdir(m.state(), 0o700))
	t.Cleanup(m.Stop)
	return m
}

func (m *TPM) state() string { return filepath.Join(m.dir, "state") }

// Start switches the TPM on.
func (m *TPM) Start() {
	m.t.Helper()
	m.proc = exec.Command(program(m.t, "swtpm"), "socket", "--tpm2", "--tpmstate", "dir="+m.state(),
		"--server", "type=unixio,path="+m.Path, "--ctrl", "type=unixio,path="+m.Path+".ctrl", "--flags", "not-need-init,startup-clear")
	must(m.t, m.proc.Start())
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	for {
		conn, err := net.Dial("unix", m.Path)
		if err == nil {
			must(m.t, conn.Close())
			return
		}
		if wait.For(ctx, 2*time.Millisecond) != nil {
			m.t.Fatalf("swtpm did not start: %v", err)
		}
	}
}

// Stop cuts the TPM's power.
func (m *TPM) Stop() {
	if m.proc == nil {
		return
	}
	// It has ended already if this fails; how it ended is what was asked for.
	_ = m.proc.Process.Kill()
	_ = m.proc.Wait()
	m.proc = nil
	_ = os.Remove(m.Path)
}

// Restart is Stop and Start: what it keeps is what is on its disk.
func (m *TPM) Restart() {
	m.t.Helper()
	m.Stop()
	m.Start()
}

// Open is a connection to it.
func (m *TPM) Open() transport.TPMCloser {
	m.t.Helper()
	conn, err := linuxudstpm.Open(m.Path)
	must(m.t, err)
	return conn
}

// Clear is what a person does who clears the TPM in a PC's setup: all keys under its
// storage key are gone.
func (m *TPM) Clear() {
	m.t.Helper()
	conn := m.Open()
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(conn)
	must(m.t, err)
	must(m.t, conn.Close())
}

func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; `make setup` installs it (Debian packages swtpm and swtpm-tools)", name)
	}
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
