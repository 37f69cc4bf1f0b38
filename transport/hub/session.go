package hub

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

const (
	challengeLifetime = time.Minute
	sessionLifetime   = 12 * time.Hour
	maxChallenges     = 4096
	maxSessions       = 4096
	maxViewerSessions = 16
	reportRate        = 200  // a second, for one session
	reportBurst       = 2000 // at once
	writeRate         = 20   // a second, for one session
	writeBurst        = 1000 // at once
)

// session is a viewer that has signed in.
type session struct {
	owner   seal.ID
	viewer  seal.ID // of the viewer's key
	spki    []byte
	expires time.Time
	reports *rate.Limiter
	writes  *rate.Limiter // of statements, cards, boxes and letters

	token [sha256.Size]byte // the token's hash: the token itself is not kept
}

// sessions are the challenges that are open and the viewers that have signed in.
// They are in memory only: after a restart viewers sign in again.
type sessions struct {
	mu         sync.Mutex
	challenges map[signin.Nonce]time.Time // until when
	order      []signin.Nonce             // oldest first; spent ones stay until they are due
	byToken    map[[sha256.Size]byte]*session
	oldest     []*session // oldest first
}

func newSessions() *sessions {
	return &sessions{
		challenges: make(map[signin.Nonce]time.Time),
		byToken:    make(map[[sha256.Size]byte]*session),
	}
}

// challenge gives a nonce that is good once, for a minute. The oldest goes when
// there are too many.
func (s *sessions) challenge(now time.Time) (signin.Nonce, error) {
	var n signin.Nonce
	if _, err := rand.Read(n[:]); err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 {
		first := s.order[0]
		if until, open := s.challenges[first]; open && now.Before(until) && len(s.order) < maxChallenges {
			break
		}
		delete(s.challenges, first)
		s.order = s.order[1:]
	}
	s.challenges[n] = now.Add(challengeLifetime)
	s.order = append(s.order, n)
	return n, nil
}

// spend says whether a nonce is open, and closes it.
func (s *sessions) spend(n signin.Nonce, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, open := s.challenges[n]
	delete(s.challenges, n)
	return open && now.Before(until)
}

// open begins a session and returns its token.
func (s *sessions) open(owner, viewer seal.ID, spki []byte, now, until time.Time) (string, *session, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", nil, err
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	n := &session{
		owner: owner, viewer: viewer, spki: spki, expires: now.Add(sessionLifetime),
		reports: rate.NewLimiter(reportRate, reportBurst), writes: rate.NewLimiter(writeRate, writeBurst),
		token: sha256.Sum256([]byte(token)),
	}
	if !until.IsZero() && until.Before(n.expires) {
		n.expires = until
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(o *session) bool { return !now.Before(o.expires) })
	ofViewer := 0
	for _, o := range s.oldest {
		if o.viewer == viewer {
			ofViewer++
		}
	}
	crowded := len(s.oldest) >= maxSessions
	s.dropFirst(func(o *session) bool {
		return ofViewer >= maxViewerSessions && o.viewer == viewer || ofViewer < maxViewerSessions && crowded
	})
	s.byToken[n.token] = n
	s.oldest = append(s.oldest, n)
	return token, n, nil
}

// find is the session with this token, or nil.
func (s *sessions) find(token string, now time.Time) *session {
	h := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byToken[h]
	if n == nil || !now.Before(n.expires) {
		return nil
	}
	return n
}

// listed says whether anybody has signed in for this owner by being listed in a
// record, and not with the owner's own key.
func (s *sessions) listed(owner seal.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.oldest, func(n *session) bool { return n.owner == owner && n.viewer != owner })
}

// review ends the sessions of an owner whose viewers may no longer look.
func (s *sessions) review(owner seal.ID, may func(*session) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(n *session) bool { return n.owner == owner && !may(n) })
}

// endAll ends all sessions.
func (s *sessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(*session) bool { return true })
}

// count is how many sessions there are.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.oldest)
}

// drop ends all sessions that match. The lock is held.
func (s *sessions) drop(match func(*session) bool) {
	s.oldest = slices.DeleteFunc(s.oldest, func(n *session) bool {
		if !match(n) {
			return false
		}
		delete(s.byToken, n.token)
		return true
	})
}

// dropFirst ends the oldest session that matches. The lock is held.
func (s *sessions) dropFirst(match func(*session) bool) {
	if i := slices.IndexFunc(s.oldest, match); i >= 0 {
		delete(s.byToken, s.oldest[i].token)
		s.oldest = slices.Delete(s.oldest, i, i+1)
	}
}

// rights says whether a key may see an owner's items at the time given, and until
// when, the zero time for without end. records are the owner's; only one that is
// its device's newest counts.
func rights(owner seal.ID, spki []byte, records []store.OwnerRecord, now time.Time) (until time.Time, may bool) {
	if seal.KeyID(spki) == owner {
		return time.Time{}, true
	}
	for _, r := range records {
		if !r.Newest || !r.Record.MayView(spki, now) {
			continue
		}
		for _, v := range r.Record.Viewers {
			if !slices.Equal(v.Key, spki) {
				continue
			}
			if v.Until == 0 {
				return time.Time{}, true
			}
			if end := time.UnixMilli(v.Until); end.After(until) {
				until = end
			}
			may = true
		}
	}
	return until, may
}
