//go:build linux

package guest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve speaks with a guest that is this process.
func serve(t *testing.T) *Client {
	t.Helper()
	host, guest := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(guest, []string{"no network"}) }()
	c := NewClient(host)
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestFilesAndPrograms(t *testing.T) {
	c, ctx, dir := serve(t), t.Context(), t.TempDir()
	script := filepath.Join(dir, "deep/down/script")
	if err := c.Put(ctx, File{Path: script, Mode: 0o755, Data: []byte("#!/bin/sh\necho \"$1 $WHAT\"\nexit 3\n")}); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	pid, err := c.Start(ctx, Program{Path: script, Args: []string{"hello"}, Env: []string{"WHAT=you"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := c.Wait(ctx, pid); err != nil || exit != (Exit{Code: 3}) {
		t.Errorf("the program ended with %+v, %v", exit, err)
	}
	if said, err := c.Get(ctx, log); err != nil || string(said) != "hello you\n" {
		t.Errorf("the program said %q, %v", said, err)
	}
	if _, err := c.Wait(ctx, pid); err == nil {
		t.Error("a program was waited for twice")
	}
	if _, err := c.Get(ctx, dir+"/nothing"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestSignalAndCensus(t *testing.T) {
	c, ctx := serve(t), t.Context()
	pid, err := c.Start(ctx, Program{Path: "/bin/sleep", Args: []string{"600"}, Log: os.DevNull})
	if err != nil {
		t.Fatal(err)
	}
	census, err := c.Census(ctx, pid)
	if err != nil || census.Files < 3 || census.Threads != 1 || census.Videos != 0 || census.Maps != 0 {
		t.Errorf("census %+v, %v", census, err)
	}
	if own, err := c.Census(ctx, os.Getpid()); err != nil || own.Resident < 1<<20 || own.Threads < 2 {
		t.Errorf("census of this process %+v, %v", own, err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(short, pid); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting no longer than ctx: %v", err)
	}
	if err := c.Signal(ctx, pid, int(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
}

func TestAsk(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			http.Error(w, "no such thing", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("fine"))
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	c := serve(t)
	if b, err := c.Ask(t.Context(), socket, "/status"); err != nil || string(b) != "fine" {
		t.Errorf("the answer is %q, %v", b, err)
	}
	if _, err := c.Ask(t.Context(), socket, "/other"); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestFacts(t *testing.T) {
	f, err := serve(t).Facts(t.Context())
	if err != nil || f.Kernel == "" || f.Machine == "" || f.Uptime <= 0 || len(f.Trouble) != 1 {
		t.Errorf("facts %+v, %v", f, err)
	}
}

func TestParameter(t *testing.T) {
	const line = "console=ttyAMA0 xlab.host=no lab.host=10.0.2.2:5 quiet\n"
	if v, err := parameter(line, HostParameter); err != nil || v != "10.0.2.2:5" {
		t.Errorf("parameter %q, %v", v, err)
	}
	if _, err := parameter("console=ttyAMA0", HostParameter); err == nil {
		t.Error("a parameter that is not there was found")
	}
}

// A process's name may look like the fields that follow it.
func TestParseStat(t *testing.T) {
	const stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 9 0 100 4096 3 18446744073709551615 1 1\n"
	var c Census
	if err := c.parseStat(stat); err != nil || c.Threads != 9 || c.CPU != 2*time.Second || c.Resident != 3*int64(os.Getpagesize()) {
		t.Errorf("census %+v, %v", c, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 9 0 100 4096 3 1 1 1\n")
	f.Add("")
	f.Add(")")
	f.Add("1 (x) ")
	f.Fuzz(func(t *testing.T, stat string) {
		var c Census
		if c.parseStat(stat) == nil && len(strings.Fields(stat)) < 23 {
			t.Errorf("read %+v from %q", c, stat)
		}
	})
}
