package storm

import (
	"errors"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
)

// at is a moment of a made-up storm, in seconds after the hub's return.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// tries makes attempts of pairs of seconds; all but the last fail.
func tries(seconds ...float64) (out []Attempt) {
	for i := 0; i < len(seconds); i += 2 {
		out = append(out, Attempt{Began: at(seconds[i]), Ended: at(seconds[i+1]), Failure: "stalled"})
	}
	out[len(out)-1].Failure = ""
	return out
}

func TestTally(t *testing.T) {
	devices := []Device{
		{Attempts: tries(-100, -99, -1, -0.9, 1, 2), Online: true},                        // the wave's, to the dead hub, the return
		{Attempts: tries(-0.5, 4), Online: true},                                          // was waiting when the hub came
		{Attempts: tries(3, 5, 6, 8), Backlog: []time.Time{at(-3), at(6), at(7), at(18)}}, // stalled once, admitted, and gone again
		{Attempts: tries(9, 9.5, 10, 12, 13, 14)[:2]},                                     // never admitted
	}
	devices[0].Attempts[1].Failure = "dead"
	got := tally(devices, span{died: at(-10), back: at(0), end: at(20)}, 2, 0.1)
	want := Recovery{
		T50: 2, T99: 10, T100: 10, // 4 s of an ideal of 2; the end of 20 s
		Back: 0.75, Online: 0.5,
		Peak:     5.0 / 20, // 0, 1, 3, 6 and 9 s lie within ten seconds, 10 s does not
		Messages: 2,        // of the 1 that is allowed
		Wasted:   3.0 / 4, Attempts: 6, Vain: 1,
		Failures: map[string]int{"stalled": 3},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("tally is\n%+v, want\n%+v", got, want)
	}
}

func TestAdmittedRate(t *testing.T) {
	var times []time.Time
	for i := range 100 {
		times = append(times, at(float64(i)/50))
	}
	times[0], times[99] = at(-1000), at(1000) // the first and the last ones say nothing
	if got := admittedRate(times); got < 49 || got > 51 {
		t.Errorf("50 a second count as %v", got)
	}
	if got := admittedRate(times[:1]); got != 0 {
		t.Errorf("one device alone has the rate %v", got)
	}
}

func TestStock(t *testing.T) {
	item := func(device, seq byte) Item {
		return Item{Ref: seal.Ref{Device: seal.ID{device}, Epoch: 1, Chain: 1, Seq: uint64(seq)}, Hash: seal.Hash{device, seq}}
	}
	held := func(it Item) holding { return holding{it.Ref, it.Hash} }
	left := item(1, 2)
	left.Left = true
	forged := item(2, 3)
	forged.Hash = seal.Hash{9}
	devices := []Device{
		{Items: []Item{item(1, 1), left}, Delivery: transport.Stats{Resent: 2}},
		{Items: []Item{item(2, 1), item(2, 2), item(2, 3)}, Delivery: transport.Stats{Resent: 1}},
	}
	rows := []holding{
		held(item(1, 1)), held(item(2, 1)),
		held(item(2, 1)), // twice
		held(forged),     // in place of one that is nowhere
		held(item(3, 1)), // nobody's
	}
	want := Stock{Sealed: 5, Stored: 5, Left: 1, Lost: 2, Twice: 1, Strange: 2, Resent: 3}
	if got := take(devices, rows); got != want {
		t.Errorf("stock is %+v, want %+v", got, want)
	}
	r := Report{Stock: want, Seen: &Seen{Misdelivered: 5, Withheld: 5, Strangers: 2, Reported: 1}}
	if err := r.Faults(); err == nil {
		t.Error("a storm that lost items has no fault")
	} else if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("faults are %v, want four", err)
	}
	r = Report{Stock: Stock{Sealed: 5, Stored: 4, Left: 1}, Seen: &Seen{Misdelivered: 5, Withheld: 5}}
	if err := r.Faults(); err != nil {
		t.Errorf("a storm without a fault has %v", err)
	}
}

func TestLogbook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logbook
		connect := func(end func()) {
			l.begin()
			time.Sleep(time.Second)
			end()
		}
		connect(func() { l.failed(syscall.ECONNREFUSED) })
		connect(l.admitted)
		if !l.isOnline() {
			t.Error("not online after the hub admitted the device")
		}
		l.failed(errors.New("the session's end")) // is no failed connect
		l.ended()
		connect(func() {}) // and nothing more is heard of it
		connect(func() { l.failed(syscall.ECONNRESET) })
		l.admitted() // a late word
		var got []string
		attempts, _ := l.all()
		for _, a := range attempts {
			if a.Ended.Sub(a.Began) != time.Second {
				t.Errorf("%+v took %v", a, a.Ended.Sub(a.Began))
			}
			got = append(got, a.Failure)
		}
		if want := []string{"dead", "", "timed out", "refused"}; !reflect.DeepEqual(got, want) {
			t.Errorf("attempts are %q, want %q", got, want)
		}
	})
}
