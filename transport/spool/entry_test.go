package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

func FuzzName(f *testing.F) {
	for _, name := range []string{
		"1-2-3.lwi", "1-2-3.wrong-epoch.lwi", "01-2-3.lwi", "1-2.lwi", "1-2-3", "1-2-0.lwi", "-1-2-3.lwi", "+1-2-3.lwi",
		"9007199254740991-1-1.lwi", "9007199254740992-1-1.lwi", "18446744073709551616-1-1.lwi", "1-2-3..lwi", "1-2-3.A.lwi",
		"1-2-3.a.b.lwi", "../1-2-3.lwi", "1-2-3.-.lwi", "index.db", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := parseName(name)
		if ok && (p.name() != name || p.epoch == 0 || p.chain == 0 || p.seq == 0) {
			t.Errorf("%q read as %+v", name, p)
		}
		p, reason, asideOK := parseAside(name)
		if asideOK && (ok || asideFile(p, reason) != name || len(reason) > maxReason) {
			t.Errorf("%q read as %+v, %q", name, p, reason)
		}
		word := reasonWord(name)
		if got, again, ok := parseAside(asideFile(place{1, 2, 3}, word)); !ok || again != word || got != (place{1, 2, 3}) {
			t.Errorf("reason %q of %q does not come back", word, name)
		}
	})
}

func FuzzParseStart(f *testing.F) {
	w := newWorld(f)
	for _, d := range []seal.Draft{draft(seal.KindCheckpoint, 0, 10), part(1, 3, 3000)} {
		it, err := w.sealer(1, 1, recordHash(1, 1)).Seal(d, seal.Link{Chain: 1, Seq: 1, Prev: recordHash(1, 1)})
		if err != nil {
			f.Fatal(err)
		}
		data := it.Bytes()
		f.Add(data[:min(len(data), seal.MaxEnvelope)], int64(len(data)))
		f.Add(data[:100], int64(100))
	}
	f.Add([]byte{}, int64(0))
	f.Add([]byte{0xd2, 0x84, 0x43}, int64(3))
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, int64(9))
	f.Fuzz(func(t *testing.T, start []byte, size int64) {
		it, err := parseStart(start, size)
		if err != nil {
			return
		}
		e := entryOf(it)
		if e.size != size || size < 0 || len(it.Envelope) > len(start) || e.hash != it.Hash() {
			t.Errorf("%d bytes read as %+v", size, e)
		}
	})
}

func TestReadHeaderErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := readHeader(filepath.Join(dir, "none")); !isDamage(err) {
		t.Errorf("no file: %v", err)
	}
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readHeader(path); !isDamage(err) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := readHeader("/dev/null/x"); isDamage(err) || err == nil {
		t.Errorf("an error that is not the blob's fault: %v", err)
	}
}

func TestClassNames(t *testing.T) {
	for c, want := range map[Class]string{Records: "records", Thumbnails: "thumbnails", Clips: "clips", 9: "class 9"} {
		if c.String() != want {
			t.Errorf("%d is %q", c, c)
		}
	}
}
