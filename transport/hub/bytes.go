package hub

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
)

const octets = "application/octet-stream"

// readBytes reads a request's body that is not JSON, 1 to limit bytes.
func readBytes(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != octets {
		return nil, answer(http.StatusUnsupportedMediaType, "send Content-Type: "+octets, "the request is not %s", octets)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, answer(http.StatusRequestEntityTooLarge, "", "the request is larger than %d bytes", limit)
	case err != nil:
		return nil, answer(http.StatusBadRequest, "", "the request was cut off")
	case len(b) == 0:
		return nil, answer(http.StatusBadRequest, "", "the request is empty")
	}
	return b, nil
}

// writeBytes answers with bytes that are nobody's to interpret here.
func writeBytes(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", octets)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	// The caller is gone if this fails: there is nobody to tell.
	_, _ = w.Write(b)
}
