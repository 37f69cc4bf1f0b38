package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// Lie is a way in which a hub can be told to lie to its viewers. Each is what
// docs/ref/findings.md has a name for. A fork is none of them: a hub alone cannot make
// one, it takes a copied camera.
type Lie string

// The lies.
const (
	LieReplay     Lie = "replay"      // rows give an item that came before
	LieDrop       Lie = "drop"        // one item of five is nowhere, unless it is a checkpoint or gap
	LieTail       Lie = "tail"        // an owner has 20 rows, and no more
	LieSwapEvents Lie = "swap-events" // a clip part or record of another event than was asked for
	LieSwapThumbs Lie = "swap-thumbs" // a picture of another event for a clip part, and the reverse
	LieRollBack   Lie = "roll-back"   // the newest record of each camera, and the newest statement, are not given
	LieSilent     Lie = "silent"      // nothing of a camera after its third checkpoint
	LieMixup      Lie = "mixup"       // other owners' and cameras' items
)

// halfTheTime is how often a hub lies that was not told.
const halfTheTime = 0.5

// tailRows is how many rows LieTail leaves.
const tailRows = 20

// ParseLies reads a list of lies with commas between them.
func ParseLies(s string) ([]Lie, error) {
	all := []Lie{LieReplay, LieDrop, LieTail, LieSwapEvents, LieSwapThumbs, LieRollBack, LieSilent, LieMixup}
	var out []Lie
	for _, word := range strings.Split(s, ",") {
		switch l := Lie(strings.TrimSpace(word)); {
		case slices.Contains(all, l):
			out = append(out, l)
		case l == "fork":
			return nil, errors.New("a hub alone cannot lie by fork: it takes a camera that was copied, and signs two items for one place")
		default:
			return nil, fmt.Errorf("lie %.40q is not known; there are %v", word, all)
		}
	}
	return out, nil
}

// crook is a shelf that keeps back and swaps what is the owner's own. A liar mixes up
// what is not.
type crook struct {
	shelf
	liar *liar // draws
	lies []Lie

	mu     sync.Mutex
	shown  map[seal.ID]map[seal.Ref]bool // the rows that LieTail leaves an owner
	silent map[seal.ID]seal.Ref          // of an owner's camera, the last item that LieSilent leaves
}

func newCrook(honest shelf, liar *liar, lies []Lie) *crook {
	return &crook{shelf: honest, liar: liar, lies: lies, shown: map[seal.ID]map[seal.Ref]bool{}, silent: map[seal.ID]seal.Ref{}}
}

func (c *crook) tells(l Lie) bool { return slices.Contains(c.lies, l) }

// Timeline is the honest one without what is kept back, and with old rows for new ones.
func (c *crook) Timeline(ctx context.Context, owner seal.ID, after uint64, limit int) ([]store.Row, uint64, error) {
	for {
		rows, next, err := c.shelf.Timeline(ctx, owner, after, limit)
		if err != nil || len(rows) == 0 {
			return rows, next, err
		}
		var out []store.Row
		for _, row := range rows {
			it, err := seal.ParseEnvelope(row.Envelope)
			if err != nil {
				return nil, after, err
			}
			hidden, err := c.hides(ctx, owner, it.Header)
			if err != nil {
				return nil, after, err
			}
			if hidden {
				continue
			}
			if n := len(out); n > 0 && c.tells(LieReplay) && c.liar.lies() {
				row.Envelope = out[n-1].Envelope
			}
			out = append(out, row)
		}
		if len(out) > 0 {
			return out, next, nil
		}
		after = next
	}
}

// Item is the one that was asked for, another of the owner's, or nothing.
func (c *crook) Item(ctx context.Context, owner seal.ID, ref seal.Ref) ([]byte, error) {
	b, err := c.shelf.Item(ctx, owner, ref)
	if err != nil {
		return nil, err
	}
	it, err := seal.Parse(b)
	if err != nil {
		return nil, err
	}
	switch hidden, err := c.hides(ctx, owner, it.Header); {
	case err != nil:
		return nil, err
	case hidden:
		return nil, store.ErrNotFound
	case !c.tells(LieSwapEvents) && !c.tells(LieSwapThumbs) || !c.liar.lies():
		return b, nil
	}
	other, err := c.swap(ctx, owner, it.Header)
	if errors.Is(err, store.ErrNotFound) {
		return b, nil
	}
	return other, err
}

// swap draws an item to give in the place of another: of another event, and with a
// picture on one side where the lie is about pictures.
func (c *crook) swap(ctx context.Context, owner seal.ID, asked seal.Header) ([]byte, error) {
	if asked.Event.IsZero() {
		return nil, store.ErrNotFound
	}
	rows, _, err := c.shelf.Timeline(ctx, owner, 0, maxRows)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		it, err := seal.ParseEnvelope(row.Envelope)
		if err != nil {
			return nil, err
		}
		h := it.Header
		a, b := asked.Kind == seal.KindThumbnail, h.Kind == seal.KindThumbnail
		if h.Event.IsZero() || h.Event == asked.Event {
			continue
		}
		if a != b && c.tells(LieSwapThumbs) || !a && !b && c.tells(LieSwapEvents) {
			return c.shelf.Item(ctx, owner, h.Ref())
		}
	}
	return nil, store.ErrNotFound
}

