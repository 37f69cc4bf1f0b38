package gate

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// elsewhere is a connection that seems to come from another machine.
type elsewhere struct{ *net.TCPConn }

func (e elsewhere) RemoteAddr() net.Addr { return from("192.0.2.1:1").from }

// What a refusal costs, by an alert and by a reset, beside a handshake; the caller's own
// part, TCP and a ClientHello that was made before, is in all of them.
func BenchmarkRefusal(b *testing.B) {
	w := listen(b, 1)
	hello := clientHello(b, w)
	for name, prepare := range map[string]func(*Gate){
		"alert": func(g *Gate) { g.Shut(true) },
		"reset": func(g *Gate) {
			g.places = 0 // there is no room, not even to wait
			source, _ := sourceOf(elsewhere{})
			g.refused[source] = pushLimit
		},
		"first flight": func(*Gate) {}, // the server's part of a handshake up to its signature
	} {
		b.Run(name, func(b *testing.B) {
			g := New(1 << 20)
			prepare(g)
			guarded := g.Guard(w.base)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(b, err)
			defer l.Close()
			var serving sync.WaitGroup
			defer serving.Wait()
			before := cpu(b)
			for b.Loop() {
				c, err := net.Dial("tcp", l.Addr().String())
				must(b, err)
				s, err := l.Accept()
				must(b, err)
				serving.Go(func() {
					_ = tls.Server(elsewhere{s.(*net.TCPConn)}, guarded).Handshake() // fails, as it should
					_ = s.Close()
				})
				_, err = c.Write(hello)
				must(b, err)
				_, _ = io.ReadFull(c, make([]byte, 1)) // the first of what there is, or the reset
				must(b, c.Close())
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// clientHello is what a device sends first.
func clientHello(b *testing.B, w *world) []byte {
	b.Helper()
	near, far := net.Pipe()
	go func() {
		_ = tls.Client(near, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "localhost"}).Handshake() // nobody answers
	}()
	defer near.Close()
	out := make([]byte, 4<<10)
	n, err := far.Read(out)
	must(b, err)
	return out[:n]
}
