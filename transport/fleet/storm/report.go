package storm

import (
	"errors"
	"fmt"
	"math"
)

// Report is what a storm came to. Times are in seconds.
type Report struct {
	Policy    Policy  `json:"policy"`
	Hint      Advice  `json:"hint"`
	Devices   int     `json:"devices"`
	Processes int     `json:"processes"`
	Items     int     `json:"items"`
	Outage    float64 `json:"outage_s"`
	// Admit is the connects a second that count as the hub's rate, Ideal the time that
	// the fleet takes at it.
	Admit float64 `json:"admit_per_s"`
	Ideal float64 `json:"ideal_s"`
	// HintWindow is the window that the hint named when the hub died, 0 without a hint.
	HintWindow float64 `json:"hint_window_s"`
	Recovery
	// Drained is how long after the hub's return every spool was empty; 0 if that did not
	// happen.
	Drained float64 `json:"drained_s"`
	Stock
	// CPUConnect is the hub's CPU time for a connect with what follows each at once,
	// measured in the wave; CPUDevice that for a device in the storm, with all that it sent.
	CPUConnect float64 `json:"hub_cpu_ms_per_connect"`
	CPUDevice  float64 `json:"hub_cpu_ms_per_device"`
	// SessionKiB is the workers' memory for one device with its session and spool, their
	// programs included, and HubSessionKiB the hub's for one session.
	SessionKiB    float64 `json:"worker_kib_per_device"`
	HubSessionKiB float64 `json:"hub_kib_per_session"`
	// Seen is what owners saw, where some looked.
	Seen *Seen `json:"viewers,omitempty"`
}

// Faults says what must never be and was; nil if nothing.
func (r *Report) Faults() error {
	var errs []error
	never := func(n int, what string) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("%d %s", n, what))
		}
	}
	never(r.Lost, "items were lost")
	never(r.Twice, "items are in the hub twice")
	never(r.Strange, "items in the hub are not those that were sealed")
	if s := r.Seen; s != nil {
		never(s.WronglyShown, "items were shown that should not have been")
		if s.Complete == s.Owners { // the others were interrupted
			never(s.Misdelivered-s.Withheld, "wrong answers were not withheld")
			never(s.Strangers-s.Reported, "misdelivered headers were not reported")
		}
	}
	return errors.Join(errs...)
}

// round keeps four digits after the point of what people read.
func (r *Report) round() {
	for _, v := range []*float64{
		&r.Outage, &r.Admit, &r.Ideal, &r.HintWindow, &r.T50, &r.T99, &r.T100, &r.Back, &r.Online, &r.Peak, &r.Wasted,
		&r.Messages, &r.Drained, &r.CPUConnect, &r.CPUDevice, &r.SessionKiB, &r.HubSessionKiB,
	} {
		*v = math.Round(*v*1e4) / 1e4
	}
}
