package storm

import (
	"context"
	"net"
	"net/rpc"
	"strings"
	"testing"
)

func TestWorkerEndsWithWhoAsksIt(t *testing.T) {
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), there) }()
	client := rpc.NewClient(here)
	var p Progress
	if err := client.Call("Worker.Look", Nothing(false), &p); err != nil || p != (Progress{}) {
		t.Errorf("a worker without devices says %+v, %v", p, err)
	}
	// A plan that cannot be carried out is an answer, not an end.
	plan := Plan{Dir: t.TempDir(), Count: 2, Policy: Ours, Hub: Hub{CA: []byte("none"), Devices: "https://127.0.0.1:1"}}
	if err := client.Call("Worker.Make", plan, new(Nothing)); err == nil || !strings.Contains(err.Error(), "make device") {
		t.Errorf("devices of a hub that is none: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

func TestWorkerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, there) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

func TestOptionsValidate(t *testing.T) {
	good := Options{Devices: 10, Processes: 2, Items: 10, Policy: Ours, Hint: Right, Mixup: 0.5, Viewers: 10}
	if err := good.Validate(); err != nil {
		t.Errorf("good options: %v", err)
	}
	nan := 0.0
	nan /= nan
	for _, change := range []func(*Options){
		func(o *Options) { o.Devices = 0 },
		func(o *Options) { o.Devices = MaxDevices + 1 },
		func(o *Options) { o.Processes = 0 },
		func(o *Options) { o.Processes = 11 },
		func(o *Options) { o.Items = -1 },
		func(o *Options) { o.Policy = "theirs" },
		func(o *Options) { o.Hint = "wrong" },
		func(o *Options) { o.Admit = nan },
		func(o *Options) { o.Drain = -1 },
		func(o *Options) { o.Outage = -1 },
		func(o *Options) { o.Mixup = 1.1 },
		func(o *Options) { o.Viewers = 11 },
	} {
		o := good
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Each device has an address of its own, and none is a network's or a broadcast's.
func TestSources(t *testing.T) {
	seen := map[string]bool{}
	for n := range MaxDevices {
		ip := source(n).To4()
		if seen[ip.String()] || !ip.IsLoopback() || ip[3] == 0 || ip[3] == 255 {
			t.Fatalf("device %d has %v", n, ip)
		}
		seen[ip.String()] = true
	}
}
