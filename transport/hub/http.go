package hub

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
)

// maxRequest bounds an API request's body, in bytes.
const maxRequest = 64 << 10

// apiError is an answer other than the one that was asked for.
type apiError struct {
	status int
	msg    string
	hint   string
}

func (e *apiError) Error() string { return e.msg }

func answer(status int, hint, format string, args ...any) *apiError {
	return &apiError{status: status, hint: hint, msg: fmt.Sprintf(format, args...)}
}

// writeError answers with an error. What is no *apiError is the hub's own
// failure, and is not told to the caller.
func writeError(w http.ResponseWriter, err error) int {
	var e *apiError
	if !errors.As(err, &e) {
		e = answer(http.StatusServiceUnavailable, "try again later", "the hub could not do this just now")
	}
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, e.status, struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{e.msg, e.hint})
	return e.status
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// readJSON reads a request's body.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return answer(http.StatusUnsupportedMediaType, "send Content-Type: application/json", "the request is not JSON")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return answer(http.StatusRequestEntityTooLarge, "", "the request is larger than %d bytes", maxRequest)
	}
	if err != nil {
		return answer(http.StatusBadRequest, "", "the request was cut off")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return answer(http.StatusBadRequest, "", "the request is not the JSON that is asked for: %v", err)
	}
	return nil
}

// queryNumber reads a number from the query, def where there is none.
func queryNumber(r *http.Request, name string, def, low, high uint64) (uint64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < low || n > high {
		return 0, answer(http.StatusBadRequest, fmt.Sprintf("a number from %d to %d", low, high), "%s is out of range", name)
	}
	return n, nil
}

// b64 is bytes as base64url without padding in JSON.
type b64 []byte

// MarshalText writes base64url.
func (b b64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText writes, and only that.
func (b *b64) UnmarshalText(s []byte) error {
	out, err := base64.RawURLEncoding.Strict().AppendDecode(nil, s)
	if err == nil && bytes.ContainsAny(s, "\r\n") {
		err = errors.New("it holds line breaks") // which the library would skip
	}
	if err != nil {
		return fmt.Errorf("not base64url without padding: %w", err)
	}
	*b = out
	return nil
}
