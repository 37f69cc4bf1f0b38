package storm

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Recovery is how a fleet came back, in the simulator's terms. Times are multiples of
// the ideal: devices / admitted connects a second, counted from the hub's return.
type Recovery struct {
	// T50, T99 and T100 are when that share of the devices had been admitted. For a share
	// that was not, it is the time of the end, a lower bound.
	T50  float64 `json:"t50_over_ideal"`
	T99  float64 `json:"t99_over_ideal"`
	T100 float64 `json:"t100_over_ideal"`
	// Back is the share of the devices that had been admitted in the end, Online that of
	// those with a session then.
	Back   float64 `json:"back"`
	Online float64 `json:"online"`
	// Peak is the most connects that began within ten seconds, over what the hub admits in
	// ten. One that began before the hub's return and was still waiting counts from then.
	Peak float64 `json:"peak_10s_over_admit"`
	// Wasted is how many connects after the hub's return came to nothing, a device.
	Wasted float64 `json:"wasted_per_device"`
	// Messages is the most of the backlog's messages that went out within ten seconds, over
	// what the hint's drain allows in ten; 0 without a drain.
	Messages float64 `json:"message_peak_10s_over_drain"`
	// Attempts counts the connects after the hub's return, Vain those before it, to a
	// hub that was dead; Failures those after it that came to nothing, by how.
	Attempts int            `json:"attempts"`
	Vain     int            `json:"attempts_while_dead"`
	Failures map[string]int `json:"failures"`
}

// span is the storm's own times: the hub's death and return, and the end.
type span struct{ died, back, end time.Time }

// tally sums up what a fleet did, whose hub admits so many connects a second and allows
// all devices together so many messages a second, 0 for any number.
func tally(devices []Device, s span, admit, drain float64) Recovery {
	r := Recovery{Failures: map[string]int{}}
	var online, came, sent []time.Duration
	up := 0
	for _, d := range devices {
		first := time.Duration(-1)
		for _, a := range d.Attempts {
			switch {
			case a.Began.Before(s.died):
				continue // of the wave
			case a.Ended.Before(s.back):
				r.Vain++
				continue
			}
			r.Attempts++
			came = append(came, max(0, a.Began.Sub(s.back)))
			if a.Failure != "" {
				r.Failures[a.Failure]++
			} else if first < 0 {
				first = a.Ended.Sub(s.back)
			}
		}
		if first >= 0 {
			online = append(online, first)
		}
		for _, at := range d.Backlog {
			if !at.Before(s.back) {
				sent = append(sent, at.Sub(s.back))
			}
		}
		if d.Online {
			up++
		}
	}
	n := float64(len(devices))
	slices.Sort(online)
	over := func(share float64) float64 {
		at := s.end.Sub(s.back)
		if k := int(math.Ceil(share * n)); k <= len(online) {
			at = online[k-1]
		}
		return at.Seconds() * admit / n
	}
	r.T50, r.T99, r.T100 = over(0.5), over(0.99), over(1)
	r.Peak = float64(busiest(came, 10*time.Second)) / (10 * admit)
	if drain > 0 {
		r.Messages = float64(busiest(sent, 10*time.Second)) / (10 * drain)
	}
	r.Wasted = float64(r.failed()) / n
	r.Back, r.Online = float64(len(online))/n, float64(up)/n
	return r
}

func (r Recovery) failed() (n int) {
	for _, times := range r.Failures {
		n += times
	}
	return n
}

// busiest is the most times that lie within a span.
func busiest(times []time.Duration, span time.Duration) (most int) {
	slices.Sort(times)
	first := 0
	for last, t := range times {
		for t-times[first] >= span {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// admittedRate is how many devices a second a hub admitted that had always more to do:
// over the middle eight tenths, so that neither the start nor the last ones count.
func admittedRate(times []time.Time) float64 {
	slices.SortFunc(times, func(a, b time.Time) int { return cmp.Compare(a.UnixNano(), b.UnixNano()) })
	from, to := len(times)/10, len(times)-1-len(times)/10
	if to <= from {
		return 0
	}
	seconds := times[to].Sub(times[from]).Seconds()
	return float64(to-from) / max(seconds, 1e-3)
}
