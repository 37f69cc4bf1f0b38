package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	maxRows     = 200
	defaultRows = 100
	maxWait     = 55 // seconds
)

// shelf is where viewers' reading comes from.
type shelf interface {
	// Timeline is up to limit rows of an owner's items after a cursor, and the cursor
	// to go on from.
	Timeline(ctx context.Context, owner seal.ID, after uint64, limit int) ([]store.Row, uint64, error)
	// Item is an item's bytes, or store.ErrNotFound.
	Item(ctx context.Context, owner seal.ID, ref seal.Ref) ([]byte, error)
	// History is every record that an owner signed.
	History(ctx context.Context, owner seal.ID) ([]*ownership.Ownership, error)
	// Changed is closed when the owner's next item is stored.
	Changed(owner seal.ID) (<-chan struct{}, func())
}

// api answers viewers.
type api struct {
	about    about
	id       seal.ID
	shelf    shelf
	crook    *crook // nil where it does not lie
	store    *store.Store
	sessions *sessions
	mail     *mailroom
	courier  *courier
	presence *presence
	metrics  *metrics
	log      *slog.Logger
}

// about is what a hub says of itself.
type about struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	ID      seal.ID `json:"id"`
	Mixup   float64 `json:"mixup"`
	// Devices are host:port of the HTTPS listener for devices, for a pairing code.
	Devices []string `json:"devices"`
	// Retention is how long items are kept, in seconds; 0 is for ever.
	Retention int64 `json:"retention,omitempty"`
	// Lies are what it was told to lie about.
	Lies []Lie `json:"lies,omitempty"`
}

// handler is the API's routes, and the metrics' where they may be seen.
func (a *api) handler(withMetrics bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/hub", a.open(func(w http.ResponseWriter, _ *http.Request) error {
		writeJSON(w, http.StatusOK, a.about)
		return nil
	}))
	mux.Handle("POST /api/v1/challenge", a.open(a.challenge))
	mux.Handle("POST /api/v1/session", a.open(a.signIn))
	mux.Handle("GET /api/v1/records", a.signedIn(a.records))
	mux.Handle("GET /api/v1/devices", a.signedIn(a.devices))
	mux.Handle("GET /api/v1/timeline", a.signedIn(a.timeline))
	mux.Handle("GET /api/v1/items/{device}/{epoch}/{chain}/{seq}", a.signedIn(a.item))
	mux.Handle("POST /api/v1/reports", a.signedIn(a.report))
	a.mailbox(mux, mailbox.ViewerPath)
	a.courier.routes(mux, a)
	mux.Handle("/api/", a.open(func(http.ResponseWriter, *http.Request) error {
		return answer(http.StatusNotFound, "", "there is no such call")
	}))
	if withMetrics {
		mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	}
	return mux
}

// open wraps a call that needs no session. A call either answers or returns an error.
func (a *api) open(call func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		status := http.StatusOK
		if err := call(w, r); err != nil {
			status = writeError(w, err)
			var known *apiError
			if !errors.As(err, &known) && r.Context().Err() == nil {
				a.log.Warn("viewer request failed", "path", r.URL.Path, "err", err)
			}
		}
		a.metrics.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	})
}

// signedIn wraps a call that needs a session.
func (a *api) signedIn(call func(http.ResponseWriter, *http.Request, *session) error) http.Handler {
	return a.open(func(w http.ResponseWriter, r *http.Request) error {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		s := a.sessions.find(token, time.Now())
		if !ok || s == nil {
			return answer(http.StatusUnauthorized, "sign in again", "no session, or it has ended")
		}
		return call(w, r, s)
	})
}

func (a *api) challenge(w http.ResponseWriter, r *http.Request) error {
	if err := readJSON(w, r, &struct{}{}); err != nil {
		return err
	}
	n, err := a.sessions.challenge(time.Now())
	if err != nil {
		return fmt.Errorf("make challenge: %w", err)
	}
	writeJSON(w, http.StatusOK, struct {
		Nonce b64 `json:"nonce"`
	}{n[:]})
	return nil
}

