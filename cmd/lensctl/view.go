package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/hub/front"
	"github.com/lensward/lensward/transport/hub/page"
)

// viewFlags are the settings of view.
type viewFlags struct {
	hub, listen, ca, owner string
}

// viewCommand serves the viewer page from the owner's own machine.
func viewCommand() *cobra.Command {
	var f viewFlags
	cmd := &cobra.Command{
		Use:   "view --hub URL [--owner DIR]",
		Short: "Serve the viewer page from this machine, for a hub anywhere",
		Long: `Serve the viewer page from this machine and pass its requests on to the hub. The
hub serves the same page, but could serve another one that looks the same and sends
your keys away; this one cannot be changed by it.

With --owner the address that is printed brings the viewer's half of that owner's
keys to the first page that opens it, and to no other: it can be used once.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.hub == "" {
				return cli.Hint(cli.Usage(errors.New("which hub?")), "usage: %s", cmd.UseLine())
			}
			return runView(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.hub, "hub", "", "the hub's viewer address, https://HOST:PORT or http://127.0.0.1:PORT")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:0", "loopback address of the page")
	fl.StringVar(&f.ca, "ca", "", "certificates (PEM) that the hub's must lead to; else the system's")
	fl.StringVar(&f.owner, "owner", "", "an owner's directory: give its viewer keys to the page")
	return cmd
}

func runView(ctx context.Context, f viewFlags, out, errOut io.Writer) error {
	log, err := cli.Logger(errOut, "info")
	if err != nil {
		return err
	}
	proxy, err := newProxy(f.hub, f.ca, log)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", proxy)
	mux.Handle("GET /", http.FileServerFS(page.FS()))
	fragment := ""
	if f.owner != "" {
		once, err := newHandover(f.owner)
		if err != nil {
			return err
		}
		mux.Handle("POST /local/keys", once)
		fragment = "#once=" + once.token
	}
	if !front.IsLoopback(f.listen) {
		return cli.Hint(cli.Usage(fmt.Errorf("%s is not a loopback address", f.listen)), "the page is for this machine; use 127.0.0.1:PORT")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen for the page: %w", err)
	}
	fmt.Fprintf(out, "http://%s/%s\n", l.Addr(), fragment)
	return front.Serve(ctx, front.NewServer(ctx, front.Secured(true, mux), nil, log), l)
}

// newProxy passes API requests on to a hub and tells the page who serves it.
func newProxy(hub, ca string, log *slog.Logger) (http.Handler, error) {
	to, err := url.Parse(hub)
	if err != nil || to.Host == "" || to.User != nil || to.Scheme != "https" && (to.Scheme != "http" || !front.IsLoopback(to.Host)) {
		return nil, cli.Hint(cli.Usage(fmt.Errorf("%q is not a hub's address", hub)), "give https://HOST:PORT, or http://127.0.0.1:PORT on this machine")
	}
	trust, err := trustIn(ca)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = to.Host
			r.Out.Header.Del("Cookie")
			r.Out.Header.Del("Origin")
			r.Out.Header.Del("Referer")
		},
		ModifyResponse: servedByView,
		Transport:      &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: trust},
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			log.Warn("the hub cannot be reached", "hub", to.Host, "error", err)
			front.Refuse(w, http.StatusBadGateway, "the hub cannot be reached from this machine", "is it running at "+to.Host+"?")
		},
	}, nil
}

// servedByView lets nothing from the hub through that a browser would run or show
// as a page of this origin, where the keys are: answers are JSON or bytes.
func servedByView(resp *http.Response) error {
	kept := http.Header{"Content-Type": {"application/octet-stream"}}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && t == "application/json" {
		kept.Set("Content-Type", t)
	}
	if v := resp.Header.Get("Retry-After"); v != "" {
		kept.Set("Retry-After", v)
	}
	resp.Header = kept
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return errors.New("the hub answers with a redirection")
	}
	if resp.Request.URL.Path != "/api/v1/hub" || resp.StatusCode != http.StatusOK {
		return nil
	}
	return rewriteAbout(resp)
}

// rewriteAbout sets "served_by" in the hub's description.
func rewriteAbout(resp *http.Response) error {
	const limit = 64 << 10
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return fmt.Errorf("read the hub's description: %w", err)
	}
	var about map[string]any
	if err := json.Unmarshal(b, &about); err != nil {
		return fmt.Errorf("read the hub's description: %w", err)
	}
	about["served_by"] = "view"
	if b, err = json.Marshal(about); err != nil {
		return fmt.Errorf("write the hub's description: %w", err)
	}
	body := resp.Body
	resp.Body, resp.ContentLength = readCloser{bytes.NewReader(b), body}, int64(len(b))
	return nil
}

// readCloser reads one thing and closes another.
type readCloser struct {
	io.Reader
	io.Closer
}
