package devicekey

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
	"github.com/lensward/lensward/internal/durable"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func directory(t testing.TB, path string, opts ...durable.Option) *durable.Dir {
	t.Helper()
	d, err := durable.Open(path, opts...)
	must(t, err)
	return d
}

// open opens a device's key in a TPM, and gives it back when the test ends.
func open(t testing.TB, dir string, tpm *swtpmtest.TPM) *Key {
	t.Helper()
	key, err := Open(t.Context(), directory(t, dir), Options{Store: TPM, TPM: tpm.Path})
	must(t, err)
	t.Cleanup(func() { _ = key.Close() }) // its TPM may be off by then
	if key.Protection() != ProtectionTPM {
		t.Fatalf("the key's protection is %q", key.Protection())
	}
	return key
}

// verifies has the key sign, and checks the signature.
func verifies(t testing.TB, key *Key) {
	t.Helper()
	digest := sha256.Sum256([]byte("frame"))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	must(t, err)
	if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Error("the signature does not verify")
	}
}

func sameKey(a, b *Key) bool { return bytes.Equal(a.SPKI(), b.SPKI()) }

func TestTPMKeyOutlivesReboots(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	made := open(t, dir, tpm)
	verifies(t, made)
	if info, err := os.Stat(filepath.Join(dir, TPMFileName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if exists(directory(t, dir), FileName) {
		t.Error("there is a key in a file as well")
	}
	// The TPM restarts under a running agent.
	tpm.Restart()
	verifies(t, made)
	// And with the agent.
	for range 3 {
		must(t, made.Close())
		tpm.Restart()
		again := open(t, dir, tpm)
		if !sameKey(again, made) {
			t.Fatal("after a reboot it is another key")
		}
		verifies(t, again)
		made = again
	}
}

func TestEveryDigestThatTLSMayAskFor(t *testing.T) {
	key := open(t, t.TempDir(), swtpmtest.New(t))
	for h, digest := range map[crypto.Hash][]byte{
		crypto.SHA1:   func() []byte { d := sha1.Sum([]byte("x")); return d[:] }(),
		crypto.SHA256: func() []byte { d := sha256.Sum256([]byte("x")); return d[:] }(),
		crypto.SHA384: func() []byte { d := sha512.Sum384([]byte("x")); return d[:] }(),
		crypto.SHA512: func() []byte { d := sha512.Sum512([]byte("x")); return d[:] }(),
	} {
		sig, err := key.Sign(rand.Reader, digest, h)
		must(t, err)
		if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, sig) {
			t.Errorf("%v: the signature does not verify", h)
		}
		if sig, err := key.Sign(nil, digest, nil); err != nil || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, sig) {
			t.Errorf("%v, unnamed: %v", h, err)
		}
		if _, err := key.Sign(rand.Reader, digest[1:], h); err == nil {
			t.Errorf("%v: a digest that is too short was signed", h)
		}
	}
}

func TestManySignAtOnce(t *testing.T) {
	key := open(t, t.TempDir(), swtpmtest.New(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				verifies(t, key)
			}
		})
	}
	wg.Wait()
}

// A cleared TPM and another one are the same to a camera: its key is gone.
func TestLostKeyMakesANewDevice(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *swtpmtest.TPM) *swtpmtest.TPM{
		"cleared":   func(_ *testing.T, tpm *swtpmtest.TPM) *swtpmtest.TPM { tpm.Clear(); return tpm },
		"exchanged": func(t *testing.T, _ *swtpmtest.TPM) *swtpmtest.TPM { return swtpmtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			tpm, dir := swtpmtest.New(t), t.TempDir()
			old := open(t, dir, tpm)
			file, err := os.ReadFile(filepath.Join(dir, TPMFileName))
			must(t, err)
			must(t, old.Close())
			tpm = lose(t, tpm)
			now := open(t, dir, tpm)
			if sameKey(old, now) {
				t.Fatal("the key is there again")
			}
			verifies(t, now)
			lost, err := LostKeys(directory(t, dir))
			if err != nil || len(lost) != 1 || lost[0] != idOf(old.SPKI()) {
				t.Fatalf("lost keys %q, %v", lost, err)
			}
			kept, err := os.ReadFile(filepath.Join(dir, "device-key."+lost[0]+".lost"))
			if err != nil || !bytes.Equal(kept, file) {
				t.Errorf("the lost key's file was changed: %v", err)
			}
			// It stays so.
			must(t, now.Close())
			tpm.Restart()
			if again := open(t, dir, tpm); !sameKey(again, now) {
				t.Error("after a reboot it is a third device")
			}
		})
	}
}

