package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// Options are what a delivery loop is made of. All but Status, Log and what concerns hints
// and links are needed.
type Options struct {
	Dialer   Dialer
	Queue    Queue
	Uploader Uploader
	// Schedule decides when to connect. It is the loop's alone.
	Schedule *recovery.Schedule
	// Record gives the ownership record in force; it is asked at each connect, and before
	// anything is sent.
	Record func() Record
	// RecordChanged gives a channel that is closed when another record comes into force
	// after the call. Nil is never: the hub then learns of it with the next item.
	RecordChanged func() <-chan struct{}
	// Letter decides on what the device's owner tells it by way of the hub, at most
	// MaxLetter bytes that nobody has verified: the reason for which it is refused, or ""
	// where it was taken, which is on stable storage then. An error leaves it undecided,
	// and the hub sends it again. Nil takes no letters.
	Letter func(letter []byte) (reason string, err error)
	// Checkpoint appends a checkpoint to the queue. It is called at each connect and
	// every Settings.Checkpoint while connected.
	Checkpoint func(context.Context) error
	// Status gives what the device says of itself; Online is set by the loop.
	Status func() Status
	// Hints is where the hub's hints are kept; nil takes none.
	Hints *hint.Store
	// Fetch gets a hint elsewhere than from the hub. It has to be there if the schedule
	// asks for hints (recovery.Settings.Fetch), and ends by itself.
	Fetch func(context.Context) ([]byte, error)
	// Clock gives the time, and whether something keeps it right; nil is never.
	Clock func() (now time.Time, right bool)
	// Offline says that this machine has no way out, or had none a moment ago: what
	// failed is nobody else's trouble. Nil is never. It is asked when a session was lost
	// or a connect had no answer.
	Offline  func() bool
	Settings Settings
	Log      *slog.Logger
}

func (o Options) validate() error {
	for what, missing := range map[string]bool{
		"dialer": o.Dialer == nil, "queue": o.Queue == nil, "uploader": o.Uploader == nil,
		"schedule": o.Schedule == nil, "record": o.Record == nil, "checkpoint": o.Checkpoint == nil,
	} {
		if missing {
			return fmt.Errorf("no %s was given", what)
		}
	}
	if o.Fetch != nil && o.Hints == nil {
		return errors.New("hints can be fetched, and kept nowhere")
	}
	return o.Settings.Validate()
}

// Delivery takes items from the queue to the hub.
type Delivery struct {
	opts  Options
	log   *slog.Logger
	board board

	// The loop's own.
	start  time.Time
	lost   time.Duration // when the last session was lost, 0 before
	clock  hint.Clock    // the hub's
	told   bool          // a hint came in this session
	forged int           // how many came in it that were not the hub's
	// shown is the record that the hub was shown last in this session.
	shown   seal.Hash
	letters []Message // that came before the session was admitted
}

// New makes a delivery loop; Run is it.
func New(opts Options) (*Delivery, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("make delivery loop: %w", err)
	}
	if opts.Status == nil {
		opts.Status = func() Status { return Status{} }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.RecordChanged == nil {
		opts.RecordChanged = never
	}
	d := &Delivery{opts: opts, log: opts.Log}
	d.board.enter(Stopped)
	return d, nil
}

// Stats is a snapshot, for any goroutine.
func (d *Delivery) Stats() Stats { return d.board.snapshot() }

