package hint_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"os"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

// fields are a hint's CBOR map, with nothing checked.
type fields map[int]any

// maker writes vectors.
type maker struct {
	t  *testing.T
	by issuer
}

func makeVectors(t *testing.T) {
	m := maker{t, newIssuer(t)}
	der, err := x509.MarshalPKCS8PrivateKey(m.by.PrivateKey)
	must(t, err)
	must(t, os.RemoveAll(vectorDir))
	must(t, os.MkdirAll(vectorDir, 0o755))
	must(t, os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(der)+"\n"), 0o644))
	m.good()
	m.absurd()
	m.forged()
	m.broken()
}

// fields are those of a plausible hint, changed.
func (m maker) fields(change fields) fields {
	f := fields{
		0: hint.Label, 1: m.by.id[:], 2: m.by.spki(m.t), 3: 7, 4: 1_771_000_000, 5: 1_771_003_600,
		6: 217_391, 7: 2_000, 8: 125,
	}
	for k, v := range change {
		f[k] = v
		if v == nil {
			delete(f, k)
		}
	}
	return f
}

func (m maker) sign(f fields) []byte {
	m.t.Helper()
	b, err := statement.Sign(m.by, f)
	must(m.t, err)
	return b
}

func (m maker) write(name, expect, about string, b []byte) {
	m.t.Helper()
	v := vector{Name: name, About: about, Hint: base64.RawURLEncoding.EncodeToString(b), Hub: m.by.id, Expect: expect}
	if expect == "ok" {
		s, err := hint.Verify(b, m.by.id)
		must(m.t, err)
		v = v.said(s)
	}
	vectortest.Write(m.t, vectorDir, name, v)
}

func (m maker) good() {
	m.write("good-plausible", "ok", "a fleet of 100,000 at 500 connects a second, calm", m.sign(m.fields(nil)))
	m.write("good-no-drain", "ok", "the drain is not said", m.sign(m.fields(fields{8: nil})))
	m.write("good-largest-serial", "ok", "serial 2^53-1", m.sign(m.fields(fields{3: uint64(statement.MaxInt)})))
	m.write("good-expired-long-ago", "ok", "issued in 1970: reading looks at no clock", m.sign(m.fields(fields{4: 1, 5: 2})))
	m.write("good-short-windows", "ok", "windows of 0: clamped to 1 s", m.sign(m.fields(fields{6: 0, 7: 0})))
	m.write("good-years", "ok", "windows of 10 years: clamped to 8 h", m.sign(m.fields(fields{6: uint64(315_576_000_000), 7: uint64(315_576_000_000)})))
	m.write("good-largest-windows", "ok", "windows of 2^53-1 ms: clamped to 8 h", m.sign(m.fields(fields{6: uint64(statement.MaxInt), 7: uint64(statement.MaxInt)})))
	m.write("good-largest-drain", "ok", "a drain of 2^53-1: clamped to 1,000 a second", m.sign(m.fields(fields{8: uint64(statement.MaxInt)})))
	m.write("good-long-life", "ok", "good for 100 years: clamped to 24 h", m.sign(m.fields(fields{5: uint64(4_926_000_000)})))
}

// absurd are hints of the right hub that say what cannot be.
func (m maker) absurd() {
	for _, c := range []struct {
		name, expect, about string
		change              fields
	}{
		{"bad-serial-0", "bad-field", "serial 0", fields{3: 0}},
		{"bad-serial-negative", "malformed", "serial -1", fields{3: -1}},
		{"bad-serial-2-53", "bad-field", "serial 2^53", fields{3: uint64(1) << 53}},
		{"bad-serial-2-63", "bad-field", "serial 2^63", fields{3: uint64(1) << 63}},
		{"bad-window-negative", "malformed", "a window of -1 ms", fields{6: -1}},
		{"bad-window-2-63", "bad-field", "a window of 2^63 ms", fields{6: uint64(1) << 63}},
		{"bad-window-float", "malformed", "a window of 1.5", fields{6: 1.5}},
		{"bad-current-2-64", "bad-field", "a current window of 2^64-1 ms", fields{7: ^uint64(0)}},
		{"bad-current-text", "malformed", "a current window in words", fields{7: "soon"}},
		{"bad-drain-negative", "malformed", "a drain below 0", fields{8: -1}},
		{"bad-drain-0", "bad-field", "a drain of 0, which is said by leaving it out", fields{8: 0}},
		{"bad-issued-0", "bad-field", "issued at 0", fields{4: 0}},
		{"bad-expires-before", "bad-field", "expired when it was issued", fields{5: 1_771_000_000}},
		{"bad-no-window", "bad-field", "the window is missing", fields{6: nil}},
		{"bad-no-serial", "bad-field", "the serial is missing", fields{3: nil}},
		{"bad-field-9", "not-canonical", "a field that is not known", fields{9: 1}},
		{"bad-hub-short", "bad-field", "a hub ID of 31 bytes", fields{1: m.by.id[:31]}},
	} {
		m.write(c.name, c.expect, c.about, m.sign(m.fields(c.change)))
	}
}

