// Package pairing is the camera's part in becoming somebody's: it takes a code that the
// lens saw or a person handed in, reaches the owner by the code's hub or a serial line,
// and has the owner's record accepted.
//
// It owns the pairing's state on the disk, the hub that a code names (until another code
// names another), and what is told of it: conditions, log lines, the light. It never
// reads a picture, never decides whether the camera is free (the device does), and seals
// nothing.
package pairing

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/hw/light"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// CodePrefix is how every code's text begins, of any version.
const CodePrefix = "LENSWARD"

const (
	stateFile = "pairing"
	// maxUsed is how many codes are remembered that were used since the start.
	maxUsed = 64
)

// The conditions.
const (
	conditionPairing = "pairing"
	conditionFailed  = "pairing-failed"

	causeCalling = "a code was read; its owner is being called"
)

var (
	// ErrNotFree means that the camera belongs to somebody, who has not released it, and
	// that nobody held its button.
	ErrNotFree = errors.New("this camera has an owner")
	// ErrUsed means that the code was used before.
	ErrUsed = errors.New("this code was used before")
	// ErrOtherHub means that a code names another hub than the configuration.
	ErrOtherHub = errors.New("the code is of another hub than the one in the configuration")
	// ErrNoHub means that there is no way to the owner.
	ErrNoHub = errors.New("the code names no hub, and this camera knows none")

	errStopped = errors.New("the camera stops")
)

// Light shows how the pairing is.
type Light interface{ Show(light.Pattern) }

// Options are what a pairing is given.
type Options struct {
	// Device is the camera, Key its key.
	Device     pairing.Device
	Key        crypto.Signer
	Protection seal.Protection
	Firmware   string
	// Dir is the state directory.
	Dir *durable.Dir
	// Free says how the camera is free, and false while it is not.
	Free func() (ownership.Acquired, bool)
	// Changed, unless nil, is closed when that may be another.
	Changed func() <-chan struct{}
	// Hub is the configured one, nil where the configuration names none; an error is that
	// it cannot be told which it is.
	Hub func() (*Hub, error)
	// Join joins a code's network; nil where the board has none to join.
	Join func(context.Context, *pairing.WiFi) error
	// Lines are carriers beside the hub, such as a serial line.
	Lines []exchange.Carrier
	// ClockRight says whether the wall clock can be trusted; nil is never.
	ClockRight func(time.Time) bool
	// Accepted, unless nil, is called when an owner's record is in force and the hub of the
	// code, if it names one, is the camera's. It is called once more after a restart.
	Accepted func()
	// Light and Health may be nil.
	Light  Light
	Health *health.Board
	Log    *slog.Logger
	// Dial opens connections in place of TCP; for tests.
	Dial mailbox.Dial
}

// Pairing is one camera's. Its methods may be called from any goroutine.
type Pairing struct {
	Options
	orders  chan order
	stopped chan struct{} // closed when Run has returned

	mu   sync.Mutex
	last light.Pattern
	used []string    // rendezvous of the codes of this run, the newest last
	bad  secret.Text // the code that was refused last: it is refused without a word
}

// order is a code that is to be used, and who is told whether it is.
type order struct {
	text  secret.Text
	code  *pairing.Code
	from  string
	reply chan error
}

// New makes a pairing; Run has it work.
func New(o Options) *Pairing {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Health == nil {
		o.Health = new(health.Board)
	}
	if o.ClockRight == nil {
		o.ClockRight = func(time.Time) bool { return false }
	}
	if o.Changed == nil {
		o.Changed = func() <-chan struct{} { return nil }
	}
	if o.Hub == nil {
		o.Hub = func() (*Hub, error) { return nil, nil }
	}
	return &Pairing{Options: o, orders: make(chan order), stopped: make(chan struct{})}
}

