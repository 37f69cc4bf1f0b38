// Package viewer is the owner's end: it follows a hub's time line and shows what
// is the owner's own.
//
// It owns the decision what may be shown, and the account of what was not: what
// it withheld and why, what is missing, what a camera said that it dropped. It
// pins the ownership records that it has seen, so that a hub cannot take it back
// to an older one, and the heads of the chains. What a hub is caught at it names,
// with its proof: docs/ref/findings.md. It never hands out a byte that did not verify for its owner,
// and it trusts nothing that a hub says: a hub can delay, and be caught lying.
//
// docs/ref/hub-protocol.md is the protocol, docs/ref/sealed-item.md what a
// viewer checks.
package viewer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

const (
	// shortestRound keeps a hub that answers at once with nothing from being asked in
	// a circle.
	shortestRound = time.Second
	// staleEvery bounds how often an unknown record makes the viewer ask for records.
	staleEvery = 2 * time.Second
	// pageRows is how many rows are asked for at once, 1 to 200.
	pageRows = 100
	// pollWait is how long the hub may wait for a new row.
	pollWait = 25 * time.Second
	// refreshEvery is how often records are fetched and what is missing is asked for anew.
	refreshEvery = 5 * time.Minute
	// maxTrouble is how many rounds in a row may fail before SyncOnce gives up.
	maxTrouble = 5
)

// Keys are what a viewer holds of its owner's.
type Keys struct {
	// Owner is whose cameras are looked at.
	Owner seal.ID
	// Signer signs in: the owner's root key, or one that an ownership record lists
	// as a viewer. ECDSA P-256.
	Signer crypto.Signer
	// Identities open the items' bodies; at least one.
	Identities []age.Identity
}

// Format prints whose keys they are and never the keys.
func (k Keys) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "keys of owner %s", k.Owner.Short()) }

// LogValue says whose keys they are and never the keys.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.Owner.String()) }

// Options say for whom a Viewer looks, and where.
type Options struct {
	// HubURL is the hub's address, such as https://hub.example:8443. Plain http is
	// taken for loopback addresses alone.
	HubURL string
	// Hub is the hub's ID if it is known; zero pins the first one seen.
	Hub seal.ID
	// HTTPClient makes the requests; nil is a client of the viewer's own. Its redirect
	// policy is not used: no redirect is followed.
	HTTPClient *http.Client
	// Keys are the owner's.
	Keys Keys
	// State keeps the pins; see OpenState.
	State State
	// Known are ownership records that the owner has from pairing: with them a viewer
	// need not take its cameras from the hub. May be empty.
	Known []*ownership.Ownership
	// Heads are what other members have seen: the hub is held to it.
	Heads []MemberHeads
	// Log gets what a person might look into; nil logs nothing.
	Log *slog.Logger
}

// Viewer looks at one owner's cameras through one hub. One Run or SyncOnce may
// be under way at a time; the accounts (Summary, Withheld, Footage, Cameras) may
// be read at any time.
type Viewer struct {
	keys  Keys
	state State
	log   *slog.Logger
	hub   *client

	running sync.Mutex // held by Run and SyncOnce; guards what follows

	pins      Pins
	policy    seal.Policy
	witness   *witness
	after     uint64              // the last row's cursor
	homes     map[seal.Ref]uint64 // the row in which an item stood, 0 for none
	rows      map[uint64]seal.Ref // the item that stood in a row
	tops      map[seal.Ref]uint64 // the highest number taken of a chain (Seq 0)
	doubts    map[uint64]int      // how often a row was asked for again
	audit     *seal.Audit
	jobs      []job              // what is to be asked for again
	asked     map[seal.Ref]bool  // missing items that were asked for by name
	lost      map[seal.Ref]job   // bodies that could not be had, until the next refresh
	reports   map[seal.Hash]bool // what was queued for report
	stale     bool               // an item named a record that is not known
	refused   map[seal.ID]string // which records were refused and why, as last told
	refreshed time.Time          // when records were last fetched
	missing   []seal.Missing     // as last told
	full      bool               // the last page was full: more may follow at once
	headsMove bool               // pins.Heads changed since they were saved
	emit      func(Event)        // where events go during Run or SyncOnce

	// What findings are concluded from.
	found     map[seal.Hash]bool    // what was told
	forked    map[seal.Ref]bool     // the chains (Seq 0) of which a fork was told
	runs      []run                 // the missing runs that were told
	kept      *keep                 // envelopes, for proofs
	expected  map[seal.Ref]Head     // heads that the hub must fit with
	told      []Head                // those of them that other members told of
	strangers [][]byte              // members' heads whose records are not known yet
	settled   map[seal.Ref]settling // how far a chain (Seq 0) was delivered
	beats     map[seal.Ref]bool     // the chains (Seq 0) that say something every five minutes
	suspects  map[seal.Ref]*suspect // by the last item of a run
	gaps      map[seal.Ref]bool     // gap items that were not opened, or not yet
	unsure    map[uint64]time.Time  // rows of a device or record that is not known: when they came
	arrived   map[seal.ID]time.Time // when an item of a camera came last
	words     []deviceWord          // what the hub says of the cameras
	heard     time.Time             // when it said so
	quiet     map[seal.ID]quiet     // cameras from which nothing comes
	older     map[seal.ID]time.Time // whose newest record was not given: since when
	retention time.Duration         // how long the hub keeps items, by its word; 0 for ever
	tookSome  bool                  // something was taken or explained since holes were noted

	account *account
}

