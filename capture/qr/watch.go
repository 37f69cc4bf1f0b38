package qr

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/internal/wait"
)

// Settings are a watch's.
type Settings struct {
	// Prefix is how the texts begin that are looked for.
	Prefix string
	// Found is called with each text, once for each, from Run's goroutine. While it runs
	// nothing is read; the source is not kept waiting.
	Found func(text string)
	// Every is the least time from the start of one picture to the start of the next;
	// 200 ms if 0.
	Every time.Duration
	// Share is how much of one core the reading may take, above 0 and at most 1; 1/2 if 0.
	// It is kept by a pause after each picture, as long as its reading took asks for.
	Share float64
	// Budget is how long one picture is read, as NewReader takes it.
	Budget time.Duration
	// Log gets a line if frames cannot be read; nil for none.
	Log *slog.Logger
}

// Stats count what a watch did.
type Stats struct {
	// Pictures were read; of these Failed had something wrong.
	Pictures, Failed uint64
	// Work is the time that reading took.
	Work time.Duration
	// Err is what was wrong with the newest picture, or says that for 10 s none came; nil if
	// nothing is.
	Err error
}

// Watch looks for codes in what a camera gives, while Run runs. Where it is slower than the
// camera it takes the newest frame. Its methods may be called from any goroutine.
type Watch struct {
	fan      *capture.Fanout
	settings Settings
	seen     [][sha256.Size]byte // the newest last; Run's own

	mu    sync.Mutex
	stats Stats
}

const (
	defaultEvery = 200 * time.Millisecond
	defaultShare = 0.5
	// maxSeen is how many texts are remembered as given.
	maxSeen = 16
	// patience is how long frames may come without a picture before the log says so.
	patience = 10 * time.Second
)

// NewWatch returns a watch over what fan gives. Settings must have Found.
func NewWatch(fan *capture.Fanout, settings Settings) *Watch {
	if settings.Every <= 0 {
		settings.Every = defaultEvery
	}
	if !(settings.Share > 0 && settings.Share <= 1) {
		settings.Share = defaultShare
	}
	if settings.Log == nil {
		settings.Log = slog.New(slog.DiscardHandler)
	}
	return &Watch{fan: fan, settings: settings}
}

// Run reads until ctx is done (its error) or the fan-out closes (nil). It may be called
// again after it returned; a text that was given is not given again.
func (w *Watch) Run(ctx context.Context) error {
	sub := w.fan.Subscribe("qr", 1, capture.DropOldest)
	defer sub.Close()
	reader := NewReader(w.settings.Prefix, w.settings.Budget)
	blind := time.Time{} // since when no picture could be read; zero: the last one could
	told := false
	for {
		var frame capture.Frame
		var open bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case frame, open = <-sub.C:
			if !open {
				return nil
			}
		}
		began := time.Now()
		texts, err := reader.Read(ctx, frame)
		work := time.Since(began)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, ErrNoPicture) {
			w.count(work, err)
		}
		for _, text := range texts {
			w.give(text)
		}
		switch {
		case err == nil:
			blind, told = time.Time{}, false
		case blind.IsZero():
			blind = began
		case !told && began.Sub(blind) >= patience:
			told = true
			w.blind(err)
			w.settings.Log.Warn("the camera gives no picture that codes can be read from", "error", err)
		}
		if errors.Is(err, ErrNoPicture) {
			continue // the next frame may have a preview
		}
		if err := wait.For(ctx, w.pause(time.Since(began), work)); err != nil {
			return err
		}
	}
}

// pause is how long to wait after a picture that took some work, spent being the time since
// it began.
func (w *Watch) pause(spent, work time.Duration) time.Duration {
	rest := time.Duration(float64(work)/w.settings.Share) - work
	return max(w.settings.Every-spent, rest, 0)
}

// give calls Found with a text that was not given before.
func (w *Watch) give(text string) {
	hash := sha256.Sum256([]byte(text))
	if slices.Contains(w.seen, hash) {
		return
	}
	if len(w.seen) >= maxSeen {
		w.seen = slices.Delete(w.seen, 0, 1)
	}
	w.seen = append(w.seen, hash)
	w.settings.Found(text)
}

func (w *Watch) count(work time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Err = err
	w.stats.Pictures++
	w.stats.Work += work
	if err != nil {
		w.stats.Failed++
	}
}

func (w *Watch) blind(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Err = err
}

// Stats gives what the watch did so far.
func (w *Watch) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}