// forged are hints that the device's hub did not sign.
func (m maker) forged() {
	other := maker{m.t, newIssuer(m.t)}
	m.write("bad-other-hub", "wrong-hub", "a good hint of another hub", other.sign(other.fields(nil)))
	m.write("bad-hub-not-its-key", "wrong-hub", "another key beside the hub's ID, and its signature",
		other.sign(other.fields(fields{1: m.by.id[:]})))
	m.write("bad-other-id", "wrong-hub", "another hub's ID beside the hub's key", m.sign(m.fields(fields{1: other.by.id[:]})))
	m.write("bad-signed-by-another", "bad-signature", "the hub's ID and key, signed by another", other.sign(m.fields(nil)))
	m.write("bad-label", "unknown-version", "version 2", m.sign(m.fields(fields{0: "lensward/hint/2"})))
	m.write("bad-label-of-sign-in", "unknown-version", "the label of another statement that the key may sign",
		m.sign(m.fields(fields{0: "lensward/signin/1"})))
	m.write("bad-label-type", "unknown-version", "a number for a label", m.sign(m.fields(fields{0: 1})))
	b := m.sign(m.fields(nil))
	b[len(b)-1] ^= 1
	m.write("bad-flipped-signature", "bad-signature", "the last bit of the signature", b)
	b = m.sign(m.fields(nil))
	at := bytes.Index(b, []byte{0x1a, 0x00, 0x03, 0x51, 0x2f}) // 217,391
	b[at+4] ^= 1
	m.write("bad-changed-window", "bad-signature", "another window after it was signed", b)
}

// broken are bytes that are not a hint.
func (m maker) broken() {
	b := m.sign(m.fields(nil))
	m.write("bad-empty", "truncated", "nothing", nil)
	m.write("bad-truncated", "truncated", "the last byte is missing", b[:len(b)-1])
	m.write("bad-longer", "malformed", "a byte after its end", append(bytes.Clone(b), 0))
	m.write("bad-too-large", "too-large", "1,025 bytes", append(bytes.Clone(b), make([]byte, hint.MaxSize+1-len(b))...))
	m.write("bad-page", "malformed", "what a captive network answers", []byte("<html><title>Welcome</title></html>"))
	long := bytes.Replace(b, []byte{0x03, 0x07, 0x04, 0x1a}, []byte{0x03, 0x18, 0x07, 0x04, 0x1a}, 1) // serial 7 in two bytes
	long[8]++                                                                                         // the payload's length
	m.write("bad-long-integer", "not-canonical", "a serial that is not in its shortest form", long)
	unsigned := append(bytes.Clone(b[:len(b)-66]), 0x40)
	m.write("bad-unsigned", "unsigned", "the signature was taken away", unsigned)
	algorithm := bytes.Replace(b, []byte{0xa1, 0x01, 0x26}, []byte{0xa1, 0x01, 0x38, 0x22}, 1)
	algorithm[bytes.Index(algorithm, []byte{0x43, 0xa1})]++
	m.write("bad-algorithm", "unknown-algorithm", "ES384", algorithm)
}

// clamped is what no vector may go beyond.
func TestVectorsAreClamped(t *testing.T) {
	for _, v := range vectortest.Read[vector](t, vectorDir) {
		if v.Expect != "ok" {
			continue
		}
		low, high := recovery.MinWindow.Milliseconds(), recovery.MaxWindow.Milliseconds()
		if v.Window < low || v.Window > high || v.Current < low || v.Current > high ||
			v.Drain > 1_000_000 || v.Expires-v.Issued > int64(hint.MaxLife/time.Second) {
			t.Errorf("%s says %+v", v.Name, v)
		}
	}
}
