package spool

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// mostWritten is how many bytes may be written for each byte of an item.
const mostWritten = 2.2

// written is what this process has had the file system write so far, in bytes;
// see proc_pid_io(5), write_bytes.
func written(t testing.TB) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^write_bytes: (\d+)$`).FindSubmatch(data)
	if m == nil {
		t.Fatalf("no write_bytes in %q", data)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// measure appends and delivers n items of about size bytes, opening and closing
// the spool included, and returns how many bytes were written for each of theirs.
func measure(t testing.TB, n, size int) float64 {
	t.Helper()
	w := newWorld(t)
	dir := t.TempDir()
	w.close(w.open(quiet(w.options(dir, 1, Budgets{})))) // the ballast is written once in a spool's life
	before := written(t)
	s := w.open(quiet(w.options(dir, 2, Budgets{})))
	var items int64
	for i := range n {
		d := draft(seal.KindThumbnail, 1, size)
		if size > seal.MaxThumbnail {
			d = part(1, uint32(i), size)
		}
		e, err := s.Append(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		items += e.Size
		if err := s.Forget(e.Ref, e.Hash); err != nil {
			t.Fatal(err)
		}
	}
	w.close(s)
	return float64(written(t)-before) / float64(items)
}

// TestWriteAmplification holds the spool to its limit. A file system in memory
// writes nothing, which is under it too.
func TestWriteAmplification(t *testing.T) {
	for _, size := range []int{20_000, 90_000, 1 << 20} {
		ratio := measure(t, 20, size)
		t.Logf("items of %d bytes: %.2f bytes written for each", size, ratio)
		if ratio > mostWritten {
			t.Errorf("items of %d bytes: %.2f bytes written for each, at most %.1f", size, ratio, mostWritten)
		}
	}
}

// BenchmarkWriteAmplification reports bytes written for each byte of an item.
func BenchmarkWriteAmplification(b *testing.B) {
	for _, size := range []int{20_000, 90_000, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			ratio := measure(b, b.N, size)
			b.ReportMetric(ratio, "written/item-byte")
			b.SetBytes(int64(size))
			if b.N > 10 && ratio > mostWritten {
				b.Errorf("%.2f bytes written for each, at most %.1f", ratio, mostWritten)
			}
		})
	}
}

// BenchmarkOpen opens a spool of 2,000 items, with its index and from the blobs.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	dir := b.TempDir()
	s := w.open(quiet(w.options(dir, 1, Budgets{})))
	for range 2000 {
		w.append(s, draft(seal.KindEvent, 1, 200))
	}
	w.close(s)
	boot := uint64(1)
	for _, lost := range []bool{false, true} {
		b.Run(map[bool]string{false: "index", true: "blobs"}[lost], func(b *testing.B) {
			for b.Loop() {
				if lost {
					remove(b, s.dir.Path(indexName))
				}
				boot++
				w.close(w.open(quiet(w.options(dir, boot, Budgets{}))))
			}
		})
	}
}