// Run delivers until ctx is done, whose error it returns; nothing else ends it. It may
// be called once.
func (d *Delivery) Run(ctx context.Context) error {
	d.start = time.Now()
	defer d.board.enter(Stopped)
	d.recall()
	for {
		step := d.opts.Schedule.Next(d.now())
		d.board.await(step)
		if err := wait.For(ctx, step.Wait); err != nil {
			return err
		}
		if step.Do == recovery.FetchHint {
			d.fetchHint(ctx)
			continue
		}
		err := d.visit(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.board.failed(err)
	}
}

// now is the schedule's clock.
func (d *Delivery) now() time.Duration { return time.Since(d.start) }

// visit is one connect and, when the hub admits us, the session after it. It always
// comes back with an error.
func (d *Delivery) visit(ctx context.Context) error {
	d.board.enter(Connecting)
	d.board.update(func(s *Stats) { s.Connects++ })
	d.told, d.forged, d.letters = false, 0, nil
	session, err := d.opts.Dialer.Dial(ctx)
	if err != nil {
		return d.turnedAway(ctx, err)
	}
	defer func() {
		if err := session.Close(); err != nil {
			d.log.Warn("closing the session failed", slog.Any("error", err))
		}
	}()
	if err := d.present(ctx, session); err != nil {
		return d.turnedAway(ctx, err)
	}
	d.opts.Schedule.Admitted(d.now())
	d.board.enter(Delivering)
	d.board.update(func(s *Stats) { s.Sessions++; s.Outcome = "" })
	d.log.Info("connected to the hub")

	err = newCourier(d, session).run(ctx)
	d.lost = d.now()
	local := ctx.Err() == nil && d.offline()
	good := d.opts.Schedule.Ended(d.lost, local)
	d.board.update(func(s *Stats) { s.InFlight = 0 })
	if ctx.Err() == nil {
		d.log.Warn("session with the hub ended", slog.Any("error", err), slog.Bool("good", good), slog.Bool("local", local))
	}
	return err
}

func (d *Delivery) offline() bool { return d.opts.Offline != nil && d.opts.Offline() }

// turnedAway notes a connect that came to nothing.
func (d *Delivery) turnedAway(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	outcome := recovery.Classify(err)
	if (outcome == recovery.TimedOut || outcome == recovery.NoName) && d.offline() {
		outcome = recovery.Unreachable
	}
	d.opts.Schedule.Failed(d.now(), outcome)
	d.board.update(func(s *Stats) { s.Outcome = outcome.String() })
	d.log.Warn("connecting to the hub failed", slog.Any("error", err), slog.String("outcome", outcome.String()))
	return err
}

// RecordRefused is a hub that does not take the ownership record.
type RecordRefused struct{ Reason, Detail string }

// Error gives the hub's reason.
func (e *RecordRefused) Error() string {
	if e.Detail == "" {
		return "the hub refused the ownership record: " + e.Reason
	}
	return "the hub refused the ownership record: " + e.Reason + ": " + e.Detail
}

// Refused is true: the server is alive.
func (e *RecordRefused) Refused() bool { return true }

// present shows the ownership record, waits for its receipt, and says that the device
// is online.
func (d *Delivery) present(ctx context.Context, s Session) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Settings.Receipt)
	defer cancel()
	record := d.opts.Record()
	if err := s.PublishRecord(ctx, record.Bytes); err != nil {
		return fmt.Errorf("show the ownership record: %w", err)
	}
	d.shown = record.Hash
	for {
		select {
		case m := <-s.Down():
			switch {
			case m.Type == RecordReceipt && m.Hash == record.Hash:
				return d.sayOnline(ctx, s)
			case m.Type == RecordRefusal && m.Hash == record.Hash:
				return &RecordRefused{Reason: m.Reason, Detail: m.Detail}
			case m.Type == Hint:
				d.hinted(m)
			case m.Type == Letter:
				d.early(m)
			default:
				d.ignore(m)
			}
		case <-s.Done():
			return fmt.Errorf("show the ownership record: %w", s.Err())
		case <-ctx.Done():
			return fmt.Errorf("wait for the ownership record's receipt: %w", stalled{ctx.Err()})
		}
	}
}

// stalled is a hub whose connection stood and that then answered nothing.
type stalled struct{ error }

// Stalled is true unless this side gave up waiting for a reason of its own.
func (s stalled) Stalled() bool { return errors.Is(s.error, context.DeadlineExceeded) }

func (d *Delivery) sayOnline(ctx context.Context, s Session) error {
	status := d.opts.Status()
	status.Online = true
	if err := s.PublishStatus(ctx, status); err != nil {
		return fmt.Errorf("say that the device is online: %w", err)
	}
	return nil
}

// ignore counts a message that fits nothing.
func (d *Delivery) ignore(m Message) {
	d.board.update(func(s *Stats) { s.Ignored++ })
	d.log.Debug("message of the hub ignored", slog.String("type", string(m.Type)),
		slog.String("ref", m.Ref.String()), slog.String("detail", m.Detail))
}

// errSilent ends a session whose hub answers nothing.
var errSilent = errors.New("the hub answers nothing that is sent")
