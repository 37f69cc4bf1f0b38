package qr_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	own "github.com/lensward/lensward/capture/qr"
)

// What one 720p frame costs: in all ways, as one without a code does; in the first way
// alone, as one with a code does, or on a slow machine; and with a code.
func BenchmarkRead(b *testing.B) {
	s := shown(199, 3)
	empty := s
	empty.module = 0.01 // too far away to be seen
	noisy := empty
	noisy.noise = 20
	for _, c := range []struct {
		name   string
		frame  capture.Frame
		budget time.Duration
	}{
		{"code", s.frame(b), time.Hour},
		{"empty/first", empty.frame(b), 1},
		{"empty/all", empty.frame(b), time.Hour},
		{"noise/all", noisy.frame(b), time.Hour},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := own.NewReader(prefix, c.budget)
			b.ReportAllocs()
			began := processor(b)
			for b.Loop() {
				if c.budget == 1 {
					r = own.NewReader(prefix, 1)
				}
				texts, err := r.Read(b.Context(), c.frame)
				if err != nil || (len(texts) > 0) != (c.name == "code") {
					b.Fatal(texts, err)
				}
			}
			report(b, began)
		})
	}
	b.Run("decode alone", func(b *testing.B) {
		frame := s.frame(b)
		b.ReportAllocs()
		began := processor(b)
		for b.Loop() {
			decoded(b, frame)
		}
		report(b, began)
	})
}

// processor is the processor time of the process so far: on a machine that has other things
// to do it is the time that counts.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, began time.Duration) {
	b.ReportMetric(float64(processor(b)-began)/1e6/float64(b.N), "cpu-ms/op")
}
