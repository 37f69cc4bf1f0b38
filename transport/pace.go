package transport

import (
	"math/rand/v2"
	"time"
)

// longestPause is the slowest pace: a rate near nothing still moves.
const longestPause = time.Hour

// pace spreads the backlog: after an item of n bytes, the next may go max(1/items,
// 1/drain, n/bytes) seconds later. There is no burst.
type pace struct {
	items, bytes float64 // a second, as set; 0 is no limit
	drain        float64 // items a second, as the hub said; 0 is no limit
	told         bool    // the hub said so
	next         time.Time
}

// ready says whether something may go now.
func (p *pace) ready(now time.Time) bool { return !now.Before(p.next) }

// sent notes that size bytes went.
func (p *pace) sent(now time.Time, size int64) {
	p.next = now.Add(max(interval(p.items, 1), interval(p.drain, 1), interval(p.bytes, float64(size))))
}

// hinted takes what the hub says of the rate. The first item after it goes at a moment
// that is drawn from the interval: a fleet that hears of a rate does not begin at once.
func (p *pace) hinted(now time.Time, drain float64) {
	if p.told && p.drain == drain {
		return
	}
	p.told, p.drain = true, drain
	p.next = now.Add(rand.N(interval(drain, 1) + 1))
}

// interval is how long n take at a rate.
func interval(rate, n float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(min(n/rate, longestPause.Seconds()) * float64(time.Second))
}