// New returns a Viewer. It reads the pins but does not speak to the hub yet.
func New(o Options) (*Viewer, error) {
	base, err := checkURL(o.HubURL)
	if err != nil {
		return nil, fmt.Errorf("make viewer: hub address %q: %w", o.HubURL, err)
	}
	switch {
	case o.Keys.Owner == seal.ID{}:
		return nil, errors.New("make viewer: no owner ID")
	case o.Keys.Signer == nil:
		return nil, errors.New("make viewer: no key to sign in with")
	case len(o.Keys.Identities) == 0:
		return nil, errors.New("make viewer: no identity: nothing could be opened")
	case o.State == nil:
		return nil, errors.New("make viewer: nowhere to keep the pins")
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	pins, err := o.State.Load()
	if err != nil {
		return nil, fmt.Errorf("make viewer: %w", err)
	}
	if pins.Owner != (seal.ID{}) && pins.Owner != o.Keys.Owner {
		return nil, fmt.Errorf("make viewer: the pins are those of owner %s, not of %s", pins.Owner.Short(), o.Keys.Owner.Short())
	}
	pins.Owner = o.Keys.Owner
	if o.Hub != (seal.ID{}) {
		pins.Hub = o.Hub
	}
	v := &Viewer{
		keys: o.Keys, state: o.State, log: log, hub: newClient(base, o.HTTPClient, o.Keys),
		pins: pins, policy: seal.Policy{Owner: o.Keys.Owner},
		witness: newWitness(o.Keys.Owner), audit: seal.NewAudit(),
		homes: map[seal.Ref]uint64{}, rows: map[uint64]seal.Ref{}, doubts: map[uint64]int{}, tops: map[seal.Ref]uint64{},
		asked: map[seal.Ref]bool{}, lost: map[seal.Ref]job{}, reports: map[seal.Hash]bool{},
		account: newAccount(),
		found:   map[seal.Hash]bool{}, forked: map[seal.Ref]bool{}, kept: newKeep(), expected: map[seal.Ref]Head{}, settled: map[seal.Ref]settling{},
		beats: map[seal.Ref]bool{}, suspects: map[seal.Ref]*suspect{}, gaps: map[seal.Ref]bool{}, unsure: map[uint64]time.Time{},
		arrived: map[seal.ID]time.Time{}, quiet: map[seal.ID]quiet{}, older: map[seal.ID]time.Time{}, tookSome: true,
	}
	for _, m := range o.Heads {
		if m.Owner != o.Keys.Owner {
			return nil, fmt.Errorf("make viewer: the heads are those of owner %s, not of %s", m.Owner.Short(), o.Keys.Owner.Short())
		}
		v.strangers = append(v.strangers, m.Envelopes...)
	}
	v.expectHeads()
	for _, record := range o.Known {
		if err := v.know(record); err != nil {
			return nil, fmt.Errorf("make viewer: %w", err)
		}
	}
	v.policy.Cameras = v.pins.cameras()
	for _, r := range v.pins.Records {
		v.witness.devices[r.Device] = true
		v.account.pinned(r)
	}
	return v, nil
}

// checkURL takes https anywhere and http on loopback.
func checkURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("want https://HOST[:PORT]")
	}
	switch u.Scheme {
	case "https":
		return u, nil
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return u, nil
		}
		return nil, errors.New("plain http is for loopback addresses alone: use https")
	}
	return nil, errors.New("want https://HOST[:PORT]")
}