// A running agent learns that its key is lost by the error, and does not become
// somebody else under way.
func TestKeyLostInUse(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	key := open(t, dir, tpm)
	tpm.Clear()
	digest := sha256.Sum256(nil)
	for range 2 {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, ErrLost) {
			t.Errorf("error %v, want ErrLost", err)
		}
	}
	if lost, err := LostKeys(directory(t, dir)); err != nil || len(lost) > 0 {
		t.Errorf("the key was set aside by Sign: %q, %v", lost, err)
	}
}

// An absent TPM is waited for, and the key stays.
func TestAbsentTPMIsWaitedFor(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	made := open(t, dir, tpm)
	must(t, made.Close())
	tpm.Stop()

	ctx, cancel := context.WithCancelCause(t.Context())
	tries := 0
	_, err := Open(ctx, directory(t, dir), Options{Store: Auto, TPM: tpm.Path, Waiting: func(cause error) {
		if !errors.Is(cause, ErrUnavailable) || !errors.Is(cause, fs.ErrNotExist) {
			t.Errorf("waiting because of %v", cause)
		}
		if tries++; tries == 3 {
			cancel(nil)
		}
	}})
	if !errors.Is(err, ErrUnavailable) || tries != 3 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	tries = 0
	key, err := Open(t.Context(), directory(t, dir), Options{TPM: tpm.Path, Waiting: func(error) {
		if tries++; tries == 2 {
			tpm.Start()
		}
	}})
	if err != nil || !sameKey(key, made) || tries != 2 {
		t.Fatalf("the TPM came back, and it is another key, or %v", err)
	}
	verifies(t, key)
	must(t, key.Close())
	if lost, err := LostKeys(directory(t, dir)); err != nil || len(lost) > 0 {
		t.Errorf("an absent TPM counts as cleared: %q, %v", lost, err)
	}
}

// While the TPM refuses, for a reason of its own, the key is not lost.
func TestTPMThatRefusesIsWaitedFor(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	made := open(t, dir, tpm)
	must(t, made.Close())
	// Somebody gives the owner hierarchy a password: the storage key cannot be made.
	password := func(from, to string) {
		conn := tpm.Open()
		_, err := tpm2.HierarchyChangeAuth{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth([]byte(from))},
			NewAuth:    tpm2.TPM2BAuth{Buffer: []byte(to)},
		}.Execute(conn)
		must(t, err)
		must(t, conn.Close())
	}
	password("", "secret")
	tries := 0
	key, err := Open(t.Context(), directory(t, dir), Options{TPM: tpm.Path, Waiting: func(cause error) {
		if !errors.Is(cause, tpm2.TPMRCBadAuth) {
			t.Errorf("waiting because of %v", cause)
		}
		if tries++; tries == 2 {
			password("secret", "")
		}
	}})
	if err != nil || !sameKey(key, made) {
		t.Fatalf("another key, or %v", err)
	}
	must(t, key.Close())
}

// An agent is signing when the TPM's driver goes and comes.
func TestSignWaitsForTheTPM(t *testing.T) {
	tpm := swtpmtest.New(t)
	key := open(t, t.TempDir(), tpm)
	tpm.Stop()
	var wg sync.WaitGroup
	wg.Go(func() { verifies(t, key) })
	tpm.Start()
	wg.Wait()
}

