package control

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
)

// wary is an agent that takes no record and counts those it was asked to take.
type wary struct{ asked int }

// Status is nothing.
func (*wary) Status() any { return struct{}{} }

// DeviceKey is no key.
func (*wary) DeviceKey() []byte { return nil }

// Known is none.
func (*wary) Known() *ownership.Ownership { return nil }

// Pair refuses.
func (w *wary) Pair(s *ownership.Signed) (*ownership.Ownership, error) {
	w.asked++
	return nil, errors.New("refused")
}

// TakeCode refuses.
func (*wary) TakeCode(_ context.Context, code secret.Text) error {
	if len(code) > pairing.MaxCode {
		panic("a code beyond the limit")
	}
	return errors.New("refused")
}

// Free says that it is not.
func (*wary) Free() ownership.Acquired { return 0 }

// Reset does nothing.
func (*wary) Reset() error { return nil }

// FuzzRequest sends any method, path and body: nothing but a record that parses
// reaches the agent, and no request makes the server fail.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/ownership", []byte(nil))
	f.Add("POST", "/ownership", bytes.Repeat([]byte{0xd2}, ownership.MaxRecord+1))
	f.Add("POST", "/ownership", []byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x40, 0x40})
	f.Add("GET", "/ownership", []byte("x"))
	f.Add("POST", "/pairing-code", []byte("LENSWARD1:A"))
	f.Add("POST", "/pairing-code", bytes.Repeat([]byte("A"), pairing.MaxCode+1))
	f.Add("GET", "/status", []byte(nil))
	f.Add("DELETE", "/../device-key", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		r, err := http.NewRequest(method, "http://agent", bytes.NewReader(body))
		if err != nil {
			return // no such method
		}
		r.URL.Path = path
		agent := &wary{}
		answer := httptest.NewRecorder()
		NewServer(t.TempDir(), agent).handler().ServeHTTP(answer, r)
		if answer.Code >= 500 {
			t.Errorf("%s %q: %d %s", method, path, answer.Code, answer.Body)
		}
		_, err = ownership.ParseSigned(body)
		if parses := err == nil && len(body) <= ownership.MaxRecord; agent.asked > 0 && !(parses && method == http.MethodPost) {
			t.Errorf("%s %q with %d bytes reached the agent", method, path, len(body))
		}
	})
}