// Run follows the time line until ctx is done, and returns its error. What
// happens goes to on, which may be nil, one Event at a time and from this
// goroutine. A hub that fails or lies delays Run and does not end it: Trouble
// tells.
func (v *Viewer) Run(ctx context.Context, on func(Event)) error {
	v.begin(on)
	defer v.running.Unlock()
	failed := 0
	for {
		began := time.Now()
		more, err := v.round(ctx, pollWait)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), v.saveHeads())
		}
		if err == nil {
			failed = 0
			pause := time.Duration(0)
			if !more {
				pause = shortestRound - time.Since(began)
			} else if due, ok := v.nextDue(); ok {
				pause = min(time.Until(due), shortestRound)
			}
			if wait.For(ctx, pause) != nil {
				return errors.Join(ctx.Err(), v.saveHeads())
			}
			continue
		}
		failed++
		pause := max(backoff(failed, backoffMost), retryAfter(err))
		v.log.Warn("hub trouble", "err", err, "again_in", pause)
		v.emit(Trouble{Err: err, Retry: pause})
		if wait.For(ctx, pause) != nil {
			return errors.Join(ctx.Err(), v.saveHeads())
		}
	}
}

// SyncOnce reads the time line to its present end, asks again for what was
// answered wrongly, for what is missing by name, and returns when there is
// nothing left to ask. A hub with an endless time line keeps it until ctx is
// done. It fails after several rounds in a row that failed; what was taken until
// then stays. on may be nil.
func (v *Viewer) SyncOnce(ctx context.Context, on func(Event)) error {
	v.begin(on)
	defer v.running.Unlock()
	v.refreshed = time.Time{}
	failed := 0
	for {
		more, err := v.round(ctx, 0)
		switch {
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), v.saveHeads())
		case err == nil && !more:
			return v.saveHeads()
		case err == nil:
			failed = 0
			if due, ok := v.nextDue(); ok && !v.full && wait.For(ctx, time.Until(due)) != nil {
				return errors.Join(ctx.Err(), v.saveHeads())
			}
		default:
			if failed++; failed >= maxTrouble || permanent(err) {
				return errors.Join(err, v.saveHeads())
			}
			pause := max(backoff(failed, backoffMost), retryAfter(err))
			v.emit(Trouble{Err: err, Retry: pause})
			if wait.For(ctx, pause) != nil {
				return errors.Join(ctx.Err(), v.saveHeads())
			}
		}
	}
}

func (v *Viewer) begin(on func(Event)) {
	v.running.Lock()
	v.emit = func(e Event) {
		v.account.note(e)
		if on != nil {
			on(e)
		}
	}
}

// round does once what is to be done: fetch records when it is time, a page of
// the time line, what is due to be asked again, and, once the time line is read
// to its end, what is missing. more says that there is something left.
func (v *Viewer) round(ctx context.Context, wait time.Duration) (more bool, err error) {
	if err := v.signIn(ctx); err != nil {
		return true, err
	}
	if age := time.Since(v.refreshed); age >= refreshEvery || v.stale && age >= staleEvery {
		if err := v.refresh(ctx); err != nil {
			return true, err
		}
	}
	if due, ok := v.nextDue(); ok {
		wait = min(wait, max(0, time.Until(due)))
	}
	rows, err := v.poll(ctx, wait)
	if err != nil {
		return true, err
	}
	for _, r := range rows {
		v.takeRow(r)
		v.after = r.Cursor
	}
	if err := v.runJobs(ctx); err != nil {
		return true, err
	}
	if v.full = len(rows) == pageRows; v.full {
		return true, nil
	}
	v.askMissing()
	v.tellMissing()
	v.examine()
	if len(rows) == 0 {
		if err := v.saveHeads(); err != nil {
			return true, err
		}
	}
	return len(rows) > 0 || len(v.jobs) > 0, nil
}

// poll fetches the rows after the last one. A hub whose end lies before it has
// lost its store: then the time line is read from there.
func (v *Viewer) poll(ctx context.Context, wait time.Duration) ([]row, error) {
	rows, next, err := v.hub.timeline(ctx, v.after, pageRows, wait)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && next < v.after {
		v.log.Warn("the hub's time line begins anew", "after", v.after, "next", next)
		v.after = next
		clear(v.homes)
		clear(v.rows)
		clear(v.doubts)
		return nil, fmt.Errorf("read time line: it ended at %d and now ends at %d: %w", v.after, next, ErrAnswer)
	}
	return rows, nil
}
