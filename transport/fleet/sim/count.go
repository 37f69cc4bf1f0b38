package sim

import (
	"math"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// Series is what was counted second by second, since the server's first death.
type Series struct {
	// Attempts are connects that were begun. Messages came from backlogs. Fetches are
	// questions for a hint, asked elsewhere than at the hub.
	Attempts, Messages, Fetches []uint32
	// Online is how many devices had a session at the end of the second.
	Online []uint32
	// Return is when the server returned for good, in seconds.
	Return int
}

// group counts a part of the fleet.
type group struct {
	size, online  int
	t50, t99, all tick // when so many were back; 0 is never
}

func (g *group) admit(now tick) {
	g.online++
	mark := func(at *tick, share float64) {
		if *at == 0 && float64(g.online) >= share*float64(g.size) {
			*at = now
		}
	}
	mark(&g.t50, 0.5)
	mark(&g.t99, 0.99)
	mark(&g.all, 1)
}

func (g *group) died() { g.online, g.t50, g.t99, g.all = 0, 0, 0, 0 }

// count is what a run has counted.
type count struct {
	series Series
	whole  group
	rivals group // the part with rivals' rules
	ours   group
	back   tick // when the server returned last

	dead, live, fetches int // connects to a dead and to a live server; fetches while it lives
	admitted            int
}

func newCount(c Config, rivals int) count {
	seconds := int((c.Outage+c.flakyTime()+c.Limit)/time.Second) + 2
	return count{
		whole: group{size: c.Devices}, rivals: group{size: rivals}, ours: group{size: c.Devices - rivals},
		series: Series{
			Attempts: make([]uint32, seconds), Messages: make([]uint32, seconds),
			Fetches: make([]uint32, seconds), Online: make([]uint32, 0, seconds),
		},
	}
}

func inc(seconds []uint32, at time.Duration) {
	if i := int(at / time.Second); i < len(seconds) {
		seconds[i]++
	}
}

func (n *count) died(now tick) {
	clear(n.series.Messages[int(now.time()/time.Second)+1:]) // nobody sends any more
	n.whole.died()
	n.rivals.died()
	n.ours.died()
}

func (n *count) returned(now tick) { n.back, n.series.Return = now, int(now.time()/time.Second) }

func (n *count) second() { n.series.Online = append(n.series.Online, uint32(n.whole.online)) }

func (n *count) attempt(now tick, alive bool) {
	inc(n.series.Attempts, now.time())
	if alive {
		n.live++
	} else {
		n.dead++
	}
}

func (n *count) fetched(now tick, alive bool) {
	inc(n.series.Fetches, now.time())
	if alive {
		n.fetches++
	}
}

func (n *count) admit(now tick, rival bool) {
	n.admitted++
	n.whole.admit(now)
	if rival {
		n.rivals.admit(now)
	} else {
		n.ours.admit(now)
	}
}

// backlog is what a device sends after its connect: one message each 1/drain seconds, the
// first after a share of that; all at once with a drain of 0.
func (n *count) backlog(now tick, drain, share float64) {
	if drain == 0 {
		if i := int(now.time() / time.Second); i < len(n.series.Messages) {
			n.series.Messages[i] += Items
		}
		return
	}
	every := float64(time.Second) / drain
	for i := range Items {
		inc(n.series.Messages, now.time()+time.Duration(every*(float64(i)+share)))
	}
}

// peak is the largest sum of so many seconds that follow one another, a second.
func peak(seconds []uint32, width int) float64 {
	var sum, most uint64
	for i, k := range seconds {
		sum += uint64(k)
		if i >= width {
			sum -= uint64(seconds[i-width])
		}
		most = max(most, sum)
	}
	return float64(most) / float64(width)
}

// Times are when shares of a group of devices were back, after the server's last return, in
// multiples of the ideal. For a share that was not back at the end it is the time of the
// end, a lower bound.
type Times struct {
	T50  float64 `json:"t50_over_ideal"`
	T99  float64 `json:"t99_over_ideal"`
	T100 float64 `json:"t100_over_ideal"`
}

// Result is what a run gave. Ideal is N/C from the server's last return: the time in which
// a server that is never idle lets everyone in.
type Result struct {
	Times
	// Peak10 is the most attempts in ten seconds after the server's last return, over what
	// it admits in ten.
	Peak10 float64 `json:"peak_10s_over_admit"`
	// Wasted is how many attempts a device made, on average, to a live server that did
	// not let it in.
	Wasted float64 `json:"wasted_per_device"`
	// Online is the share of the devices that had a session at the end.
	Online float64 `json:"online"`

	// Peak1 is the most attempts in one second after the return.
	Peak1 float64 `json:"peak_attempts_per_s"`
	// DeadPeak10 is as Peak10, for the time before that.
	DeadPeak10 float64 `json:"dead_peak_10s_over_admit"`
	// Dead is how many attempts a device made while the server was dead.
	Dead float64 `json:"dead_attempts_per_device"`
	// MessagePeak10 is the most backlog messages in ten seconds, over the hinted drain of
	// the fleet, or without hints over what the hub would take.
	MessagePeak10 float64 `json:"message_peak_10s_over_drain"`
	// Fetches is how many hints a device fetched while the server was alive; FetchPeak
	// the most in ten seconds, a second.
	Fetches   float64 `json:"fetches_per_device"`
	FetchPeak float64 `json:"fetch_peak_10s_per_s"`
	// HintOverRight is the hub's last window over the right one; 0 without hints.
	HintOverRight float64 `json:"hint_over_right"`
	// Ours and Rivals are the parts of a mixed fleet, in multiples of the same ideal.
	Ours   *Times `json:"ours,omitempty"`
	Rivals *Times `json:"rivals,omitempty"`

	Series Series `json:"-"`
}

func (f *fleet) result() *Result {
	n, devices, ideal := &f.count, float64(f.c.Devices), f.c.Ideal()
	before, since := n.series.Attempts[:n.series.Return], n.series.Attempts[n.series.Return:]
	times := func(g group) Times {
		over := func(at tick) float64 {
			if at == 0 {
				at = f.now
			}
			return float64((at - n.back).time()) / float64(ideal)
		}
		return Times{over(g.t50), over(g.t99), over(g.all)}
	}
	drain := f.c.Drain
	if f.hub != nil { // a hint cannot say just any
		drain = f.hub.current.hint.Drain * devices
	}
	r := &Result{
		Times:  times(n.whole),
		Peak10: peak(since, 10) / f.c.Admit,
		Wasted: float64(n.live-n.admitted) / devices,
		Online: float64(n.whole.online) / devices,

		Peak1:         peak(since, 1),
		DeadPeak10:    peak(before, 10) / f.c.Admit,
		Dead:          float64(n.dead) / devices,
		MessagePeak10: peak(n.series.Messages, 10) / drain,
		Fetches:       float64(n.fetches) / devices,
		FetchPeak:     peak(n.series.Fetches, 10),
		Series:        n.series,
	}
	if f.hub != nil {
		right := min(max(ideal.Seconds()/recovery.Margin, recovery.MinWindow.Seconds()), recovery.MaxWindow.Seconds())
		r.HintOverRight = f.hub.admission.Hint(0).Window.Seconds() / right
	}
	if f.c.Mix > 0 {
		ours, rivals := times(n.ours), times(n.rivals)
		r.Ours, r.Rivals = &ours, &rivals
	}
	round(r)
	return r
}

// round keeps four digits after the point of what people read.
func round(r *Result) {
	all := []*float64{
		&r.T50, &r.T99, &r.T100, &r.Peak10, &r.Wasted, &r.Online, &r.Peak1, &r.DeadPeak10, &r.Dead,
		&r.MessagePeak10, &r.Fetches, &r.FetchPeak, &r.HintOverRight,
	}
	for _, t := range []*Times{r.Ours, r.Rivals} {
		if t != nil {
			all = append(all, &t.T50, &t.T99, &t.T100)
		}
	}
	for _, f := range all {
		*f = math.Round(*f*1e4) / 1e4
	}
}
