package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/recovery"
)

// Options are what a delivery loop is made of. All but Status and Log are needed.
type Options struct {
	Dialer   Dialer
	Queue    Queue
	Uploader Uploader
	// Schedule decides when to connect. It is the loop's alone.
	Schedule *recovery.Schedule
	// Record gives the ownership record in force; it is asked at each connect.
	Record func() Record
	// Checkpoint appends a checkpoint to the queue. It is called at each connect and
	// every Settings.Checkpoint while connected.
	Checkpoint func(context.Context) error
	// Status gives what the device says of itself; Online is set by the loop.
	Status   func() Status
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
	return o.Settings.Validate()
}

// Delivery takes items from the queue to the hub.
type Delivery struct {
	opts  Options
	log   *slog.Logger
	board board
	start time.Time
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
	for {
		d.board.enter(Waiting)
		if err := wait.For(ctx, d.opts.Schedule.Slot(d.now())); err != nil {
			return err
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
	d.board.update(func(s *Stats) { s.Sessions++ })
	d.log.Info("connected to the hub")

	err = newCourier(d, session).run(ctx)
	good := d.opts.Schedule.Ended(d.now())
	d.board.update(func(s *Stats) { s.InFlight = 0 })
	if ctx.Err() == nil {
		d.log.Warn("session with the hub ended", slog.Any("error", err), slog.Bool("good", good))
	}
	return err
}

// turnedAway notes a connect that came to nothing.
func (d *Delivery) turnedAway(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	outcome := recovery.Classify(err)
	d.opts.Schedule.Failed(outcome)
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
	for {
		select {
		case m := <-s.Down():
			switch {
			case m.Type == RecordReceipt && m.Hash == record.Hash:
				return d.sayOnline(ctx, s)
			case m.Type == RecordRefusal && m.Hash == record.Hash:
				return &RecordRefused{Reason: m.Reason, Detail: m.Detail}
			}
			d.ignore(m)
		case <-s.Done():
			return fmt.Errorf("show the ownership record: %w", s.Err())
		case <-ctx.Done():
			return fmt.Errorf("wait for the ownership record's receipt: %w", ctx.Err())
		}
	}
}

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