// Take begins a pairing with a code, from says by which way it came ("lens", "socket"). A
// code that cannot be used is an error: a *pairing.Error, ErrNotFree, ErrUsed, ErrOtherHub
// or ErrNoHub. Nil means that the pairing has begun, and will go on after a restart. A
// pairing that was under way with another code, and not accepted, is cancelled. Take
// returns when Run has seen the code.
func (p *Pairing) Take(ctx context.Context, text secret.Text, from string) error {
	o := order{text: text, from: from, reply: make(chan error, 1)}
	var err error
	if o.code, err = pairing.ParseCode(string(text)); err != nil {
		p.told(o, err)
		return err
	}
	select {
	case p.orders <- o:
	case <-p.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.reply:
		return err
	case <-p.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Looking says whether a code before the lens is wanted.
func (p *Pairing) Looking() bool {
	_, free := p.Free()
	return free
}

// Run takes codes until ctx is done, whose error it returns; first it goes on with a
// pairing that a restart cut short.
func (p *Pairing) Run(ctx context.Context) error {
	defer close(p.stopped)
	// Each session is waited for; one that another code took the place of may still be
	// saying so.
	r := runner{p: p}
	defer r.sessions.Wait()
	var err error
	if r.now, err = p.resume(); err != nil {
		return err
	}
	r.start(ctx)
	if err := p.takeLeft(func(o order) { r.obey(ctx, o) }); err != nil {
		return err
	}
	for {
		changed := p.Changed()
		p.show(r.now)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case o := <-p.orders:
			r.obey(ctx, o)
		case <-changed:
		}
	}
}

// runner is one Run.
type runner struct {
	p        *Pairing
	now      *session // the newest, nil before the first
	sessions sync.WaitGroup
}

func (r *runner) start(ctx context.Context) {
	if s := r.now; s != nil {
		r.sessions.Go(func() { s.run(ctx) })
	}
}

// obey begins a pairing with a code, in place of the one before.
func (r *runner) obey(ctx context.Context, o order) {
	err := r.replace(ctx, o.code)
	r.p.told(o, err)
	o.reply <- err
}

func (r *runner) replace(ctx context.Context, code *pairing.Code) error {
	if err := r.p.usable(code); err != nil {
		return err
	}
	if before := r.now; before != nil {
		tell, err := before.cancel(ctx)
		if err != nil {
			return err
		}
		if tell {
			r.sessions.Go(func() { before.farewell(ctx) })
		}
	}
	next, err := r.p.begin(code)
	if err != nil {
		return err
	}
	r.now = next
	r.start(ctx)
	return nil
}

// told logs what became of a code.
func (p *Pairing) told(o order, err error) {
	switch {
	case err == nil:
		p.Log.Info("pairing begins", "from", o.from, "owner", o.code.Owner.Short())
	case errors.Is(err, ErrUsed):
		p.Log.Debug("a code was seen that was used before", "from", o.from)
	case !p.isNews(o.text):
	default:
		p.Log.Warn("a pairing code cannot be used", "from", o.from, "error", err)
		if !errors.Is(err, ErrNotFree) {
			p.failed(err)
		}
	}
}

// isNews says whether a code that was refused is another than the last: a code stays
// before a lens, or is said again and again.
func (p *Pairing) isNews(text secret.Text) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := text != p.bad
	p.bad = text
	return news
}

// failed says that a code came to nothing.
func (p *Pairing) failed(err error) {
	cause := err.Error()
	if advice := pairing.ReasonOf(err).Advice(); advice != "" {
		cause += ". " + advice
	}
	p.Health.Set(conditionFailed, health.Warning, cause)
	p.light(light.Failed)
}

// show has the light say whether a code is looked for, while no pairing is under way.
func (p *Pairing) show(now *session) {
	if now != nil && !now.hasEnded() {
		return
	}
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	switch _, free := p.Free(); {
	case free && last != light.Failed:
		p.light(light.Looking)
	case !free && (last == light.Looking || last == light.Failed):
		p.light(light.Off)
	}
}

