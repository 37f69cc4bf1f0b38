package tap_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/viewer/tap"
)

// hub answers everything with the same.
type hub struct {
	status int
	body   string
}

// RoundTrip is the answer.
func (h hub) RoundTrip(*http.Request) (*http.Response, error) {
	if h.status == 0 {
		return nil, errors.New("nobody there")
	}
	return &http.Response{StatusCode: h.status, Body: io.NopCloser(strings.NewReader(h.body))}, nil
}

// What is no row or item passes as it is; one that cannot be read is an error, and the
// viewer does not get it.
func TestAnswersThatAreNoItems(t *testing.T) {
	for _, c := range []struct {
		path, body string
		status     int
		fails      bool
	}{
		{"/api/v1/records", "{}", 200, false},
		{"/api/v1/timeline", `{"items":[],"next":7}`, 200, false},
		{"/api/v1/timeline", "busy", 503, false},
		{"/api/v1/timeline", "{", 200, true},
		{"/api/v1/timeline", `{"items":[{"cursor":1,"envelope":"!"}]}`, 200, true},
		{"/api/v1/timeline", `{"items":[{"cursor":1,"envelope":"AAAA"}]}`, 200, true},
		{"/api/v1/items/nowhere", "", 200, true},
		{"/api/v1/items/", "", 0, true},
	} {
		ear := &tap.Tap{Hub: hub{c.status, c.body}, Heard: func(a tap.Answer) { t.Errorf("heard %+v", a) }}
		res, err := ear.RoundTrip(httptest.NewRequest(http.MethodGet, c.path, nil))
		if (err != nil) != c.fails {
			t.Errorf("%s, %q: %v", c.path, c.body, err)
		}
		if err != nil {
			continue
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != c.body {
			t.Errorf("%s: the viewer gets %q, %v", c.path, b, err)
		}
	}
}
