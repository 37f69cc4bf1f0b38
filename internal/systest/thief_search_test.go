package systest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// wholeFile is how long a file may be, in bytes, of which the bytes from every place on
	// are tried. Of a longer one it is every longStep-th place.
	wholeFile = 64 << 10
	longStep  = 16
	// itemStart is how much of an item is tried beside what is in clear: the start of what
	// is encrypted.
	itemStart = 1 << 10
)

// search tries what could be a key on items.
type search struct {
	testing.TB
	items []target
	// one is an item of each ownership record: what does not open it, as an identity, opens
	// no other item to the same recipients.
	one     []*seal.Item
	tried   map[string]bool // windows
	pending []window        // that are to be tried

	mu     sync.Mutex
	opened map[seal.Ref]string // by what

	files, bytes, identities, signing, seeds, fileKeys int
}

// window is some bytes of a file: 32, or 16.
type window struct {
	where string
	bytes []byte
}

// target is an item, and what a file key for it must make of its header.
type target struct {
	*seal.Item
	header, mac []byte
}

func newSearch(t testing.TB, items []*seal.Item) *search {
	t.Helper()
	s := &search{TB: t, tried: map[string]bool{}, opened: map[seal.Ref]string{}}
	records := map[seal.Hash]bool{}
	for _, it := range items {
		header, err := age.ExtractHeader(bytes.NewReader(it.Body))
		must(t, err)
		at := bytes.LastIndex(header, []byte("\n--- ")) + len("\n---")
		mac, err := base64.RawStdEncoding.DecodeString(string(bytes.TrimSpace(header[at:])))
		must(t, err)
		s.items = append(s.items, target{it, header[:at], mac})
		if !records[it.Header.Record] {
			records[it.Header.Record] = true
			s.one = append(s.one, it)
		}
	}
	return s
}

// String says what was tried.
func (s *search) String() string {
	return fmt.Sprintf("%d files of %d bytes were searched: %d age identities, %d private keys, %d windows as X25519 and as hybrid identities, %d as file keys; %d of %d items opened",
		s.files, s.bytes, s.identities, s.signing, s.seeds, s.fileKeys, len(s.opened), len(s.items))
}

// how says by what items were opened.
func (s *search) how() []string {
	by := map[string]bool{}
	for _, how := range s.opened {
		by[how] = true
	}
	return slices.Sorted(maps.Keys(by))
}

// search goes through every file of a directory.
func (s *search) search(root string) {
	s.Helper()
	must(s, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			s.file(path)
		}
		return err
	}))
}

func (s *search) file(path string) {
	s.Helper()
	b, err := os.ReadFile(path)
	must(s, err)
	s.files++
	s.bytes += len(b)
	where := filepath.Base(path)
	s.texts(where, b)
	if it, err := seal.Parse(b); err == nil {
		s.windows(where, b[:min(len(b), len(it.Envelope)+itemStart)])
	} else {
		s.windows(where, b)
		for _, inner := range decoded(b) {
			s.windows(where+", decoded", inner)
		}
	}
	s.tryPending()
}

// ageSecret is an age identity in a text, in either case.
var ageSecret = regexp.MustCompile(`(?i)AGE-SECRET-KEY-(PQ-)?1[02-9ac-hj-np-z]+`)

// texts tries age identities, and looks for private keys.
func (s *search) texts(where string, b []byte) {
	for _, text := range ageSecret.FindAll(b, -1) {
		ids, err := age.ParseIdentities(bytes.NewReader(bytes.ToUpper(text)))
		if err == nil {
			s.identities++
			s.identity(where+": an age identity", ids...)
		}
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if isPrivate(block.Bytes) {
			s.signing++
		}
	}
	if isPrivate(b) {
		s.signing++
	}
}

// isPrivate says whether DER is a private key that can sign.
func isPrivate(der []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(der)
	return err == nil
}

// encoded is text that may be bytes in hex or base64.
var encoded = regexp.MustCompile(`[0-9A-Za-z+/_-]{22,}`)

// decoded are the bytes behind texts in a file: PEM, base64, hex.
func decoded(b []byte) (out [][]byte) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, block.Bytes)
		if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if ec, ok := k.(*ecdsa.PrivateKey); ok {
				if scalar, err := ec.Bytes(); err == nil {
					out = append(out, scalar)
				}
			}
		}
	}
	for _, text := range encoded.FindAllString(string(b), -1) {
		if inner, err := hex.DecodeString(text); err == nil {
			out = append(out, inner)
		}
		text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
		for skip := range 4 { // it may begin in the middle of what looks like one
			cut := text[skip:]
			if inner, err := base64.RawStdEncoding.DecodeString(cut[:len(cut)-len(cut)%4]); err == nil {
				out = append(out, inner)
			}
		}
		if inner, err := base64.RawStdEncoding.DecodeString(text); err == nil && len(text)%4 != 0 {
			out = append(out, inner)
		}
	}
	return out
}

