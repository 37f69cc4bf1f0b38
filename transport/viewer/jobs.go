package viewer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// maxTries is how often a question is asked again after a wrong answer: at a hub
	// that lies half the time one question in 130,000 is left without its answer.
	maxTries = 16
	// fewTries is the same where another answer is not to be expected.
	fewTries = 3
	// maxJobs bounds what waits to be asked again. What is beyond it is found as
	// missing, and asked for by name.
	maxJobs = 4096
	// maxDoubts bounds how many rows are remembered as having been asked for again.
	maxDoubts = 1 << 16
	// maxNames bounds how many missing items are asked for by name at once.
	maxNames = 64
	// maxAsked bounds how many are asked for by name between two refreshes.
	maxAsked = 4096
	// maxLost bounds how many unavailable items are tried again at a refresh.
	maxLost = 4096
)

// jobKind is what a job asks the hub for.
type jobKind uint8

const (
	jobRow    jobKind = 1 // a row of the time line
	jobItem   jobKind = 2 // an item's bytes
	jobReport jobKind = 3 // to take a report
	// The last two ask for the second of two looks.
	jobRecords jobKind = 4 // for the ownership records
	jobDevices jobKind = 5 // for its word on the cameras
)

// job is one question to the hub that may have to be asked more than once.
type job struct {
	kind  jobKind
	due   time.Time
	tries int

	cursor uint64 // of a row

	ref    seal.Ref  // of an item
	listed bool      // a row promised it, so its hash is known
	hash   seal.Hash // if listed
	size   int       // the longest right answer, in bytes: it bounds the time
	// confirm says that it was denied before.
	confirm bool

	envelope []byte // of a report
	reason   seal.Reason
}

// push queues a job, due now or after its backoff.
func (v *Viewer) push(j job) {
	if len(v.jobs) >= maxJobs && j.kind != jobItem {
		return
	}
	due := time.Now()
	if j.tries > 0 {
		due = due.Add(backoff(j.tries, askAgainMost))
	}
	v.pushAt(j, due)
}

// pushAt queues a job for a time.
func (v *Viewer) pushAt(j job, due time.Time) {
	j.due = due
	v.jobs = append(v.jobs, j)
}

// pushOnce queues a job of which there is to be one at a time.
func (v *Viewer) pushOnce(j job, due time.Time) {
	if !slices.ContainsFunc(v.jobs, func(k job) bool { return k.kind == j.kind }) {
		v.pushAt(j, due)
	}
}

// fetch queues the fetching of an item that a row promised.
func (v *Viewer) fetch(ref seal.Ref, hash seal.Hash, size int) {
	v.push(job{kind: jobItem, ref: ref, listed: true, hash: hash, size: size})
}

// askRow queues a row to be asked for again, at most maxTries times in all.
func (v *Viewer) askRow(cursor uint64) {
	waits := slices.ContainsFunc(v.jobs, func(j job) bool { return j.kind == jobRow && j.cursor == cursor })
	if waits || v.doubts[cursor] >= maxTries || len(v.doubts) >= maxDoubts {
		return
	}
	v.doubts[cursor]++
	v.push(job{kind: jobRow, cursor: cursor, tries: v.doubts[cursor]})
}

// nextDue says when the next job is due, if there is one.
func (v *Viewer) nextDue() (time.Time, bool) {
	if len(v.jobs) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(v.jobs, func(a, b job) int { return a.due.Compare(b.due) }).due, true
}

// runJobs asks all that is due, in the order in which it came up. It stops at
// the first sign that the hub as a whole may be in trouble; the rest stays
// queued, and the next poll tells whether it is. The error is one to wait for.
func (v *Viewer) runJobs(ctx context.Context) error {
	now := time.Now()
	var run, keep []job
	for _, j := range v.jobs {
		if j.due.After(now) {
			keep = append(keep, j)
		} else {
			run = append(run, j)
		}
	}
	v.jobs = keep
	defer func() { v.account.waiting(len(v.jobs)) }()
	for i, j := range run {
		again, err := v.runJob(ctx, j)
		if ctx.Err() != nil {
			v.jobs = append(v.jobs, run[i:]...)
			return ctx.Err()
		}
		trouble := err != nil && isTrouble(err)
		if again || trouble && j.tries < maxTries {
			j.tries++
			v.push(j) // behind the others, so that one bad question stops none of them
		} else if err != nil {
			v.giveUp(j, err)
		}
		if trouble {
			v.log.Warn("a question failed", "err", err)
			v.jobs = append(v.jobs, run[i+1:]...)
			if retryAfter(err) > 0 {
				return err
			}
			return nil
		}
	}
	return nil
}

// runJob asks once. again asks for another try; an error without it gives the
// job up, unless it is trouble.
func (v *Viewer) runJob(ctx context.Context, j job) (again bool, err error) {
	switch j.kind {
	case jobRow:
		rows, _, err := v.hub.timeline(ctx, j.cursor-1, 1, 0)
		if err != nil {
			return j.tries < fewTries, err
		}
		if len(rows) > 0 && rows[0].Cursor == j.cursor { // else the row is gone
			v.takeRow(rows[0])
		}
		return false, nil
	case jobReport:
		err := v.hub.report(ctx, j.envelope, j.reason)
		if err == nil {
			v.account.add(&v.account.sum.Reported)
		}
		return err != nil && j.tries < fewTries, err
	case jobRecords:
		return false, v.refresh(ctx)
	case jobDevices:
		return false, v.hear(ctx)
	default:
		return v.runItem(ctx, j)
	}
}