func (a *api) signIn(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Statement b64 `json:"statement"`
	}
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	token, s, err := a.admit(r.Context(), req.Statement)
	var known *apiError
	switch {
	case errors.As(err, &known):
		a.metrics.signins.WithLabelValues("refused").Inc()
		return err
	case err != nil:
		a.metrics.signins.WithLabelValues("failed").Inc()
		return err
	}
	a.metrics.signins.WithLabelValues("admitted").Inc()
	a.log.Info("viewer signed in", "owner", s.owner.String(), "viewer", s.viewer.Short())
	writeJSON(w, http.StatusOK, struct {
		Token   string `json:"token"`
		Expires int64  `json:"expires"`
	}{token, s.expires.Unix()})
	return nil
}

// admit opens a session for a sign-in statement that holds.
func (a *api) admit(ctx context.Context, b []byte) (string, *session, error) {
	st, err := signin.Verify(b)
	if err != nil {
		return "", nil, answer(http.StatusForbidden, "", "%v", err)
	}
	now := time.Now()
	if !a.sessions.spend(st.Nonce, now) {
		return "", nil, answer(http.StatusForbidden, "ask for a new challenge", "the challenge is unknown, used or over")
	}
	if st.Hub != a.id {
		return "", nil, answer(http.StatusForbidden, "", "the statement is for another hub")
	}
	spki, err := statement.SPKI(st.Viewer)
	if err != nil {
		return "", nil, err
	}
	var records []store.OwnerRecord
	if seal.KeyID(spki) != st.Owner {
		if records, err = a.store.Records(ctx, st.Owner); err != nil {
			return "", nil, err
		}
	}
	until, may := rights(st.Owner, spki, records, now)
	if !may {
		return "", nil, answer(http.StatusForbidden, "the owner's newest record of a camera has to list this viewer",
			"this key may not see the items of owner %s", st.Owner.Short())
	}
	return a.sessions.open(st.Owner, seal.KeyID(spki), spki, now, until)
}

// review ends the sessions that a new record of this owner takes the ground from.
func (a *api) review(ctx context.Context, owner seal.ID) {
	if !a.sessions.listed(owner) {
		return
	}
	records, err := a.store.Records(ctx, owner)
	if err != nil {
		// Who may look is not known: nobody may, until they sign in again.
		a.log.Warn("sessions ended", "owner", owner.String(), "err", err)
	}
	a.sessions.review(owner, func(s *session) bool {
		_, may := rights(owner, s.spki, records, time.Now())
		return may
	})
}

func (a *api) records(w http.ResponseWriter, r *http.Request, s *session) error {
	records, err := a.shelf.History(r.Context(), s.owner)
	if err != nil {
		return err
	}
	out := make([]b64, 0, len(records))
	for _, o := range records {
		out = append(out, o.Bytes())
	}
	writeJSON(w, http.StatusOK, struct {
		Records []b64 `json:"records"`
	}{out})
	return nil
}

// deviceRow is what the hub says of a device.
type deviceRow struct {
	ID     seal.ID `json:"id"`
	Online bool    `json:"online"`
	Seen   int64   `json:"seen"`
}

