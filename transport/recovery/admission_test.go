package recovery

import (
	"math"
	"testing"
	"time"
)

const fleetSize = 100_000

// busyHub is seconds of a hub that can admit 500 a second and is asked for so many.
func busyHub(a *Admission, seconds int, asked float64) {
	const can = 500
	for range seconds {
		admitted := min(asked, can)
		a.Observe(time.Second, Sample{
			Admitted: int(admitted), Refused: int(max(0, asked-can)), Busy: admitted / can, Fleet: fleetSize,
		})
	}
}

// Whatever a hub believed, it finds out what it can admit, from too much to do and from
// too little.
func TestAdmissionConverges(t *testing.T) {
	for _, guess := range []float64{1, 125, 500, 2000, 1e6} {
		for _, asked := range []float64{100, 460, 5000} {
			if guess > 500 && asked < 450 {
				continue // nothing shows that the guess is too high
			}
			a := NewAdmission(AdmissionSettings{Rate: guess})
			busyHub(a, 120, asked)
			if r := a.Rate(); r < 475 || r > 525 {
				t.Errorf("a guess of %v, asked for %v a second: %v, want 500", guess, asked, r)
			}
		}
	}
}

// Quiet hours, and hours of other work, say nothing.
func TestAdmissionKeepsWhatItKnows(t *testing.T) {
	a := NewAdmission(AdmissionSettings{Rate: 500})
	for range 3600 {
		a.Observe(time.Second, Sample{Admitted: 3, Busy: 0.6, Fleet: fleetSize, Online: fleetSize})
		a.Observe(time.Second, Sample{Fleet: fleetSize, Online: fleetSize})
		a.Observe(time.Second, Sample{Admitted: 9, Busy: 0.001, Fleet: fleetSize, Online: fleetSize})
	}
	if r := a.Rate(); r != 500 {
		t.Errorf("after quiet hours the estimate is %v", r)
	}
}

// A hub that has collapsed under its load asks for time, but not for ever.
func TestAdmissionInACollapse(t *testing.T) {
	a := NewAdmission(AdmissionSettings{Rate: 2000})
	busyHub(a, 30, 500)
	for range 600 {
		a.Observe(time.Second, Sample{Busy: 1, Fleet: fleetSize})
	}
	if r := a.Rate(); r < 100 || r > 130 {
		t.Errorf("the estimate is %v, want a quarter of what was seen", r)
	}
}

func TestAdmissionHint(t *testing.T) {
	a := NewAdmission(AdmissionSettings{Rate: 500, Drain: 2000})
	a.Observe(time.Second, Sample{Fleet: fleetSize, Online: fleetSize * 3 / 4})
	h, whole := a.Hint(7), fleetSize/(Margin*500)
	if h.Serial != 7 || math.Abs(h.Window.Seconds()-whole) > 0.01 || math.Abs(h.Current.Seconds()-whole/4) > 0.01 || h.Drain != 0.02 {
		t.Errorf("%+v", h)
	}
	a.Observe(time.Second, Sample{Fleet: fleetSize, Online: fleetSize + 5})
	if h := a.Hint(8); h.Current != MinWindow {
		t.Errorf("in a calm fleet %+v", h)
	}
	a.Observe(time.Second, Sample{Fleet: 1e9})
	if h := a.Hint(9); h.Window != MaxWindow || h.Current != MaxWindow {
		t.Errorf("in a fleet that is too large %+v", h)
	}
}

// Nonsense in is no nonsense out.
func TestAdmissionOfNonsense(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		a := NewAdmission(AdmissionSettings{Rate: rate, Drain: math.NaN()})
		for _, s := range []Sample{
			{Admitted: -5, Refused: -5, Busy: math.NaN(), Fleet: -1, Online: -7},
			{Admitted: math.MaxInt32, Busy: -3, Fleet: math.MaxInt32},
			{Admitted: 100, Busy: math.Inf(1)},
		} {
			for _, d := range []time.Duration{-time.Second, 0, 1, time.Second, math.MaxInt64} {
				a.Observe(d, s)
				h := a.Hint(1)
				if !(a.Rate() > 0) || math.IsInf(a.Rate(), 1) || h != h.Clamp() {
					t.Fatalf("rate %v, %+v, %v: %v, %+v", rate, s, d, a.Rate(), h)
				}
			}
		}
	}
}
