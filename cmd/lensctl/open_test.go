package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/seal"
)

// vectorDir holds the sealed item's test vectors; its README says what they are.
var vectorDir = filepath.Join("..", "..", "transport", "seal", "testdata", "vectors")

// vector is what a vector's file says, as far as files of items are concerned.
type vector struct {
	Items        []string `json:"items"`
	Pad          int      `json:"pad"`
	EnvelopeOnly bool     `json:"envelope_only"`
	Asked        string   `json:"asked"`
	Expect       string   `json:"expect"`
	FlipEach     []string `json:"flip_each"`
	PlainSHA256  string   `json:"plain_sha256"`
}

func readVector(name string) (v vector, err error) {
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	return v, err
}

// bytes are the items, the last one padded.
func (v vector) bytes() ([][]byte, error) {
	var out [][]byte
	for _, s := range v.Items {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	last := len(out) - 1
	out[last] = append(out[last], make([]byte, v.Pad)...)
	return out, nil
}

// vectorOwner copies the vectors' owner with the modes that keys have.
func vectorOwner(to string) error {
	from := filepath.Join(vectorDir, "owner")
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lensctl runs the command in this process.
func lensctl(args ...string) (code int, stdout []byte, stderr string) {
	var out, errOut bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	code = cli.Run(cmd)
	return code, out.Bytes(), errOut.String()
}

// bench is a table to open items on: the owner's keys, and a directory.
type bench struct{ owner, dir string }

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{filepath.Join(t.TempDir(), "owner"), t.TempDir()}
	must(t, vectorOwner(b.owner))
	return b
}

// put writes items and returns their names.
func (b bench) put(t *testing.T, items ...[]byte) []string {
	t.Helper()
	var names []string
	for i, item := range items {
		name := filepath.Join(b.dir, fmt.Sprintf("item-%d", i+1))
		must(t, os.WriteFile(name, item, 0o600))
		names = append(names, name)
	}
	return names
}

// open runs lensctl open into a file, and says what was in it; nil if there is none.
func (b bench) open(t *testing.T, names []string, more ...string) (code int, plain []byte, stderr string) {
	t.Helper()
	out := filepath.Join(b.dir, "plain")
	code, stdout, stderr := lensctl(slices.Concat([]string{"open", "--owner", b.owner, "-o", out}, more, names)...)
	if len(stdout) != 0 {
		t.Errorf("%d bytes on stdout, and the result was to go to a file", len(stdout))
	}
	plain, err := os.ReadFile(out)
	if os.IsNotExist(err) {
		return code, nil, stderr
	}
	must(t, err)
	must(t, os.Remove(out))
	if plain == nil {
		plain = []byte{}
	}
	return code, plain, stderr
}

// TestOpenVectors opens every vector as files. The ones that are rows of a time
// line have no body to open and are the viewers' alone.
func TestOpenVectors(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	must(t, err)
	good, bad := 0, 0
	for _, name := range names {
		name = filepath.Base(name)
		if name == "keys.json" {
			continue
		}
		v, err := readVector(name)
		must(t, err)
		if v.EnvelopeOnly {
			continue
		}
		if v.Expect == "ok" {
			good++
		} else {
			bad++
		}
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			items, err := v.bytes()
			must(t, err)
			switch b := newBench(t); {
			case len(v.FlipEach) > 0:
				b.flipEach(t, items[0], v.FlipEach)
			case v.Expect == "ok":
				b.good(t, v, items)
			default:
				b.bad(t, v, items)
			}
		})
	}
	if good < 15 || bad < 40 {
		t.Errorf("%d good and %d bad vectors were opened, want at least 15 and 40", good, bad)
	}
}

func (v vector) place() []string {
	if v.Asked == "" {
		return nil
	}
	return []string{"--place", v.Asked}
}