func (a *api) devices(w http.ResponseWriter, r *http.Request, s *session) error {
	records, err := a.store.Records(r.Context(), s.owner)
	if err != nil {
		return err
	}
	rows := make([]deviceRow, 0, len(records))
	for _, o := range records {
		if !o.Newest {
			continue // the device has another owner now, or this is an earlier epoch
		}
		row := deviceRow{ID: o.Record.Device}
		at := a.presence.of(row.ID)
		if at.seen.IsZero() {
			if at.seen, err = a.store.Seen(r.Context(), row.ID); err != nil {
				return err
			}
		}
		row.Online = at.online
		if !at.seen.IsZero() {
			row.Seen = at.seen.Unix()
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(x, y deviceRow) int { return slices.Compare(x.ID[:], y.ID[:]) })
	writeJSON(w, http.StatusOK, struct {
		Devices []deviceRow `json:"devices"`
	}{rows})
	return nil
}

// timelineRow is one line of an answer.
type timelineRow struct {
	Cursor   uint64 `json:"cursor"`
	Envelope b64    `json:"envelope"`
}

func (a *api) timeline(w http.ResponseWriter, r *http.Request, s *session) error {
	after, err := queryNumber(r, "after", 0, 0, statement.MaxInt)
	if err != nil {
		return err
	}
	limit, err := queryNumber(r, "limit", defaultRows, 1, maxRows)
	if err != nil {
		return err
	}
	wait, err := queryNumber(r, "wait", 0, 0, maxWait)
	if err != nil {
		return err
	}
	rows, next, err := a.waitForRows(r.Context(), s.owner, after, int(limit), time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	out := make([]timelineRow, 0, len(rows))
	for _, row := range rows {
		out = append(out, timelineRow{row.Cursor, row.Envelope})
	}
	writeJSON(w, http.StatusOK, struct {
		Items []timelineRow `json:"items"`
		Next  uint64        `json:"next"`
	}{out, next})
	return nil
}

// waitForRows reads the timeline, and waits for a row if there is none.
func (a *api) waitForRows(ctx context.Context, owner seal.ID, after uint64, limit int, wait time.Duration) (rows []store.Row, next uint64, err error) {
	changed := func() (<-chan struct{}, func()) { return a.shelf.Changed(owner) }
	err = longPoll(ctx, wait, changed, func() (found bool, err error) {
		rows, after, err = a.shelf.Timeline(ctx, owner, after, limit)
		return len(rows) > 0 || wait == 0, err
	})
	return rows, after, err
}

// longPoll looks until something is found, or nothing is within the time given. It looks
// again when the channel that changed gives is closed; the function with it gives that up.
func longPoll(ctx context.Context, wait time.Duration, changed func() (<-chan struct{}, func()), look func() (found bool, err error)) error {
	over := time.NewTimer(wait)
	defer over.Stop()
	once := func() (again bool, err error) {
		// Asked before looking, so that nothing comes in between unseen.
		rung, leave := changed()
		defer leave()
		if found, err := look(); found || err != nil {
			return false, err
		}
		select {
		case <-rung:
			return true, nil
		case <-over.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	for {
		if again, err := once(); !again {
			return err
		}
	}
}

func (a *api) item(w http.ResponseWriter, r *http.Request, s *session) error {
	ref, err := seal.ParseRef(strings.Join([]string{
		r.PathValue("device"), r.PathValue("epoch"), r.PathValue("chain"), r.PathValue("seq"),
	}, "/"))
	if err != nil {
		return answer(http.StatusBadRequest, "", "%v", err)
	}
	b, err := a.shelf.Item(r.Context(), s.owner, ref)
	if errors.Is(err, store.ErrNotFound) {
		return answer(http.StatusNotFound, "", "no such item of this owner")
	}
	if err != nil {
		return err
	}
	writeBytes(w, b)
	return nil
}

// reportable are the reasons that a report may give: those that an envelope with
// a good signature can be withheld for.
func reportable(r seal.Reason) bool {
	switch r {
	case seal.ReasonWrongOwner, seal.ReasonUnknownDevice, seal.ReasonWrongEpoch, seal.ReasonUnknownRecord,
		seal.ReasonNotAskedFor, seal.ReasonReplayed, seal.ReasonFork, seal.ReasonBrokenChain,
		seal.ReasonBodySize, seal.ReasonBodyHash, seal.ReasonCannotDecrypt:
		return true
	default:
		return false
	}
}

func (a *api) report(w http.ResponseWriter, r *http.Request, s *session) error {
	if !s.reports.Allow() {
		return answer(http.StatusTooManyRequests, "try again later", "too many reports")
	}
	var req struct {
		Envelope b64         `json:"envelope"`
		Reason   seal.Reason `json:"reason"`
	}
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if !reportable(req.Reason) {
		return answer(http.StatusBadRequest, "", "%.32q is not a reason that an envelope with a good signature is withheld for", req.Reason)
	}
	it, err := seal.ParseEnvelope(req.Envelope)
	if err == nil {
		err = it.VerifyEnvelope()
	}
	if err != nil {
		return answer(http.StatusBadRequest, "", "the envelope proves nothing: %v", err)
	}
	fresh, err := a.store.PutReport(r.Context(), s.owner, it, req.Reason)
	if err != nil {
		return err
	}
	if fresh {
		a.metrics.reports.WithLabelValues(string(req.Reason)).Inc()
		a.log.Warn("misrouted item reported", "reporter", s.owner.String(), "owner", it.Header.Owner.String(),
			"device", it.Header.Device.String(), "reason", string(req.Reason))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