// hides says whether an item of an owner is kept back.
func (c *crook) hides(ctx context.Context, owner seal.ID, h seal.Header) (bool, error) {
	ofCamera := h.Kind == seal.KindCheckpoint || h.Kind == seal.KindGap
	if c.tells(LieDrop) && !ofCamera && h.Seq%5 == 2 {
		return true, nil
	}
	if c.tells(LieTail) {
		shown, err := c.first(ctx, owner)
		if err != nil || len(shown) == tailRows && !shown[h.Ref()] {
			return err == nil, err
		}
	}
	if c.tells(LieSilent) {
		last, err := c.last(ctx, owner)
		if err != nil || last.Device == h.Device && sealedAfter(h.Ref(), last) {
			return err == nil, err
		}
	}
	return false, nil
}

// sealedAfter says whether an item was sealed after another of its camera.
func sealedAfter(a, b seal.Ref) bool {
	return slices.Compare([]uint64{a.Epoch, a.Chain, a.Seq}, []uint64{b.Epoch, b.Chain, b.Seq}) > 0
}

// first are the rows that LieTail leaves, once there are so many.
func (c *crook) first(ctx context.Context, owner seal.ID) (map[seal.Ref]bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.shown[owner]; len(have) == tailRows {
		return have, nil
	}
	rows, _, err := c.shelf.Timeline(ctx, owner, 0, tailRows)
	if err != nil {
		return nil, err
	}
	have := make(map[seal.Ref]bool)
	for _, row := range rows {
		it, err := seal.ParseEnvelope(row.Envelope)
		if err != nil {
			return nil, err
		}
		have[it.Header.Ref()] = true
	}
	c.shown[owner] = have
	return have, nil
}

// last is the third checkpoint of the camera of an owner's first row, zero if it has
// not said so many.
func (c *crook) last(ctx context.Context, owner seal.ID) (seal.Ref, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.silent[owner]; ok {
		return r, nil
	}
	rows, _, err := c.shelf.Timeline(ctx, owner, 0, maxRows)
	if err != nil {
		return seal.Ref{}, err
	}
	var device seal.ID
	count := 0
	for _, row := range rows {
		it, err := seal.ParseEnvelope(row.Envelope)
		if err != nil {
			return seal.Ref{}, err
		}
		h := it.Header
		if device.IsZero() {
			device = h.Device
		}
		if h.Device != device || h.Kind != seal.KindCheckpoint {
			continue
		}
		if count++; count == 3 {
			c.silent[owner] = h.Ref()
			return h.Ref(), nil
		}
	}
	return seal.Ref{}, nil
}

// History is the honest one, or without the newest record of each camera that has an
// older one.
func (c *crook) History(ctx context.Context, owner seal.ID) ([]*ownership.Ownership, error) {
	records, err := c.shelf.History(ctx, owner)
	if err != nil || !c.tells(LieRollBack) {
		return records, err
	}
	newest, count := map[seal.ID]*ownership.Ownership{}, map[seal.ID]int{}
	for _, o := range records {
		r := o.Record
		top := newest[r.Device]
		if count[r.Device]++; top == nil || r.Epoch > top.Record.Epoch || r.Epoch == top.Record.Epoch && r.Revision > top.Record.Revision {
			newest[r.Device] = o
		}
	}
	return slices.DeleteFunc(slices.Clone(records), func(o *ownership.Ownership) bool {
		return count[o.Record.Device] > 1 && newest[o.Record.Device] == o
	}), nil
}

// household answers for the household's statements without the last one, where the hub
// was told to lie so.
func (c *crook) household(honest http.Handler) http.Handler {
	if c == nil || !c.tells(LieRollBack) {
		return honest
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/household" {
			honest.ServeHTTP(w, r)
			return
		}
		said := &saying{header: http.Header{}, status: http.StatusOK}
		honest.ServeHTTP(said, r)
		var page struct {
			Statements []string `json:"statements"`
		}
		if err := json.Unmarshal(said.body, &page); said.status != http.StatusOK || err != nil {
			w.WriteHeader(said.status)
			return
		}
		page.Statements = page.Statements[:max(len(page.Statements), 1)-1]
		writeJSON(w, http.StatusOK, page)
	})
}

// saying is an answer before it is sent.
type saying struct {
	header http.Header
	status int
	body   []byte
}

func (s *saying) Header() http.Header { return s.header }

func (s *saying) WriteHeader(status int) { s.status = status }

func (s *saying) Write(b []byte) (int, error) {
	s.body = append(s.body, b...)
	return len(b), nil
}