// good opens the whole run: the result ends with the last item's plaintext.
func (b bench) good(t *testing.T, v vector, items [][]byte) {
	names := b.put(t, items...)
	var before []byte
	if len(names) > 1 {
		code, plain, stderr := b.open(t, names[:len(names)-1])
		if code != cli.ExitOK {
			t.Fatalf("the run-up: exit code %d: %s", code, stderr)
		}
		before = plain
	}
	code, plain, stderr := b.open(t, names, v.place()...)
	if code != cli.ExitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	last, ok := bytes.CutPrefix(plain, before)
	if sum := sha256.Sum256(last); !ok || hex.EncodeToString(sum[:]) != v.PlainSHA256 {
		t.Errorf("the plaintext is %d bytes with hash %x, want %s", len(last), sum, v.PlainSHA256)
	}
}

// bad opens the run-up, and then refuses it with the last item for its one reason.
func (b bench) bad(t *testing.T, v vector, items [][]byte) {
	names := b.put(t, items...)
	if len(names) > 1 {
		if code, _, stderr := b.open(t, names[:len(names)-1]); code != cli.ExitOK {
			t.Fatalf("the run-up: exit code %d: %s", code, stderr)
		}
	}
	b.refused(t, names, v.Expect, v.place()...)
}

// refused wants exit code 3, this reason and nothing written.
func (b bench) refused(t *testing.T, names []string, reason string, more ...string) {
	t.Helper()
	code, plain, stderr := b.open(t, names, more...)
	if code != cli.ExitVerification || plain != nil {
		t.Errorf("exit code %d, %d bytes written, want %d and none: %s", code, len(plain), cli.ExitVerification, stderr)
	}
	said, ok := strings.CutPrefix(stderr, "lensctl: "+names[len(names)-1]+": not shown: ")
	if got, _, _ := strings.Cut(strings.TrimSpace(said), ":"); !ok || got != reason {
		t.Errorf("stderr is %q, want the reason %q", stderr, reason)
	}
}

func (b bench) flipEach(t *testing.T, item []byte, reasons []string) {
	if len(reasons) != len(item) {
		t.Fatalf("%d reasons for %d bytes", len(reasons), len(item))
	}
	for i, reason := range reasons {
		flipped := bytes.Clone(item)
		flipped[i] ^= 1
		b.refused(t, b.put(t, flipped), reason)
	}
}

// TestOpenLeavesFileAlone has a result from before in the file's place.
func TestOpenLeavesFileAlone(t *testing.T) {
	b := newBench(t)
	v, err := readVector("bad-flipped-body.json")
	must(t, err)
	items, err := v.bytes()
	must(t, err)
	out := filepath.Join(b.dir, "plain")
	must(t, os.WriteFile(out, []byte("from before"), 0o600))
	if code, _, stderr := lensctl("open", "--owner", b.owner, "-o", out, b.put(t, items...)[0]); code != cli.ExitVerification {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "from before" {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

// TestStockAgeOpensBody opens bodies with the age program: an owner who has lost
// this one still has the pictures.
func TestStockAgeOpensBody(t *testing.T) {
	b := newBench(t)
	program := filepath.Join(t.TempDir(), "age")
	build(t, program, "filippo.io/age/cmd/age")
	for _, name := range []string{"good-hybrid.json", "good-thumbnail.json", "good-two-recipients.json", "good-20k.json"} {
		v, err := readVector(name)
		must(t, err)
		items, err := v.bytes()
		must(t, err)
		it, err := seal.Parse(items[0])
		must(t, err)
		body := filepath.Join(b.dir, "body.age")
		must(t, os.WriteFile(body, it.Body, 0o600))
		cmd := exec.CommandContext(t.Context(), program, "--decrypt", "--identity", filepath.Join(b.owner, "household.txt"), body)
		got, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: age: %v", name, err)
		}
		code, want, stderr := b.open(t, b.put(t, items[0]))
		if code != cli.ExitOK || len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: age gives %d bytes, lensctl open %d (%d: %s)", name, len(got), len(want), code, stderr)
		}
	}
}