func TestHungTPMHoldsNobodyForEver(t *testing.T) {
	key := open(t, t.TempDir(), swtpmtest.New(t)).private.(*tpmKey)
	release := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for range 2 { // the one that hangs, and the one behind it
		_, err := use(ctx, key, func(transport.TPM, tpm2.AuthHandle) (struct{}, error) { <-release; return struct{}{}, nil })
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
	close(release)
	if _, err := use(t.Context(), key, func(transport.TPM, tpm2.AuthHandle) (struct{}, error) { return struct{}{}, nil }); err != nil {
		t.Errorf("it answers again: %v", err)
	}
}

func TestWhereANewKeyIsMade(t *testing.T) {
	tpm := swtpmtest.New(t)
	for _, c := range []struct {
		store Store
		path  string
		want  string
	}{
		{Auto, tpm.Path, ProtectionTPM},
		{Auto, tpm.Path + ".none", ProtectionFile},
		{TPM, tpm.Path, ProtectionTPM},
		{File, tpm.Path, ProtectionFile},
		{"", tpm.Path, ProtectionFile},
	} {
		dir := t.TempDir()
		made, err := Open(t.Context(), directory(t, dir), Options{Store: c.store, TPM: c.path})
		if err != nil || made.Protection() != c.want {
			t.Fatalf("%q at %s: %v, %v", c.store, c.path, made, err)
		}
		must(t, made.Close())
		// Whatever is configured later, the device stays who it is.
		for _, later := range []Store{Auto, TPM, File, ""} {
			key, err := Open(t.Context(), directory(t, dir), Options{Store: later, TPM: c.path})
			if err != nil || !sameKey(key, made) || key.Protection() != c.want {
				t.Errorf("%q, then %q: %v", c.store, later, err)
				continue
			}
			must(t, key.Close())
		}
	}
	if _, err := Open(t.Context(), directory(t, t.TempDir()), Options{Store: "cloud"}); err == nil {
		t.Error("an unknown store was accepted")
	}
}

// A new device has no identity to lose: it takes a file after a minute of a TPM that does
// not answer. Where a TPM was asked for, it waits on.
func TestTPMThatNeverAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tpm")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	synctest.Test(t, func(t *testing.T) {
		dir, tries, began := t.TempDir(), 0, time.Now()
		key, err := Open(t.Context(), directory(t, dir), Options{Store: Auto, TPM: path, Waiting: func(error) { tries++ }})
		if err != nil || key.Protection() != ProtectionFile || time.Since(began) != autoLimit || tries < 8 || tries > 16 {
			t.Errorf("%v, %v, after %v and %d tries", key, err, time.Since(began), tries)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		tries = 0
		_, err = Open(ctx, directory(t, t.TempDir()), Options{Store: TPM, TPM: path, Waiting: func(error) { tries++ }})
		if !errors.Is(err, ErrUnavailable) || tries < 24*60 || tries > 24*60+20 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// Nothing may count against the TPM's lockout: a camera that locks itself out has
// lost its key for hours.
func TestKeyIsOutsideTheLockout(t *testing.T) {
	tpm := swtpmtest.New(t)
	key := open(t, t.TempDir(), tpm).private.(*tpmKey)
	for range 40 { // swtpm locks after 3
		_, err := use(t.Context(), key, func(conn transport.TPM, handle tpm2.AuthHandle) (struct{}, error) {
			handle.Auth = tpm2.PasswordAuth([]byte("wrong"))
			_, err := sign(conn, handle, make([]byte, 32))
			if !errors.Is(err, tpm2.TPMRCBadAuth) {
				t.Errorf("a wrong password: %v", err)
			}
			return struct{}{}, nil
		})
		must(t, err)
	}
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Errorf("after wrong passwords: %v", err)
	}
}