func (v *Viewer) runItem(ctx context.Context, j job) (again bool, err error) {
	b, err := v.hub.item(ctx, j.ref, j.size)
	switch {
	case errors.Is(err, ErrAnswer): // larger than any item
		v.withhold(&seal.Error{Reason: seal.ReasonTooLarge, Detail: err.Error()}, Withheld{Asked: &j.ref}, nil)
		return j.tries < maxTries, err
	case err != nil:
		if isStatus(err, http.StatusNotFound) {
			v.denied(j)
		}
		return j.listed && j.tries < fewTries, err
	}
	again, err = v.takeBody(b, j)
	if err != nil && !again {
		v.denied(j)
	}
	return again, err
}

// denied notes that an item that was asked for once more was not given.
func (v *Viewer) denied(j job) {
	if s := v.suspects[j.ref]; s != nil && j.confirm {
		s.denied = true
	}
}

// isTrouble says that the hub as a whole cannot be used just now. An answer
// that says no, or makes no sense, concerns one question alone.
func isTrouble(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusUnauthorized || status.Status == http.StatusTooManyRequests
	}
	return !errors.Is(err, ErrAnswer) && seal.ReasonOf(err) == ""
}

// giveUp leaves a question without its answer. A listed item is asked for again
// after the next refresh; one asked for by name stays missing.
func (v *Viewer) giveUp(j job, err error) {
	if j.kind != jobItem {
		v.log.Warn("question given up", "cursor", j.cursor, "err", err)
		return
	}
	if !j.listed {
		return
	}
	if isStatus(err, http.StatusNotFound) {
		if !j.confirm {
			j.confirm, j.tries = true, 0
			v.pushAt(j, time.Now().Add(confirmAfter))
			return
		}
		v.listedOnly(j)
	}
	v.log.Warn("item unavailable", "ref", j.ref.String(), "err", err)
	if len(v.lost) < maxLost {
		v.lost[j.ref] = j
	}
	v.emit(Unavailable{Ref: j.ref, Hash: j.hash, Err: err})
}

// listedOnly tells of an item that a row promised and that is not given.
func (v *Viewer) listedOnly(j job) {
	if h, ok := v.kept.header(j.ref); v.retention > 0 && (!ok || !v.keeps(h)) {
		return
	}
	v.find(Finding{Name: FoundDropped, Detail: "the hub lists the item, and says that it is not there"}.at(j.ref).with("asked", v.kept.envelope(j.ref)))
}

// secondChance lets what could not be had be asked for again: the newest rows
// that never gave an item, and all bodies.
func (v *Viewer) secondChance() {
	clear(v.asked)
	cursors := slices.Sorted(maps.Keys(v.doubts))
	clear(v.doubts)
	for i, cursor := range slices.Backward(cursors) {
		if _, settled := v.rows[cursor]; !settled && len(cursors)-i <= maxNames {
			v.askRow(cursor)
		}
	}
	for ref, j := range v.lost {
		j.tries, j.confirm = 0, false
		v.push(j)
		delete(v.lost, ref)
	}
}

// askMissing asks by name for what nobody explained, newest first.
func (v *Viewer) askMissing() {
	room := min(maxNames, maxAsked-len(v.asked))
	for _, j := range v.jobs {
		if j.kind == jobRow {
			return // a row that was swapped may yet give it
		}
		if j.kind == jobItem && !j.listed {
			room--
		}
	}
	for _, m := range slices.Backward(v.allMissing()) {
		if m.Dropped {
			continue
		}
		for seq := m.To; seq >= m.From && room > 0; seq-- {
			ref := seal.Ref{Device: m.Device, Epoch: m.Epoch, Chain: m.Chain, Seq: seq}
			if v.asked[ref] {
				continue
			}
			v.asked[ref] = true
			room--
			v.push(job{kind: jobItem, ref: ref, size: seal.MaxItem})
		}
	}
}

// allMissing is what the audit misses, and what lies between its end of a chain
// and the head that was seen in an earlier run.
func (v *Viewer) allMissing() []seal.Missing {
	out := v.audit.Missing()
	for _, h := range v.knownHeads() {
		if _, mine := v.policy.Cameras[h.Device]; !mine {
			continue
		}
		top := v.tops[seal.Ref{Device: h.Device, Epoch: h.Epoch, Chain: h.Chain}]
		for _, m := range out {
			if m.Device == h.Device && m.Epoch == h.Epoch && m.Chain == h.Chain {
				top = max(top, m.To)
			}
		}
		if top < h.Seq {
			out = append(out, seal.Missing{Device: h.Device, Epoch: h.Epoch, Chain: h.Chain, From: top + 1, To: h.Seq})
		}
	}
	return out
}

// tellMissing tells what is missing when that changed.
func (v *Viewer) tellMissing() {
	now := v.allMissing()
	if slices.Equal(now, v.missing) {
		return
	}
	v.missing = now
	v.emit(Missing{Ranges: slices.Clone(now)})
}
