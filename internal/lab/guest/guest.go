// Package guest is process 1 of a machine of the lab, and how the host speaks
// with it.
//
// It owns the guest's start (file systems, modules, network, clock) and what the
// host can ask for: files, programs, a USB camera plugged in, a control set, what a
// process holds open. It never judges; the host's tests do.
//
// The guest connects to the host, and serves net/rpc on that connection. When the
// connection ends, the guest powers itself off.
package guest

import (
	"context"
	"fmt"
	"io"
	"net/rpc"
	"time"
)

// Where a guest finds what the host gave it, and how it is told whom to call.
const (
	// ModuleList has a line for each module: its file and its parameters.
	ModuleList = "/lab/modules"
	// HostParameter is the kernel parameter that names the host's address and port.
	HostParameter = "lab.host"
	// Address is the guest's, in the network that QEMU's user mode makes; the host is
	// HostAddress there, and reaches its own loopback.
	Address     = "10.0.2.15"
	HostAddress = "10.0.2.2"
)

// serviceName is what the guest's methods are under.
const serviceName = "Guest"

// maxFile bounds a file that is read, in bytes.
const maxFile = 32 << 20

// Facts are what the guest is.
type Facts struct {
	// Kernel and Machine are uname's release and machine.
	Kernel, Machine string
	// Uptime is how long it has run, and Trouble what went wrong at its start.
	Uptime  time.Duration
	Trouble []string
}

// File is a file with its contents.
type File struct {
	Path string
	Mode uint32
	Data []byte
}

// Program is a program to be started. Its output goes to the end of the file Log.
type Program struct {
	Path string
	Args []string
	Env  []string
	Log  string
}

// Exit is how a program ended.
type Exit struct {
	Code int
	// Signal ended it, or 0.
	Signal int
}

// SignalCall sends a signal to a program.
type SignalCall struct{ PID, Signal int }

// AskCall is an HTTP GET on a Unix socket.
type AskCall struct{ Socket, Path string }

// AttachCall plugs the USB device in that a USB/IP server at Address (host:port)
// has, into a port of the virtual host controller, 0 to 7.
type AttachCall struct {
	Address string
	BusID   string
	Port    int
}

// ControlCall sets a V4L2 control.
type ControlCall struct {
	Device string
	ID     uint32
	Value  int32
}

// Video is a node of a V4L2 device.
type Video struct{ Path, Name string }

// Census is what a process holds.
type Census struct {
	// Files counts its descriptors by what they lead to; Videos are those to video
	// nodes among them. Maps counts mappings of video nodes.
	Files, Videos, Maps int
	// Threads counts its threads, Resident its memory in bytes.
	Threads  int
	Resident int64
	// CPU is the time that it has used.
	CPU time.Duration
}

// Client is the host's end. Its methods are safe for concurrent use.
type Client struct{ rpc *rpc.Client }

// NewClient speaks with the guest at the other end of a connection.
func NewClient(conn io.ReadWriteCloser) *Client { return &Client{rpc.NewClient(conn)} }

// Close ends the connection, and with it the guest.
func (c *Client) Close() error { return c.rpc.Close() }

// callPatience bounds every call but Wait: a guest that takes longer is stuck.
const callPatience = time.Minute

// call waits for an answer no longer than callPatience and ctx last.
func call[R any](ctx context.Context, c *Client, method string, args any) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	return await[R](ctx, c, method, args)
}

// await waits for an answer as long as ctx lasts.
func await[R any](ctx context.Context, c *Client, method string, args any) (R, error) {
	var reply R
	done := c.rpc.Go(serviceName+"."+method, args, &reply, make(chan *rpc.Call, 1)).Done
	select {
	case made := <-done:
		if made.Error != nil {
			return reply, fmt.Errorf("ask guest for %s: %w", method, made.Error)
		}
		return reply, nil
	case <-ctx.Done():
		var none R // the other may still be written to
		return none, fmt.Errorf("ask guest for %s: %w", method, ctx.Err())
	}
}

// SetClock sets the guest's clock.
func (c *Client) SetClock(ctx context.Context, t time.Time) error {
	_, err := call[struct{}](ctx, c, "SetClock", t)
	return err
}

// Facts asks what the guest is.
func (c *Client) Facts(ctx context.Context) (Facts, error) {
	return call[Facts](ctx, c, "Facts", struct{}{})
}

// Put writes a file.
func (c *Client) Put(ctx context.Context, f File) error {
	_, err := call[struct{}](ctx, c, "Put", f)
	return err
}

// Get reads a file of at most 32 MiB.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return call[[]byte](ctx, c, "Get", path)
}

// Start starts a program and returns its process ID.
func (c *Client) Start(ctx context.Context, p Program) (int, error) {
	return call[int](ctx, c, "Start", p)
}

// Signal sends a signal to a program that Start started.
func (c *Client) Signal(ctx context.Context, pid, signal int) error {
	_, err := call[struct{}](ctx, c, "Signal", SignalCall{pid, signal})
	return err
}

// Wait waits for a program that Start started, once.
func (c *Client) Wait(ctx context.Context, pid int) (Exit, error) {
	return await[Exit](ctx, c, "Wait", pid)
}

// Ask makes an HTTP GET on a Unix socket and returns the body.
func (c *Client) Ask(ctx context.Context, socket, path string) ([]byte, error) {
	return call[[]byte](ctx, c, "Ask", AskCall{socket, path})
}

// Attach plugs a USB device in.
func (c *Client) Attach(ctx context.Context, a AttachCall) error {
	_, err := call[struct{}](ctx, c, "Attach", a)
	return err
}

// SetControl sets a V4L2 control of a node that others may have open.
func (c *Client) SetControl(ctx context.Context, device string, id uint32, value int32) error {
	_, err := call[struct{}](ctx, c, "SetControl", ControlCall{device, id, value})
	return err
}

// Videos lists the V4L2 nodes that there are.
func (c *Client) Videos(ctx context.Context) ([]Video, error) {
	return call[[]Video](ctx, c, "Videos", struct{}{})
}

// Census counts what a process holds.
func (c *Client) Census(ctx context.Context, pid int) (Census, error) {
	return call[Census](ctx, c, "Census", pid)
}
