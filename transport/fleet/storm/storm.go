// Package storm is an outage of a whole fleet, for real: a hub that is killed and
// started, and thousands of devices with the agent's own transport that lose it and come
// back.
//
// It owns the processes (a hub, and workers that hold the devices), the course of a
// storm, and the account of it: how fast the fleet came back, what failed, whether an
// item was lost or doubled, and what the owners were shown. It never stands in for a part
// of the agent or of the hub: keys, certificates, sealed items, spools, sessions, broker
// and store are those that ship. Only the cameras' pictures are made up.
package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/recovery"
)

const (
	// waveConnects is how many connects are under way while the hub's rate is measured.
	waveConnects = 64
	// lookEvery is how often the workers are asked how far they are.
	lookEvery = 500 * time.Millisecond
	// hubLearns is longer than a hub takes to count its fleet and to tell it.
	hubLearns = 90 * time.Second
	// newestSerial is above the hub's own, which are milliseconds since 1970.
	newestSerial = 1 << 52
	// filesPerDevice are open files: a connection, the spool's lock and its index.
	filesPerDevice = 3
)

// storm is one under way.
type storm struct {
	Options
	dir     string
	hub     *hubProcess
	at      Hub // where it is
	workers []*workerProcess

	admit  float64
	hints  *hintServer
	hint   recovery.Hint // in force when the hub died
	times  span
	before usage // the hub's when it was back
	report Report
}

// Run has a fleet made, its hub killed and started again, and says what came of it.
// Whatever happens, no process and no file is left.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("set up storm: %w", err)
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	runtime.LockOSThread() // the children die with this thread
	defer runtime.UnlockOSThread()
	if o.Policy == Paho {
		o.Hint = None // it would not listen
	}
	s := &storm{Options: o, report: Report{Policy: o.Policy, Hint: o.Hint, Devices: o.Devices, Processes: o.Processes, Items: o.Items}}
	defer func() { err = errors.Join(err, s.clear()) }()
	for _, part := range []func(context.Context) error{s.open, s.make, s.wave, s.begin, s.outage, s.comeBack, s.account} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return &s.report, nil
}

// open makes the directory and starts the processes.
func (s *storm) open(ctx context.Context) error {
	// The hub has a connection for each device, a worker more of them for its part.
	files := max(s.Devices, (s.Devices/s.Processes+1)*filesPerDevice)
	if err := allowFiles(uint64(files + 1000)); err != nil {
		return err
	}
	var err error
	if s.dir, err = os.MkdirTemp(s.Dir, "lensward-storm-"); err != nil {
		return fmt.Errorf("make storm's directory: %w", err)
	}
	if s.hub, err = newHubProcess(s.Program, filepath.Join(s.dir, "hub"), s.Mixup); err != nil {
		return err
	}
	if s.hints, err = serveHint(s.hub.dir); err != nil {
		return err
	}
	s.Progress("start the hub", 0, 1)
	if err := s.hub.run(ctx); err != nil {
		return err
	}
	for i := range s.Processes {
		w := &workerProcess{dir: filepath.Join(s.dir, fmt.Sprintf("worker%d", i)), count: (s.Devices + i) / s.Processes}
		if err := w.run(s.Program, i); err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// allowFiles lets this process and its children open as many files as a storm may take.
func allowFiles(n uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read limit of open files: %w", err)
	}
	if l.Cur >= n {
		return nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: max(l.Max, n)}); err != nil {
		return fmt.Errorf("raise limit of open files from %d to %d, as so many devices take: %w", l.Max, n, err)
	}
	return nil
}