// windows has every 32 bytes tried as the seed of an identity, and every 16 as an item's
// file key, if they were not before.
func (s *search) windows(where string, b []byte) {
	step := 1
	if len(b) > wholeFile {
		step = longStep
	}
	for at := 0; at < len(b); at += step {
		for _, size := range []int{32, 16} {
			if w := b[at:]; len(w) >= size && s.isNew(w[:size]) {
				s.pending = append(s.pending, window{where, w[:size]})
			}
		}
	}
}

// tryPending tries the windows, on all of this machine's cores.
func (s *search) tryPending() {
	s.Helper()
	next := make(chan window)
	var g sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() {
			for w := range next {
				if len(w.bytes) == 16 {
					s.fileKey(w)
				} else {
					s.seed(w)
				}
			}
		})
	}
	for _, w := range s.pending {
		if len(w.bytes) == 16 {
			s.fileKeys++
		} else {
			s.seeds++
		}
		next <- w
	}
	close(next)
	g.Wait()
	s.pending = nil
}

func (s *search) isNew(window []byte) bool {
	if s.tried[string(window)] {
		return false
	}
	s.tried[string(window)] = true
	return true
}

func (s *search) seed(w window) {
	if id, err := age.ParseX25519Identity(bech32("AGE-SECRET-KEY-", w.bytes)); err == nil {
		s.identity(w.where+": an X25519 seed", id)
	}
	id, err := age.ParseHybridIdentity(bech32("AGE-SECRET-KEY-PQ-", w.bytes))
	if err != nil {
		s.Errorf("read a seed: %v", err)
		return
	}
	s.identity(w.where+": a hybrid seed", id)
}

// identity tries an identity on an item of each kind of recipients, and on all if it opens
// one.
func (s *search) identity(how string, ids ...age.Identity) {
	for _, it := range s.one {
		if _, err := it.Open(ids...); err != nil {
			continue
		}
		for _, it := range s.items {
			if _, err := it.Open(ids...); err == nil {
				s.open(it, how)
			}
		}
	}
}

func (s *search) open(it target, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[it.Header.Ref()] = how
}

// fileKey tries what an age file's contents are encrypted with: the header has a MAC by it
// (age-encryption.org/v1, "Header MAC").
func (s *search) fileKey(w window) {
	by, err := hkdf.Key(sha256.New, w.bytes, nil, "header", sha256.Size)
	if err != nil {
		s.Errorf("derive a header's key: %v", err)
		return
	}
	for _, it := range s.items {
		h := hmac.New(sha256.New, by)
		h.Write(it.header)
		if hmac.Equal(h.Sum(nil), it.mac) {
			if _, err := it.Open(age.NewInjectedFileKeyIdentity(w.bytes)); err == nil {
				s.open(it, w.where+": a file key")
			}
		}
	}
}

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 is BIP 173's encoding without its limit, in capitals, as age writes identities.
func bech32(prefix string, data []byte) string {
	var values []byte
	bits, n := 0, 0
	for _, b := range data {
		bits, n = bits<<8|int(b), n+8
		for ; n >= 5; n -= 5 {
			values = append(values, byte(bits>>(n-5)&31))
		}
	}
	if n > 0 {
		values = append(values, byte(bits<<(5-n)&31))
	}
	sum := bech32Sum(strings.ToLower(prefix), values) ^ 1
	for i := range 6 {
		values = append(values, byte(sum>>(5*(5-i))&31))
	}
	out := []byte(strings.ToLower(prefix) + "1")
	for _, v := range values {
		out = append(out, bech32Letters[v])
	}
	return strings.ToUpper(string(out))
}

func bech32Sum(prefix string, values []byte) uint32 {
	var all []byte
	for _, c := range []byte(prefix) {
		all = append(all, c>>5)
	}
	all = append(all, 0)
	for _, c := range []byte(prefix) {
		all = append(all, c&31)
	}
	all = append(append(all, values...), make([]byte, 6)...)
	sum := uint32(1)
	for _, v := range all {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum
}

// seedOf is the seed of an age identity in bech32.
func seedOf(t testing.TB, text string) []byte {
	t.Helper()
	at := strings.LastIndex(text, "1")
	prefix, data := text[:at], strings.ToLower(text[at+1:len(text)-6])
	var out []byte
	bits, n := 0, 0
	for _, c := range data {
		bits, n = bits<<5|strings.IndexRune(bech32Letters, c), n+5
		if n >= 8 {
			out = append(out, byte(bits>>(n-8)))
			n -= 8
		}
	}
	if bech32(prefix, out) != text {
		t.Fatalf("read identity: it reads as %d bytes", len(out))
	}
	return out
}
