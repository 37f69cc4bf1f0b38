package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/motion"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/cmd/internal/cli"
)

// motionCommand finds the events in a file.
func motionCommand() *cobra.Command {
	var asJSON bool
	var rate int
	cmd := &cobra.Command{
		Use:   "motion FILE",
		Short: "Find the events in a .mjpeg or .mp4 file",
		Long: `Find the events in FILE (.mjpeg or .mp4), or in any source URL, as a camera would
with its default settings, as fast as it goes. The times are those of motion, from
the file's beginning; cpu_s is this program's own CPU time. A camera looks at some of
its frames where more come in a second than help; --rate 0 looks at all.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := findMotion(cmd.Context(), fastURL(args[0]), rate, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return r.print(cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVar(&rate, "rate", config.Default().Motion.Rate, "look at so many frames a second; 0 is all")
	return cmd
}

// fastURL makes a file's name a source URL; what is one already stays.
func fastURL(name string) string {
	for _, scheme := range []string{"file:", "scene:", "v4l2:", "rpicam:"} {
		if strings.HasPrefix(name, scheme) {
			return name
		}
	}
	return "file:" + (&url.URL{Path: name}).EscapedPath() + "?rate=max"
}

// motionReport is what motion prints.
type motionReport struct {
	Frames int           `json:"frames"`
	Looked int           `json:"looked_at"`
	FPS    float64       `json:"fps"`
	CPU    float64       `json:"cpu_s"`
	Broken uint64        `json:"broken,omitempty"`
	Events []motionEvent `json:"events"`
}

type motionEvent struct {
	Start float64 `json:"start_s"`
	End   float64 `json:"end_s"`
}

func (r motionReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%d frames, %.1f a second of the file, %d looked at, %.2f s of CPU time, %d events\n",
		r.Frames, r.FPS, r.Looked, r.CPU, len(r.Events))
	for i, e := range r.Events {
		fmt.Fprintf(w, "%3d  %8.1f s to %8.1f s\n", i+1, e.Start, e.End)
	}
	return nil
}

// finder collects the events of a run of frames.
type finder struct {
	watcher     *watch.Watcher
	report      motionReport
	first, last time.Time
}

func findMotion(ctx context.Context, name string, rate int, progress io.Writer) (motionReport, error) {
	log, err := cli.Logger(progress, "error")
	if err != nil {
		return motionReport{}, err
	}
	src, info, err := source.Open(ctx, name, source.Options{Log: log})
	if err != nil {
		return motionReport{}, err
	}
	f := &finder{report: motionReport{Events: []motionEvent{}}}
	f.watcher, err = watch.Open(ctx, info.Format, info.Width, info.Height, watch.Settings{
		Motion: motion.DefaultSettings(), Event: event.DefaultSettings(), Rate: rate, Wait: true, Log: log,
	})
	if err != nil {
		return motionReport{}, err
	}
	bar := newSpinner(progress)
	err = f.run(ctx, src, bar)
	if closeErr := f.watcher.Close(); err == nil {
		err = closeErr
	}
	_ = bar.Finish() // it is only the bar
	f.report.CPU, f.report.Broken = cpuSeconds(), f.watcher.Broken()
	if d := f.last.Sub(f.first).Seconds(); d > 0 {
		f.report.FPS = float64(f.report.Frames-1) / d
	}
	return f.report, err
}

// newSpinner counts frames for a person who waits; the number of frames in a file
// is not known before its end.
func newSpinner(w io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("frames"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetVisibility(cli.IsTerminal(w)))
}

func (f *finder) run(ctx context.Context, src capture.Source, bar *progressbar.ProgressBar) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := src.Run(ctx, func(fr capture.Frame) {
		if err := f.look(ctx, fr, bar); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	seen, err := f.watcher.Finish(ctx)
	f.take(seen)
	return err
}

// barStep is how many frames the bar is told of at once.
const barStep = 16

// look takes one frame.
func (f *finder) look(ctx context.Context, fr capture.Frame, bar *progressbar.ProgressBar) error {
	if ctx.Err() != nil {
		return nil // it has ended already, and run says why
	}
	if f.report.Frames == 0 {
		f.first = fr.Time
	}
	f.report.Frames, f.last = f.report.Frames+1, fr.Time
	if f.report.Frames%barStep == 0 {
		_ = bar.Add(barStep) // it is only the bar
	}
	seen, err := f.watcher.Feed(ctx, fr)
	f.report.Looked += len(seen)
	f.take(seen)
	return err
}

func (f *finder) take(seen []watch.Observation) {
	for _, o := range seen {
		for _, tr := range o.Transitions {
			if tr.Kind == event.Ended {
				f.report.Events = append(f.report.Events, motionEvent{
					tr.Event.Declared.Sub(f.first).Seconds(), tr.Event.LastMotion.Sub(f.first).Seconds()})
			}
		}
	}
}

// cpuSeconds is this process's CPU time, its children's that have ended included.
func cpuSeconds() float64 {
	sum := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return sum
}
