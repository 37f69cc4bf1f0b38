package sim

import (
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// publishEvery is how often the hub says a new hint, in seconds, and how old the copy that
// a CDN hands out can be.
const publishEvery = 15

// hub is the server's mind: what it has measured, and the hint that it has published.
type hub struct {
	admission *recovery.Admission
	current   published // in the hub
	cdn       published // the copy that devices can fetch
	age       int       // seconds since the hub started
	admitted  int       // since the last sample
}

// published is a hint with the time at which it was issued.
type published struct {
	hint   recovery.Hint
	issued tick
}

// newHub gives a hub that has been there for long, as the hint has it. Nil is one that
// says nothing.
func newHub(c Config) *hub {
	factor, ok := c.Hint.factor()
	if !ok {
		return nil
	}
	h := &hub{admission: recovery.NewAdmission(recovery.AdmissionSettings{Rate: c.Admit / factor, Drain: c.Drain})}
	h.admission.Observe(time.Second, recovery.Sample{Fleet: c.Devices, Online: c.Devices})
	h.current.hint = h.admission.Hint(1)
	h.cdn = h.current
	return h
}

// second measures, and publishes when it is time.
func (h *hub) second(now tick, s recovery.Sample) {
	h.admission.Observe(time.Second, s)
	h.age++
	switch h.age % publishEvery {
	case 1:
		h.current = published{h.admission.Hint(h.current.hint.Serial + 1), now}
	case 1 + publishEvery/2:
		h.cdn = h.current
	}
}
