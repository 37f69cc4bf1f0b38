package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/gate"
	"github.com/lensward/lensward/transport/recovery"
)

const (
	surveyFile = "admission.json"

	surveyEvery = time.Second
	// A device takes no hint for new that is older than 15 s.
	publishEvery = 10 * time.Second
	fleetWithin  = 30 * 24 * time.Hour
	fleetEvery   = time.Minute
	fleetAgain   = 5 * time.Second // where it could not be counted
	countTimeout = 5 * time.Second

	// What a hub admits for each processor before it has measured anything, and how many
	// messages a second it stores. Both are on the safe side of what was measured.
	defaultAdmit = 100
	defaultDrain = 100

	// The largest busy share that is believed of the processors alone.
	almostBusy = 0.85
)

// survey measures what this hub can admit, and has the herald say what follows.
type survey struct {
	herald *herald
	dir    *durable.Dir
	gate   *gate.Gate
	peers  *peers
	heard  func(context.Context) (int, error) // how large the fleet is
	online func() int
	admit  float64 // connects a second, where that is given; else 0
	drain  float64 // messages a second
	log    *slog.Logger

	metrics   *metrics
	admission *recovery.Admission
	fleet     int
}

// surveyState is what a hub remembers of what it measured.
type surveyState struct {
	Version int     `json:"version"`
	Rate    float64 `json:"rate"` // connects a second
}

// open takes up what was measured before, and has the first hint said.
func (s *survey) open(ctx context.Context) error {
	rate := s.admit
	if rate == 0 {
		rate = s.remembered()
	}
	s.admission = recovery.NewAdmission(recovery.AdmissionSettings{Rate: rate, Drain: s.drain})
	said, _ := s.herald.last()
	s.fleet = int(said.Window.Seconds() * recovery.Margin * rate) // what was said before holds until they are counted
	s.count(ctx)
	s.admission.Observe(0, recovery.Sample{Fleet: s.fleet})
	return s.herald.publish(s.admission.Hint(0))
}

// remembered is the rate that was measured in an earlier run, or a cautious guess.
func (s *survey) remembered() float64 {
	guess := float64(defaultAdmit * runtime.GOMAXPROCS(0))
	var was surveyState
	b, err := s.dir.ReadFile(surveyFile, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return guess
	}
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err == nil && (was.Version != 1 || !(was.Rate > 0)) {
		err = fmt.Errorf("version %d, rate %v", was.Version, was.Rate)
	}
	if err != nil {
		s.log.Warn("what was measured before cannot be read; measuring anew", "file", surveyFile, "err", err)
		return guess
	}
	return was.Rate
}

// remember keeps the rate for the next run.
func (s *survey) remember() error {
	if s.admit > 0 {
		return nil // nothing was measured
	}
	b, err := json.Marshal(surveyState{Version: 1, Rate: s.admission.Rate()})
	if err == nil {
		err = s.dir.WriteFile(surveyFile, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep what was measured: %w", err)
	}
	return nil
}

// run measures each second until ctx ends.
func (s *survey) run(ctx context.Context) error {
	tick := time.NewTicker(surveyEvery)
	defer tick.Stop()
	before := s.look()
	published, count := before.at, before.at.Add(fleetEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := s.look()
		if now.at.After(count) {
			count = now.at.Add(fleetAgain)
			if s.count(ctx) {
				count = now.at.Add(fleetEvery)
			}
		}
		s.admission.Observe(now.at.Sub(before.at), s.sample(before, now))
		s.peers.say(s.admission.Rate())
		s.metrics.admits.Set(s.admission.Rate())
		before = now
		next := s.admission.Hint(0)
		if now.at.Sub(published) >= publishEvery || s.urgent(next) {
			published = now.at
			if err := errors.Join(s.herald.publish(next), s.remember()); err != nil {
				s.log.Error("the hint stays as it was", "err", err)
			}
		}
	}
}

// urgent says that a hint is so much another that it should not wait.
func (s *survey) urgent(next recovery.Hint) bool {
	said, _ := s.herald.last()
	much := func(was, is time.Duration) bool { return changed(was, is) && (was-is).Abs() > time.Second }
	return much(said.Window, next.Window) || much(said.Current, next.Current)
}

// count looks how large the fleet is. It says whether that could be seen.
func (s *survey) count(ctx context.Context) bool {
	one, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	n, err := s.heard(one)
	if err != nil {
		s.log.Warn("the fleet is taken to be as large as it was", "devices", s.fleet, "err", err)
		return false
	}
	s.fleet = n
	return true
}

// sight is what a hub sees of itself at one time.
type sight struct {
	at   time.Time
	gate gate.Figures
	cpu  time.Duration // that this process has used
	idle time.Duration // that the machine's processors had nothing to do; 0 if not known
}

func (s *survey) look() sight {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		u = unix.Rusage{} // it has no reason to fail; then only the gate counts
	}
	return sight{
		at: time.Now(), gate: s.gate.Figures(), cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), idle: idleTime(),
	}
}

// idleTime is how long the machine's processors had nothing to do, all together since it
// was started; 0 where that cannot be told.
func idleTime() time.Duration {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0
	}
	return time.Duration((stat.CPUTotal.Idle + stat.CPUTotal.Iowait) * float64(time.Second))
}

// busy is the share in use of the processors that this hub could have had: what it used
// itself, over that and what nobody used.
func busy(before, now sight) float64 {
	used := float64(now.cpu - before.cpu)
	all := float64(now.at.Sub(before.at)) * float64(runtime.GOMAXPROCS(0))
	if now.idle > 0 {
		all = min(all, used+float64(max(0, now.idle-before.idle)))
	}
	if all <= 0 {
		return 0
	}
	return min(used/all, 1)
}

// sample is what was seen between two times, and this hub's share of the fleet.
//
// A hub does all it can while its gate is full: then devices wait for nothing but the
// hub, whatever it is short of. The processors' load only tells how near that is, since
// they may be busy with something else, and since something else may have them. Stalled handshakes fill the gate without saying
// anything of the hub, and one that was given its rate measures nothing.
func (s *survey) sample(before, now sight) recovery.Sample {
	online, share := s.online(), s.peers.share(s.admission.Rate(), now.at)
	of := func(n int) int { return int(math.Ceil(float64(n) * share)) }
	out := recovery.Sample{Fleet: of(max(s.fleet, online)), Online: of(online)}
	elapsed := now.at.Sub(before.at)
	if s.admit > 0 || elapsed <= 0 {
		return out
	}
	out.Admitted = now.gate.Admitted - before.gate.Admitted
	out.Busy = min(almostBusy, busy(before, now))
	if now.gate.Slow == before.gate.Slow {
		out.Refused = now.gate.Refused - before.gate.Refused
		out.Busy = max(out.Busy, float64(now.gate.Full-before.gate.Full)/float64(elapsed))
	}
	return out
}