// clear ends what is still there.
func (s *storm) clear() error {
	for _, w := range s.workers {
		w.kill()
	}
	if s.hub != nil && s.hub.done != nil {
		s.hub.kill()
	}
	var err error
	if s.hints != nil {
		err = s.hints.close()
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// make has the workers make the devices.
func (s *storm) make(ctx context.Context) error {
	var err error
	if s.at, err = s.hub.where(); err != nil {
		return err
	}
	plans := make([]Plan, len(s.workers))
	first := 0
	for i, w := range s.workers {
		plans[i] = Plan{Dir: w.dir, First: first, Count: w.count, Policy: s.Policy, Hub: s.at}
		first += w.count
	}
	return s.during(ctx, "make devices", func(p Progress) int { return p.Made }, func(ctx context.Context) error {
		_, err := askAll[Plan, Nothing](ctx, s.workers, "Make", func(i int) Plan { return plans[i] })
		return err
	})
}

// usage is that of all workers together.
func (s *storm) usage() (sum usage, err error) {
	for _, w := range s.workers {
		u, err := w.usage()
		if err != nil {
			return sum, err
		}
		sum.cpu, sum.rss = sum.cpu+u.cpu, sum.rss+u.rss
	}
	return sum, nil
}

// wave connects every device while the hub has always more to do than it can, and so
// measures what it admits of devices that do what they all do first.
func (s *storm) wave(ctx context.Context) error {
	before, err := s.hub.usage()
	if err != nil {
		return err
	}
	var admitted []time.Time
	err = s.during(ctx, "measure connects", func(p Progress) int { return p.Online }, func(ctx context.Context) error {
		parts, err := askAll[int, []time.Time](ctx, s.workers, "Wave", func(int) int { return max(1, waveConnects/len(s.workers)) })
		admitted = slices.Concat(parts...)
		return err
	})
	if err != nil {
		return err
	}
	after, err := s.hub.usage()
	if err != nil {
		return err
	}
	if s.admit = s.Admit; s.admit == 0 {
		s.admit = admittedRate(admitted)
	}
	s.report.Admit, s.report.Ideal = s.admit, float64(s.Devices)/s.admit
	s.report.CPUConnect = milliseconds(after.cpu-before.cpu) / float64(s.Devices)
	s.report.HubSessionKiB = float64(after.rss-before.rss) / 1024 / float64(s.Devices)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// begin has the delivery loops take over the wave's sessions, and waits until each has
// lasted.
func (s *storm) begin(ctx context.Context) error {
	var c Course
	switch s.Hint {
	case FromHub:
		c.HintURL = s.hints.url
	case Right:
		var err error
		if s.hint, c.Hint, err = s.rightHint(); err != nil {
			return err
		}
	}
	if _, err := askAll[Course, Nothing](ctx, s.workers, "Begin", func(int) Course { return c }); err != nil {
		return err
	}
	// The checkpoints of the connects are to be delivered before the storm begins.
	settled, err := s.await(ctx, "let the fleet settle", time.Now().Add(s.limit()), s.Devices, func(p Progress) int { return p.Drained })
	if err != nil {
		return err
	}
	if !settled {
		return errors.New("the fleet does not settle before the storm")
	}
	u, err := s.usage()
	if err != nil {
		return err
	}
	s.report.SessionKiB = float64(u.rss) / 1024 / float64(s.Devices)
	calm := 2 * good
	if s.Hint == FromHub {
		calm = hubLearns
	}
	s.Progress("stay calm", 0, 1)
	if err := wait.For(ctx, calm); err != nil {
		return err
	}
	if s.Hint == FromHub {
		s.hint, err = s.hints.read(s.at)
	}
	return err
}

// rightHint is what the hub would say if it knew the fleet and what was measured, signed
// with the hub's key. It is newer than any hint that the hub itself will say.
func (s *storm) rightHint() (recovery.Hint, []byte, error) {
	dir, err := durable.Open(s.hub.dir)
	if err != nil {
		return recovery.Hint{}, nil, fmt.Errorf("make the right hint: %w", err)
	}
	ca, err := authority.Open(dir)
	if err != nil {
		return recovery.Hint{}, nil, fmt.Errorf("make the right hint: %w", err)
	}
	window := time.Duration(s.report.Ideal / recovery.Margin * float64(time.Second))
	drain := s.Drain
	if drain == 0 {
		drain = s.admit / 2
	}
	h := recovery.Hint{Serial: newestSerial, Window: window, Current: window, Drain: drain / float64(s.Devices)}.Clamp()
	now := time.Now()
	signed, err := hint.Sign(ca.Signer(), hint.Statement{Serial: h.Serial, Issued: now, Expires: now.Add(hint.MaxLife), Hint: h})
	return h, signed, err
}

// limit is how long to wait for the fleet.
func (s *storm) limit() time.Duration {
	if s.Limit > 0 {
		return s.Limit
	}
	seconds := 60 + 10*s.report.Ideal
	if s.hint.Drain > 0 {
		seconds += 2 * float64(s.Items+2) / s.hint.Drain
	}
	return time.Duration(seconds * float64(time.Second))
}

// outage kills the hub, lets the devices seal, and starts the hub again.
func (s *storm) outage(ctx context.Context) error {
	s.report.HintWindow = s.hint.Window.Seconds()
	s.hub.kill()
	s.times.died = time.Now()
	s.Progress("seal items", 0, s.Devices)
	if _, err := askAll[int, Nothing](ctx, s.workers, "Seal", func(int) int { return s.Items }); err != nil {
		return err
	}
	s.Progress("wait without a hub", 0, 1)
	if err := wait.For(ctx, time.Until(s.times.died.Add(s.Outage))); err != nil {
		return err
	}
	s.report.Outage = time.Since(s.times.died).Seconds()
	if err := s.hub.run(ctx); err != nil {
		return err
	}
	s.times.back = time.Now()
	var err error
	s.before, err = s.hub.usage()
	return err
}

// comeBack waits until every device is back and every item delivered, with owners
// looking on, or until the limit.
func (s *storm) comeBack(ctx context.Context) error {
	until := s.times.back.Add(s.limit())
	g, ctx := errgroup.WithContext(ctx)
	if s.Viewers > 0 {
		s.report.Seen = &Seen{}
		g.Go(func() (err error) {
			*s.report.Seen, err = s.watch(ctx, until)
			return err
		})
	}
	g.Go(func() error {
		drained, err := s.await(ctx, "come back", until, s.Devices, func(p Progress) int { return p.Drained })
		if err != nil {
			return err
		}
		s.times.end = time.Now()
		if drained {
			s.report.Drained = s.times.end.Sub(s.times.back).Seconds()
		}
		u, err := s.hub.usage()
		if err != nil {
			return err
		}
		s.report.CPUDevice = milliseconds(u.cpu-s.before.cpu) / float64(s.Devices)
		if s.Viewers > 0 {
			_, err = s.await(ctx, "have owners look", until, s.Viewers, func(p Progress) int { return p.Viewed })
		}
		return err
	})
	return g.Wait()
}

// account stops everything and takes stock.
func (s *storm) account(ctx context.Context) error {
	s.Progress("take stock", 0, 1)
	parts, err := askAll[Nothing, []Device](ctx, s.workers, "End", func(int) Nothing { return false })
	if err != nil {
		return err
	}
	devices := slices.Concat(parts...)
	if err := s.hub.stop(ctx); err != nil {
		return fmt.Errorf("stop the hub: %w\n%s", err, s.hub.said.String())
	}
	rows, err := readStore(ctx, s.hub.dir)
	if err != nil {
		return err
	}
	s.report.Recovery = tally(devices, s.times, s.admit, s.hint.Drain*float64(s.Devices))
	s.report.Stock = take(devices, rows)
	s.report.round()
	return nil
}
