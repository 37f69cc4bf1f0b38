// Package tap stands between a viewer and a hub and hears what the hub answers, so that
// somebody else than the viewer knows what it was given.
//
// It owns the reading of rows and items in the hub's answers (docs/ref/hub-protocol.md,
// "What a session sees"). It never changes an answer, and never decides what is wrong.
package tap

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/lensward/lensward/transport/seal"
)

const (
	timelinePath = "/api/v1/timeline"
	itemsPath    = "/api/v1/items/"
)

// Answer is an item, or its envelope alone, that the hub gave.
type Answer struct {
	Item *seal.Item
	// Asked is the place that was asked for; zero for a row of the time line.
	Asked seal.Ref
	// Cursor is the row's; 0 for an item.
	Cursor uint64
}

// Tap is an http.RoundTripper for a viewer.
type Tap struct {
	// Hub is who is asked.
	Hub http.RoundTripper
	// Heard is called with each answer, before the viewer has it, from the goroutines
	// that ask.
	Heard func(Answer)
}

// RoundTrip asks the hub and hears the answer. One that cannot be read is an error.
func (t *Tap) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.Hub.RoundTrip(r)
	place, isItem := strings.CutPrefix(r.URL.Path, itemsPath)
	if err != nil || res.StatusCode != http.StatusOK || !isItem && r.URL.Path != timelinePath {
		return res, err
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	if isItem {
		err = t.item(place, b)
	} else {
		err = t.rows(b)
	}
	if err != nil {
		return nil, fmt.Errorf("hear the hub's answer: %w", err)
	}
	return res, nil
}

func (t *Tap) rows(b []byte) error {
	var page struct {
		Items []struct {
			Cursor   uint64 `json:"cursor"`
			Envelope string `json:"envelope"`
		} `json:"items"`
	}
	if err := json.Unmarshal(b, &page); err != nil {
		return err
	}
	for _, row := range page.Items {
		envelope, err := base64.RawURLEncoding.DecodeString(row.Envelope)
		if err != nil {
			return err
		}
		it, err := seal.ParseEnvelope(envelope)
		if err != nil {
			return err
		}
		t.Heard(Answer{Item: it, Cursor: row.Cursor})
	}
	return nil
}

func (t *Tap) item(place string, b []byte) error {
	asked, err := seal.ParseRef(place)
	if err != nil {
		return err
	}
	it, err := seal.Parse(b)
	if err != nil {
		return err
	}
	t.Heard(Answer{Item: it, Asked: asked})
	return nil
}
