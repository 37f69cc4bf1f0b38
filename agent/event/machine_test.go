package event_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/event"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tick is the frame interval of the scripts in these tests.
const tick = 500 * time.Millisecond

// run feeds a script, one character a frame, one frame each half second, and
// writes down what came of it, in seconds since the start of the script:
//
//	.  still     m  motion (score 0.1)     M  more motion (score 0.5)
//	c  still, and the camera is covered     k  motion, and it is knocked
//	|  the frames end (Stop)
//	<  the clock is set back by 10 s      >  and forward by 10 s
func run(t *testing.T, s event.Settings, script string) []string {
	t.Helper()
	m, err := event.New(s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	note := func(transitions []event.Transition) {
		for _, tr := range transitions {
			got = append(got, describe(tr))
		}
	}
	at := epoch
	for _, c := range script {
		switch c {
		case '.':
			note(m.Feed(at, false, 0))
		case 'm':
			note(m.Feed(at, true, 0.1))
		case 'M':
			note(m.Feed(at, true, 0.5))
		case 'c':
			note(m.Feed(at, false, 0))
			note(m.Tamper(at, event.CauseCovered, 0))
		case 'k':
			note(m.Feed(at, true, 0.1))
			note(m.Tamper(at, event.CauseMoved, 0.1))
		case '|':
			note(m.Stop())
			continue
		case '<':
			at = at.Add(-10 * time.Second)
			continue
		case '>':
			at = at.Add(10 * time.Second)
			continue
		}
		at = at.Add(tick)
	}
	return got
}

func describe(tr event.Transition) string {
	since := func(at time.Time) float64 { return at.Sub(epoch).Seconds() }
	e := tr.Event
	text := fmt.Sprintf("%v %g", tr.Kind, since(e.Start))
	if tr.Kind == event.Declared {
		text += fmt.Sprintf(" at %g", since(e.Declared))
	} else {
		text += fmt.Sprintf("-%g %v peak %g", since(e.End), e.Ending, since(e.Peak))
	}
	if e.Continuation {
		text += " continuation"
	}
	if e.Cause != event.CauseMotion {
		text += " " + e.Cause.String()
	}
	return text
}

// frames repeats one kind of frame for so many seconds.
func frames(kind string, seconds int) string {
	return strings.Repeat(kind, 2*seconds)
}

func small() event.Settings {
	return event.Settings{
		PreRoll: 2 * time.Second, PostRoll: 3 * time.Second, MergeGap: time.Second,
		Longest: 20 * time.Second, PerHour: 3600, Burst: 1000,
	}
}

func TestTransitions(t *testing.T) {
	still := func(seconds int) string { return frames(".", seconds) }
	tests := []struct {
		name     string
		settings func(*event.Settings)
		script   string
		want     []string
	}{
		{name: "nothing moves", script: still(10) + "|", want: nil},
		{
			name: "one visit", script: still(5) + "mmMm" + still(5),
			want: []string{"declared 3 at 5", "ended 3-9.5 still peak 6"},
		},
		{
			name: "no pre-roll before the first frame", script: ".m" + still(5),
			want: []string{"declared 0 at 0.5", "ended 0-3.5 still peak 0.5"},
		},
		{
			name: "first frame moves", script: "m" + still(5),
			want: []string{"declared 0 at 0", "ended 0-3 still peak 0"},
		},
		{
			name: "the first of equal scores is the peak", script: still(2) + ".mMM" + still(4),
			want: []string{"declared 0.5 at 2.5", "ended 0.5-6.5 still peak 3"},
		},
		{
			name: "stillness within the merge gap is bridged", script: still(5) + "m.m" + still(5),
			want: []string{"declared 3 at 5", "ended 3-9 still peak 5"},
		},
		{
			name:   "motion in the post-roll after more than the merge gap is the next event",
			script: still(5) + "m..M" + still(5),
			want: []string{
				"declared 3 at 5", "ended 3-6.5 next peak 5",
				"declared 6.5 at 6.5", "ended 6.5-9.5 still peak 6.5",
			},
		},
		{
			name: "pre-roll does not reach into the event before", script: still(5) + "m" + still(3) + "m" + still(5),
			want: []string{
				"declared 3 at 5", "ended 3-8 still peak 5",
				"declared 8 at 8.5", "ended 8-11.5 still peak 8.5",
			},
		},
		{
			name: "motion on the very frame that ends the post-roll", script: still(5) + "m" + still(2) + ".m" + still(4),
			want: []string{
				"declared 3 at 5", "ended 3-8 still peak 5",
				"declared 8 at 8", "ended 8-11 still peak 8",
			},
		},
		{
			name: "longest, motion goes on", script: still(5) + frames("m", 20) + still(5),
			want: []string{
				"declared 3 at 5", "ended 3-23 longest peak 5",
				"declared 23 at 23 continuation", "ended 23-27.5 still peak 23 continuation",
			},
		},
		{
			name: "longest, motion goes on after a short stillness", script: still(5) + frames("m", 18) + ".m" + still(5),
			want: []string{
				"declared 3 at 5", "ended 3-23 longest peak 5",
				"declared 23 at 23.5 continuation", "ended 23-26.5 still peak 23.5 continuation",
			},
		},
		{
			name: "longest, then still", script: still(5) + frames("m", 17) + still(9),
			want: []string{"declared 3 at 5", "ended 3-23 longest peak 5"},
		},
		{
			name: "longest, then new motion is no continuation", script: still(5) + frames("m", 17) + still(2) + "m" + still(4),
			want: []string{
				"declared 3 at 5", "ended 3-23 longest peak 5",
				"declared 23 at 24", "ended 23-27 still peak 24",
			},
		},
		{
			name: "the frames end while it moves", script: still(5) + "mM|",
			want: []string{"declared 3 at 5", "ended 3-5.5 stopped peak 5.5"},
		},
		{
			name: "fed again after a stop", script: still(5) + "m|" + "m" + still(4),
			want: []string{
				"declared 3 at 5", "ended 3-5 stopped peak 5",
				"declared 5 at 5.5", "ended 5-8.5 still peak 5.5",
			},
		},
		{
			name: "a gap in the frames ends the event where its post-roll ends", script: still(5) + "m>." + still(1),
			want: []string{"declared 3 at 5", "ended 3-8 still peak 5"},
		},
		{
			name: "motion after a gap in the frames", script: still(5) + "m>m" + still(4),
			want: []string{
				"declared 3 at 5", "ended 3-8 still peak 5",
				"declared 13.5 at 15.5", "ended 13.5-18.5 still peak 15.5",
			},
		},
		{
			name: "the clock is set back in an event", script: still(15) + "m<m" + still(4),
			want: []string{
				"declared 13 at 15", "ended 13-15 clock peak 15",
				"declared 5.5 at 5.5", "ended 5.5-8.5 still peak 5.5",
			},
		},
		{
			name: "the clock is set back while idle", script: still(15) + "<.m" + still(4),
			want: []string{"declared 5 at 5.5", "ended 5-8.5 still peak 5.5"},
		},
		{
			name: "the camera is covered while nothing moves", script: still(5) + "c" + still(5),
			want: []string{"declared 3 at 5 covered", "ended 3-8 still peak 5 covered"},
		},
		{
			name: "the camera is knocked in an event, and motion goes on", script: still(5) + "mmkm" + still(5),
			want: []string{
				"declared 3 at 5", "ended 3-6 next peak 5",
				"declared 6 at 6 moved", "ended 6-9.5 still peak 6 moved",
			},
		},
		{
			name: "covered, then somebody comes", script: still(5) + "c..m" + still(4),
			want: []string{
				"declared 3 at 5 covered", "ended 3-6.5 next peak 5 covered",
				"declared 6.5 at 6.5", "ended 6.5-9.5 still peak 6.5",
			},
		},
		{
			name:     "covered again and again is held to the rate limit",
			settings: func(s *event.Settings) { s.PerHour, s.Burst = 360, 1 }, // one each 10 s
			script:   still(5) + "c" + still(2) + "c" + still(12),
			want:     []string{"declared 3 at 5 covered", "ended 3-15 still peak 5 covered"},
		},
		{
			name:     "without pre-roll and merging",
			settings: func(s *event.Settings) { s.PreRoll, s.MergeGap = 0, 0 },
			script:   still(5) + "mm" + still(4),
			want: []string{
				"declared 5 at 5", "ended 5-5.5 next peak 5",
				"declared 5.5 at 5.5", "ended 5.5-8.5 still peak 5.5",
			},
		},
		{
			name:     "an event waits for the rate limit before it ends",
			settings: func(s *event.Settings) { s.PerHour, s.Burst = 360, 1 }, // one each 10 s
			script:   still(5) + "m" + still(4) + "m" + still(12),
			want:     []string{"declared 3 at 5", "ended 3-15 still peak 5"},
		},
		{
			name:     "the rate limit never outlasts the longest duration",
			settings: func(s *event.Settings) { s.PerHour, s.Burst = 1, 1 },
			script:   still(5) + "m" + still(20) + "m" + still(20),
			want: []string{
				"declared 3 at 5", "ended 3-23 longest peak 5",
				"declared 23.5 at 25.5", "ended 23.5-43.5 longest peak 25.5",
			},
		},
		{
			name:     "a burst is free",
			settings: func(s *event.Settings) { s.PerHour, s.Burst = 360, 2 },
			script:   still(5) + "m" + still(3) + "m" + still(12),
			want: []string{
				"declared 3 at 5", "ended 3-8 still peak 5",
				"declared 8 at 8.5", "ended 8-15 still peak 8.5",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := small()
			if test.settings != nil {
				test.settings(&s)
			}
			got := run(t, s, test.script)
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

// Six people, one after another, some seconds of empty room between them; each
// is out of sight for a moment once in a while.
func TestVisits(t *testing.T) {
	visits := [][2]int{{6, 19}, {23, 44}, {50, 69}, {75, 86}, {92, 119}, {124, 135}}
	for _, pause := range []int{0, 1, 2} {
		m, err := event.New(event.DefaultSettings())
		if err != nil {
			t.Fatal(err)
		}
		var declared int
		for i := range 1390 {
			at := time.Duration(i) * 100 * time.Millisecond
			second := i / 10
			moving := false
			for _, v := range visits {
				middle := (v[0] + v[1]) / 2
				pausing := second >= middle && second < middle+pause
				moving = moving || second >= v[0] && second < v[1] && !pausing
			}
			for _, tr := range m.Feed(epoch.Add(at), moving, 0.1) {
				if tr.Kind == event.Declared {
					declared++
				}
			}
		}
		want := 6
		if pause > 1 {
			want = 12
		}
		if declared != want {
			t.Errorf("with a pause of %d s in each visit: %d events, want %d", pause, declared, want)
		}
	}
}

// A lamp that flickers for two hours is held to the rate limit; without one it
// would be an event for each flicker.
func TestFlicker(t *testing.T) {
	count := func(s event.Settings) (declared int) {
		m, err := event.New(s)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * 3600 * 2 {
			for _, tr := range m.Feed(epoch.Add(time.Duration(i)*tick), i%12 == 0, 0.1) {
				if tr.Kind == event.Declared {
					declared++
				}
			}
		}
		return declared
	}
	s := event.DefaultSettings()
	if got, most := count(s), s.Burst+2*s.PerHour; got < 2*s.PerHour || got > most {
		t.Errorf("%d events, want %d to %d", got, 2*s.PerHour, most)
	}
	s.PerHour = 3600
	if got := count(s); got != 1200 {
		t.Errorf("%d events with a limit out of reach, want one for each of 1200 flickers", got)
	}
}

func TestCurrent(t *testing.T) {
	m, err := event.New(small())
	if err != nil {
		t.Fatal(err)
	}
	if _, open := m.Current(); open {
		t.Error("an event is open before the first frame")
	}
	m.Feed(epoch, true, 0.2)
	m.Feed(epoch.Add(tick), true, 0.4)
	current, open := m.Current()
	if !open || !current.Peak.Equal(epoch.Add(tick)) || current.PeakScore != 0.4 {
		t.Errorf("got %+v, open %v, want the peak at the second frame", current, open)
	}
	m.Stop()
	if _, open := m.Current(); open {
		t.Error("an event is open after Stop")
	}
	if again := m.Stop(); again != nil {
		t.Errorf("a second Stop gives %v, want nothing", again)
	}
}

func TestValidate(t *testing.T) {
	if err := event.DefaultSettings().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	tests := []struct {
		field  string
		change func(*event.Settings)
	}{
		{"PreRoll", func(s *event.Settings) { s.PreRoll = -1 }},
		{"PreRoll", func(s *event.Settings) { s.PreRoll = time.Minute + 1 }},
		{"PostRoll", func(s *event.Settings) { s.PostRoll = 0 }},
		{"PostRoll", func(s *event.Settings) { s.PostRoll = time.Minute + 1 }},
		{"MergeGap", func(s *event.Settings) { s.MergeGap = -1 }},
		{"MergeGap", func(s *event.Settings) { s.MergeGap = s.PostRoll + 1 }},
		{"Longest", func(s *event.Settings) { s.Longest = s.PreRoll + s.PostRoll - 1 }},
		{"Longest", func(s *event.Settings) { s.Longest = time.Hour + 1 }},
		{"PerHour", func(s *event.Settings) { s.PerHour = 0 }},
		{"PerHour", func(s *event.Settings) { s.PerHour = 3601 }},
		{"Burst", func(s *event.Settings) { s.Burst = 0 }},
		{"Burst", func(s *event.Settings) { s.Burst = 1001 }},
	}
	for _, test := range tests {
		s := event.DefaultSettings()
		test.change(&s)
		_, err := event.New(s)
		var field *event.FieldError
		if !errors.As(err, &field) || field.Field != test.field {
			t.Errorf("got error %v, want one about %s", err, test.field)
		}
	}
}