func (p *Pairing) light(pattern light.Pattern) {
	p.mu.Lock()
	p.last = pattern
	p.mu.Unlock()
	if p.Light != nil {
		p.Light.Show(pattern)
	}
}

// options are what the protocol's side is given; save keeps its states.
func (p *Pairing) options(save func([]byte) error) pairing.CameraOptions {
	how, free := p.Free()
	if !free {
		how = ownership.AcquiredPaired // of a pairing that has accepted: it says no hello any more
	}
	return pairing.CameraOptions{
		Device: p.Device, Key: p.Key, Protection: p.Protection, Firmware: p.Firmware,
		Acquired: how, ClockRight: p.ClockRight(time.Now()), Save: save,
	}
}

// resume is the pairing that a restart cut short, nil if there is none. A state that
// cannot be read is that of no pairing: a new code will do.
func (p *Pairing) resume() (*session, error) {
	if err := settle(p.Dir, p.Device.Ownership()); err != nil {
		return nil, err
	}
	state, err := p.Dir.ReadFile(stateFile, pairing.MaxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !errors.Is(err, durable.ErrTooLarge) {
		return nil, fmt.Errorf("read pairing state: %w", err)
	}
	s := p.newSession()
	if s.camera, err = pairing.RestoreCamera(state, p.options(s.save), time.Now()); err != nil {
		p.Log.Warn("the pairing that was under way is lost; show a new code", "error", err)
		return nil, nil
	}
	p.use(s.camera.Rendezvous())
	if err := s.way.of(s.camera.Code()); err != nil {
		return nil, err
	}
	switch s.camera.Phase() {
	case pairing.PhaseBegun, pairing.PhaseAgreed:
		p.Log.Info("pairing goes on", "phase", s.camera.Phase())
		return s, nil
	}
	return nil, nil
}

// usable says whether a code can be used, before anything is given up for it.
func (p *Pairing) usable(code *pairing.Code) error {
	if p.wasUsed(code.Rendezvous()) {
		return ErrUsed
	}
	if _, free := p.Free(); !free {
		return ErrNotFree
	}
	if err := p.reachable(code); err != nil {
		return err
	}
	_, err := pairing.NewCamera(code, p.options(func([]byte) error { return nil }), time.Now())
	return err
}

// begin is a session with a code. What an earlier code said of a hub is over.
func (p *Pairing) begin(code *pairing.Code) (*session, error) {
	if err := forgetNext(p.Dir); err != nil {
		return nil, err
	}
	s := p.newSession()
	if err := s.way.of(code); err != nil {
		return nil, err
	}
	var err error
	if s.camera, err = pairing.NewCamera(code, p.options(s.save), time.Now()); err != nil {
		return nil, err
	}
	p.use(code.Rendezvous())
	p.Health.Set(conditionPairing, health.Warning, causeCalling)
	p.Health.Clear(conditionFailed)
	return s, nil
}

// reachable says whether there is a way to the owner of a code.
func (p *Pairing) reachable(code *pairing.Code) error {
	configured, err := p.Hub()
	switch {
	case err != nil:
		return err
	case code.Hub != nil && configured != nil && code.Hub.ID != configured.ID:
		return fmt.Errorf("%w: the code's is %s, this camera's %s", ErrOtherHub, code.Hub.ID.Short(), configured.ID.Short())
	case code.Hub != nil || configured != nil || len(p.Lines) > 0:
		return nil
	}
	learned, err := Learned(p.Dir, p.Device.Ownership())
	if err == nil && learned == nil {
		err = ErrNoHub
	}
	return err
}

// use remembers a code, so that it is not taken again while it is still before the lens.
func (p *Pairing) use(rendezvous string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = append(p.used[max(0, len(p.used)-maxUsed+1):], rendezvous)
}

func (p *Pairing) wasUsed(rendezvous string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.used {
		if u == rendezvous {
			return true
		}
	}
	return false
}
