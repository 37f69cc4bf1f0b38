// Package cli is what both commands' mains share: results on stdout, everything
// else on stderr, hints for a person, and exit codes for a script.
//
// It owns exit codes and the form of errors. It never knows a verb.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Exit codes.
const (
	ExitOK           = 0
	ExitError        = 1
	ExitUsage        = 2
	ExitVerification = 3 // something did not verify, and was not shown
)

// exitError is an error with the code to leave with and what a person can do.
type exitError struct {
	error
	code int
	hint string
}

// Unwrap is the error itself.
func (e *exitError) Unwrap() error { return e.error }

// Usage marks an error as the caller's: exit code 2.
func Usage(err error) error { return &exitError{error: err, code: ExitUsage} }

// Verification marks an error as something that did not verify: exit code 3.
func Verification(err error) error { return &exitError{error: err, code: ExitVerification} }

// Hint adds what a person can do about an error.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &exitError{error: err, code: codeOf(err), hint: fmt.Sprintf(format, args...)}
}

func codeOf(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return ExitError
}

// Run runs a command until it ends or a signal asks it to, and returns the exit
// code. Errors go to stderr as "NAME: what went wrong", then "hint: …".
func Run(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
	err := root.ExecuteContext(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitOK
	}
	report(root.ErrOrStderr(), root.Name(), err)
	if strings.HasPrefix(err.Error(), "unknown command") {
		return ExitUsage
	}
	return codeOf(err)
}

func report(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: %v\n", name, err)
	var e *exitError
	for next := err; errors.As(next, &e); next = e.error {
		if e.hint != "" {
			fmt.Fprintf(w, "hint: %s\n", e.hint)
		}
	}
}

// Args turns cobra's complaints about arguments into usage errors.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Hint(Usage(err), "usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// Logger logs to stderr: text for people, at the level named.
func Logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, Usage(fmt.Errorf("log level %q is not debug, info, warn or error", level))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// IsTerminal says whether a person reads w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
