package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
)

func TestDamagedTPMKeyIsRefusedAndKept(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	must(t, open(t, dir, tpm).Close())
	path := filepath.Join(dir, TPMFileName)
	good, err := os.ReadFile(path)
	must(t, err)
	b, err := parseBlob(good)
	must(t, err)
	change := func(f func(*blob)) []byte {
		c := blob{b.public, bytes.Clone(b.private), bytes.Clone(b.parent)}
		f(&c)
		data, err := c.encode()
		must(t, err)
		return data
	}
	for name, data := range map[string][]byte{
		"empty":            nil,
		"truncated":        good[:len(good)/2],
		"too long":         append(bytes.Clone(good), bytes.Repeat([]byte("\n"), maxFile)...),
		"flipped private":  change(func(b *blob) { b.private[len(b.private)-1] ^= 1 }),
		"short private":    change(func(b *blob) { b.private = b.private[:len(b.private)-1] }),
		"rubbish private":  change(func(b *blob) { b.private = []byte("rubbish") }),
		"another's public": change(func(b *blob) { b.public = open(t, t.TempDir(), tpm).Public().(*ecdsa.PublicKey) }),
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(path, data, 0o600))
			_, err := Open(t.Context(), directory(t, dir), Options{Store: TPM, TPM: tpm.Path})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "hint:") {
				t.Errorf("error %v, want ErrCorrupt", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
	must(t, os.WriteFile(path, good, 0o600))
	_, err = LoadOrCreate(dir)
	must(t, err)
	if _, err := Open(t.Context(), directory(t, dir), Options{TPM: tpm.Path}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two keys: %v", err)
	}
}

// TestPowerCutWhileCreatingInTPM wants the key to be absent, or whole and usable.
func TestPowerCutWhileCreatingInTPM(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	var made *Key
	whole := 0
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		if made == nil && !exists(directory(t, c.Root), TPMFileName) {
			return
		}
		key, err := Open(t.Context(), directory(t, c.Root), Options{Store: File, TPM: tpm.Path})
		if err != nil || key.Protection() != ProtectionTPM {
			t.Errorf("%v: %v, %v", c, key, err)
			return
		}
		whole++
		must(t, key.Close())
	})
	var err error
	made, err = Open(t.Context(), directory(t, dir, durable.WithHook(cutter.Hook)), Options{Store: TPM, TPM: tpm.Path})
	must(t, err)
	must(t, made.Close())
	if cutter.Steps() < 10 || whole < 5 {
		t.Errorf("%d steps were cut, the key was whole at %d", cutter.Steps(), whole)
	}
}

// TestPowerCutWhileReplacing loses the key and cuts the power at every write of what
// follows: after it there is one new device, and the old key's file is where it was or
// set aside.
func TestPowerCutWhileReplacing(t *testing.T) {
	for _, store := range []Store{TPM, File} {
		tpm, dir := swtpmtest.New(t), t.TempDir()
		old := open(t, dir, tpm)
		must(t, old.Close())
		tpm.Clear()
		cuts := 0
		cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
			first, err := Open(t.Context(), directory(t, c.Root), Options{Store: store, TPM: tpm.Path})
			if err != nil {
				t.Errorf("%v: %v", c, err)
				return
			}
			must(t, first.Close())
			second, err := Open(t.Context(), directory(t, c.Root), Options{Store: store, TPM: tpm.Path})
			if err != nil || !sameKey(first, second) || sameKey(first, old) {
				t.Errorf("%v: the device is not one new device: %v", c, err)
				return
			}
			must(t, second.Close())
			if lost, err := LostKeys(directory(t, c.Root)); err != nil || len(lost) != 1 || lost[0] != idOf(old.SPKI()) {
				t.Errorf("%v: lost keys %q, %v", c, lost, err)
			}
			cuts++
		})
		key, err := Open(t.Context(), directory(t, dir, durable.WithHook(cutter.Hook)), Options{Store: store, TPM: tpm.Path})
		must(t, err)
		must(t, key.Close())
		t.Logf("store %s: %d cuts at %d steps", store, cuts, cutter.Steps())
		if cutter.Steps() < 14 {
			t.Errorf("only %d steps were cut", cutter.Steps())
		}
	}
}

// TestFaultWhileReplacing fails every step, done and not: the next start has one new
// device.
func TestFaultWhileReplacing(t *testing.T) {
	tpm, master := swtpmtest.New(t), t.TempDir()
	old := open(t, master, tpm)
	must(t, old.Close())
	tpm.Clear()
	for k := 0; ; k++ {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(master)))
		fault := durabletest.FailAt(k, unix.EIO)
		key, err := Open(t.Context(), directory(t, dir, durable.WithHook(fault.Hook)), Options{Store: TPM, TPM: tpm.Path})
		if key != nil {
			must(t, key.Close())
		}
		if fault.Hit() == nil {
			if err != nil || k < 14 {
				t.Errorf("%d steps, then %v", k, err)
			}
			return
		}
		if err == nil && fault.Hit().Step.Op != durable.OpRemove {
			t.Errorf("%+v: nobody was told", *fault.Hit())
		}
		first := open(t, dir, tpm)
		must(t, first.Close())
		second := open(t, dir, tpm)
		if !sameKey(first, second) || sameKey(first, old) {
			t.Errorf("%+v: the device is not one new device", *fault.Hit())
		}
		must(t, second.Close())
	}
}

// The file's form does not change: a camera's key is in it.
func TestGoldenTPMKey(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", TPMFileName))
	must(t, err)
	b, err := parseBlob(data)
	must(t, err)
	again, err := b.encode()
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("it is written otherwise today: %v\n%s", err, again)
	}
	public, err := os.ReadFile(filepath.Join("testdata", "device-key.pub.pem"))
	must(t, err)
	block, _ := pem.Decode(public)
	key, err := newKey(newTPMKey("", b), ProtectionTPM)
	must(t, err)
	if !bytes.Equal(key.SPKI(), block.Bytes) {
		t.Error("it is another key")
	}
}

func FuzzParseBlob(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", TPMFileName))
	must(f, err)
	f.Add(golden)
	f.Add([]byte("-----BEGIN TSS2 PRIVATE KEY-----\nAA==\n-----END TSS2 PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBlob(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v, want ErrCorrupt", err)
			}
			return
		}
		encoded, err := b.encode()
		must(t, err)
		again, err := parseBlob(encoded)
		if err != nil || !again.public.Equal(b.public) || !bytes.Equal(again.private, b.private) || !bytes.Equal(again.parent, b.parent) {
			t.Errorf("a key does not survive its own encoding: %v", err)
		}
	})
}
