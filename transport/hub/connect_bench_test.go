package hub

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/authority"
)

// benchDir, in the environment, makes the test binary a hub on that directory, so that
// the hub's processor time can be told from that of its devices.
const benchDir = "LENSWARD_BENCH_HUB"

func TestMain(m *testing.M) {
	if dir := os.Getenv(benchDir); dir != "" {
		if err := benchHub(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// benchHub runs a hub, whose addresses it prints, until it is interrupted. SIGUSR1 shuts
// its gate.
func benchHub(dir string) error {
	h, err := New(Options{Dir: dir, SyncInterval: time.Hour})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	shut := make(chan os.Signal, 1)
	signal.Notify(shut, syscall.SIGUSR1)
	go func() {
		<-shut
		h.gate.Shut(true)
		fmt.Println("shut")
	}()
	go func() {
		<-h.Ready()
		fmt.Println(h.MQTTAddr(), h.DeviceURL())
	}()
	return h.Run(ctx)
}

// benched is a hub in a process of its own.
type benched struct {
	*running // of which only addresses and CA are there
	cmd      *exec.Cmd
	said     *bufio.Scanner
}

func startBenched(b *testing.B) *benched {
	b.Helper()
	dir := b.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	p := &benched{cmd: cmd, said: bufio.NewScanner(out)}
	addresses := strings.Fields(p.line(b))
	state, err := durable.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	ca, err := authority.Open(state)
	if err != nil {
		b.Fatal(err)
	}
	p.running = &running{Hub: &Hub{authority: ca, mqttAddr: addresses[0], deviceURL: addresses[1]}}
	return p
}

func (p *benched) line(b *testing.B) string {
	b.Helper()
	if !p.said.Scan() {
		b.Fatal("the hub says nothing")
	}
	return p.said.Text()
}

// cpu is the processor time that the hub has used, over all its threads.
func (p *benched) cpu(b *testing.B) time.Duration {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		b.Skip("no /proc/PID/task/*/schedstat here")
	}
	var total time.Duration
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has just ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(ns)
	}
	return total
}

// What a connect costs the hub's processors, up to the answer to the device's record and
// the end of the session: with a full handshake, with a resumed one, and when it is
// refused at the gate.
func BenchmarkConnect(b *testing.B) {
	p := startBenched(b)
	c := newCamera(b, newOwner(b))
	cert := enrol(b, p.running, c.key)
	cost := make(map[string]float64)
	measure := func(name string, connect func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			before := p.cpu(b)
			for b.Loop() {
				connect(b)
			}
			cost[name] = float64(p.cpu(b)-before) / float64(b.N)
			b.ReportMetric(cost[name]/1e3, "hub-µs/op")
			b.ReportMetric(cost[name]/cost["full"], "of-full")
		})
	}
	session := func(cache tls.ClientSessionCache) func(b *testing.B) {
		return func(b *testing.B) {
			l := connect(b, p.running, c, cert, func(o *mqtt.ClientOptions) {
				o.TLSConfig.ClientSessionCache, o.TLSConfig.ServerName = cache, "localhost"
			})
			l.publish(b, topicRecord, c.record.Bytes())
			l.next(b)
			l.client.Disconnect(0)
		}
	}
	measure("full", session(nil))
	measure("resumed", session(tls.NewLRUClientSessionCache(1)))
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		b.Fatal(err)
	}
	p.line(b)
	measure("refused", func(b *testing.B) {
		conn, err := net.Dial("tcp", p.MQTTAddr())
		if err != nil {
			b.Fatal(err)
		}
		err = tls.Client(conn, &tls.Config{RootCAs: p.CAPool(), ServerName: "localhost"}).Handshake()
		if err == nil {
			b.Fatal("not refused")
		}
		_, _ = io.Copy(io.Discard, conn) // until the hub has closed it too
		_ = conn.Close()
	})
}
