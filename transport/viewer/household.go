package viewer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/seal"
)

// maxStatementPages bounds how many answers with statements are read in one look.
const maxStatementPages = 100

// lookAtHousehold looks whether the hub still gives the newest household statement that
// it gave before, and pins a newer one. What the statements say is not the viewer's: a
// keyring follows them.
func (v *Viewer) lookAtHousehold(ctx context.Context) error {
	pinned, after := v.pins.Household, uint64(0)
	if pinned != nil {
		after = pinned.Serial - 1
	}
	newest, found, forked := pinned, pinned == nil, false
	for range maxStatementPages {
		page, err := v.statements(ctx, after)
		switch {
		case err == nil || isStatus(err, http.StatusNotFound): // 404 is a hub without households
		case isTrouble(err):
			return err
		default:
			v.log.Warn("the household's statements", "err", err)
			return nil
		}
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			after = s.Serial
			if pinned != nil && s.Serial == pinned.Serial {
				found, forked = true, s.Hash() != pinned.Hash
				v.judgeStatement(s, *pinned)
			}
			if newest == nil || s.Serial > newest.Serial {
				newest = &PinnedStatement{Serial: s.Serial, Hash: s.Hash()}
			}
		}
	}
	v.judgeHousehold(pinned, found)
	if newest == pinned || !found || forked {
		return nil
	}
	pins := v.pins
	pins.Household = newest
	if err := v.state.Save(pins); err != nil {
		return err
	}
	v.pins, v.headsMove = pins, false
	return nil
}

// statements fetches a page of the household's statements.
func (v *Viewer) statements(ctx context.Context, after uint64) ([]*household.Signed, error) {
	b, err := v.hub.call(ctx, request{
		method: http.MethodGet, path: "/api/v1/household", query: url.Values{"after": {strconv.FormatUint(after, 10)}},
		want: http.StatusOK, limit: maxHousehold,
	})
	if err != nil {
		return nil, fmt.Errorf("fetch household statements: %w", err)
	}
	return parseStatements(b, v.keys.Owner, after)
}

// judgeStatement tells a statement in the place of the pinned one: the root key signed two.
func (v *Viewer) judgeStatement(s *household.Signed, pinned PinnedStatement) {
	if s.Hash() != pinned.Hash {
		v.find(Finding{
			Name: FoundFork, From: s.Serial, To: s.Serial,
			Detail: fmt.Sprintf("statement %d of the household is %s; it was %s before", s.Serial, s.Hash(), pinned.Hash),
		}.with("other-statement", s.Envelope()))
	}
}

// judgeHousehold tells, at the second look, that the pinned statement is not given.
func (v *Viewer) judgeHousehold(pinned *PinnedStatement, found bool) {
	now, nobody := time.Now(), seal.ID{}
	since, known := v.older[nobody]
	switch {
	case found:
		delete(v.older, nobody)
	case !known:
		v.older[nobody] = now
		v.pushOnce(job{kind: jobRecords}, now.Add(staleEvery))
	case now.Sub(since) >= staleEvery:
		v.find(Finding{
			Name: FoundRollBack, From: pinned.Serial, To: pinned.Serial,
			Detail: fmt.Sprintf("it gave statement %d of the household (%s) before, and gives it no more", pinned.Serial, pinned.Hash),
		})
	}
}
