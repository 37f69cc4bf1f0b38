package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// demoFlags are the demo's settings.
type demoFlags struct {
	source   string
	listen   string
	mixup    float64
	lies     string
	once     bool
	asJSON   bool
	logLevel string
}

// demoCommand shows the main job on one machine.
func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a camera, a hub and an owner's viewer, with nothing to set up",
		Long: `Run a hub, a camera with its agent, and an owner, paired, in a temporary directory
that is removed in the end. Open the address that it prints: the page shows the
owner's pictures, verified and decrypted in the browser.

With --mixup P the hub lies as the broken cache did: with probability P it answers
with a neighbour's pictures. With --lie KIND,… it lies in the ways that lensctl hub
--lie has. Watch what the page makes of it.

With --once it leaves after a file has been played to its end (as fast as it goes,
unless the URL has a rate), or for other sources after the first event was opened
by its owner; the exit code is 3 if anything was shown that should not have been.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.mixup < 0 || f.mixup > 1 {
				return cli.Usage(fmt.Errorf("mix-up probability %v is not from 0 to 1", f.mixup))
			}
			return runDemo(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.source, "source", "scene:", "camera: scene:, file:PATH or v4l2:/dev/video0, with parameters")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:0", "address of the viewer page")
	fl.Float64Var(&f.mixup, "mixup", 0, "the hub lies with this probability, 0 to 1")
	fl.StringVar(&f.lies, "lie", "", "the hub lies in these ways, with commas between them")
	fl.BoolVar(&f.once, "once", false, "leave when the source has ended or the first event was opened")
	fl.BoolVar(&f.asJSON, "json", false, "print what happened as one JSON object in the end")
	fl.StringVar(&f.logLevel, "log", "warn", "debug, info, warn or error")
	return cmd
}

// demoReport is what the demo did.
type demoReport struct {
	Source       string `json:"source"`
	Frames       uint64 `json:"frames"`
	Events       uint64 `json:"events"`
	Items        uint64 `json:"items"`
	Delivered    uint64 `json:"delivered"`
	Verified     uint64 `json:"verified"`
	Opened       uint64 `json:"opened"`
	Withheld     uint64 `json:"withheld"`
	WronglyShown uint64 `json:"wrongly_shown"`
	// FirstPicture is from the program's start to the first picture that its owner
	// opened; -1 if there was none.
	FirstPicture int64 `json:"first_picture_ms"`
}

func runDemo(ctx context.Context, f demoFlags, out, errOut io.Writer) (err error) {
	started := time.Now()
	log, err := cli.Logger(errOut, f.logLevel)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lensward-demo-")
	if err != nil {
		return fmt.Errorf("make temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	world, err := newWorld(ctx, dir, f, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close()) }()

	watcher := &demoWatcher{started: started, errOut: errOut, first: -1, opened: make(chan struct{}), quiet: f.asJSON}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return world.run(ctx) })
	g.Go(func() error { return world.watch(ctx, watcher.take) })
	g.Go(func() error {
		if err := world.announce(ctx, f, out); err != nil {
			return err
		}
		if !f.once {
			return nil
		}
		defer leave()
		return world.finish(ctx, watcher.opened)
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, world.report(f, watcher.first).print(out, f))
}

func (r demoReport) print(out io.Writer, f demoFlags) error {
	if f.asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
	} else {
		fmt.Fprintf(out, "%d frames, %d events, %d items sealed, %d delivered; the owner verified %d and opened %d; %d withheld; %d wrongly shown\n",
			r.Frames, r.Events, r.Items, r.Delivered, r.Verified, r.Opened, r.Withheld, r.WronglyShown)
	}
	if r.WronglyShown > 0 {
		return cli.Verification(fmt.Errorf("%d items were shown that should not have been", r.WronglyShown))
	}
	return nil
}

// demoWatcher follows what the owner's viewer opens. It is the viewer's goroutine's
// alone until that has ended.
type demoWatcher struct {
	started time.Time
	errOut  io.Writer
	first   int64
	opened  chan struct{} // closed when the first event's record was opened
	done    bool
	quiet   bool
}

func (w *demoWatcher) take(e viewer.Event) {
	switch e := e.(type) {
	case viewer.Opened:
		w.open(e)
	case viewer.Withheld:
		w.say("withheld   %s", e.Reason)
	case viewer.Finding:
		w.say("finding    %s: %s", e.Name, e.Name.Words())
	}
}

func (w *demoWatcher) open(o viewer.Opened) {
	h := o.Header
	switch h.Kind {
	case seal.KindThumbnail:
		if w.first < 0 {
			w.first = time.Since(w.started).Milliseconds()
			w.say("first picture after %d ms", w.first)
		}
		w.say("thumbnail  event %.8s, %d KB, from camera %s: verified and opened", h.Event, len(o.Body)>>10, h.Device.Short())
	case seal.KindClip:
		w.say("clip       event %.8s, part %d, %d KB%s", h.Event, h.Part, len(o.Body)>>10, map[bool]string{true: ", the last"}[h.Last])
	case seal.KindEvent:
		w.say("event      event %.8s is over", h.Event)
		if !w.done {
			w.done = true
			close(w.opened)
		}
	}
}

func (w *demoWatcher) say(format string, args ...any) {
	if !w.quiet {
		fmt.Fprintf(w.errOut, format+"\n", args...)
	}
}

// atFullSpeed plays a file as fast as it goes where the URL does not say otherwise.
func atFullSpeed(source string) string {
	if !strings.HasPrefix(source, "file:") || strings.Contains(source, "rate=") {
		return source
	}
	if strings.Contains(source, "?") {
		return source + "&rate=max"
	}
	return source + "?rate=max"
}
