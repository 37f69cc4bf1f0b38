package capture

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// drain reads what waits in a closed subscription.
func drain(s *Subscription) []uint64 {
	var seqs []uint64
	for f := range s.C {
		seqs = append(seqs, f.Seq)
	}
	return seqs
}

func emitN(f *Fanout, n uint64) {
	for seq := range n {
		f.Emit(Frame{Seq: seq})
	}
}

func TestFanoutPolicies(t *testing.T) {
	tests := []struct {
		policy  Policy
		want    []uint64
		dropped uint64
	}{
		{DropOldest, []uint64{7, 8, 9}, 7},
		{DropNewest, []uint64{0, 1, 2}, 7},
	}
	for _, test := range tests {
		t.Run(test.policy.String(), func(t *testing.T) {
			fan := NewFanout()
			sub := fan.Subscribe("test", 3, test.policy)
			emitN(fan, 10)
			fan.Close()
			if got := drain(sub); !slices.Equal(got, test.want) {
				t.Errorf("received %v, want %v", got, test.want)
			}
			if got := sub.Dropped(); got != test.dropped {
				t.Errorf("dropped %d, want %d", got, test.dropped)
			}
			if sub.Name() != "test" {
				t.Errorf("name is %q", sub.Name())
			}
		})
	}
}

func TestFanoutDepthIsAtLeastOne(t *testing.T) {
	fan := NewFanout()
	sub := fan.Subscribe("zero", 0, DropOldest)
	emitN(fan, 3)
	fan.Close()
	if got := drain(sub); !slices.Equal(got, []uint64{2}) {
		t.Errorf("received %v, want the newest frame alone", got)
	}
}

// A Wait subscriber holds Emit up until it reads, and never the others' frames.
func TestFanoutWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fan := NewFanout()
		slow := fan.Subscribe("slow", 1, Wait)
		quick := fan.Subscribe("quick", 10, DropNewest)
		done := make(chan struct{})
		go func() {
			defer close(done)
			emitN(fan, 4)
			fan.Close()
		}()
		synctest.Wait()
		if got := len(quick.C); got != 2 {
			t.Errorf("the other subscriber holds %d frames while Emit waits, want 2", got)
		}
		if got := drain(slow); !slices.Equal(got, []uint64{0, 1, 2, 3}) {
			t.Errorf("received %v, want every frame", got)
		}
		<-done
		if slow.Dropped() != 0 {
			t.Errorf("a Wait subscriber dropped %d frames", slow.Dropped())
		}
	})
}

// A waiting Emit is set free by either Close.
func TestFanoutCloseFreesEmit(t *testing.T) {
	closers := map[string]func(*Fanout, *Subscription){
		"subscription": func(_ *Fanout, s *Subscription) { s.Close() },
		"fan-out":      func(f *Fanout, _ *Subscription) { f.Close() },
	}
	for name, shut := range closers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fan := NewFanout()
				sub := fan.Subscribe("stuck", 1, Wait)
				done := make(chan struct{})
				go func() {
					defer close(done)
					emitN(fan, 5)
				}()
				synctest.Wait()
				shut(fan, sub)
				<-done
				if got := drain(sub); !slices.Equal(got, []uint64{0}) {
					t.Errorf("received %v after Close, want the one frame that was queued", got)
				}
			})
		})
	}
}

func TestFanoutAfterClose(t *testing.T) {
	fan := NewFanout()
	sub := fan.Subscribe("early", 1, Wait)
	fan.Close()
	fan.Close()
	sub.Close()
	fan.Emit(Frame{})
	late := fan.Subscribe("late", 1, Wait)
	if got := drain(late); got != nil {
		t.Errorf("a subscription to a closed fan-out received %v", got)
	}
	if got := drain(sub); got != nil {
		t.Errorf("received %v after Close", got)
	}
}

// Emit, Subscribe and both Closes at once: what a subscriber receives is in
// order, and received plus dropped is a whole run. The race detector does the
// rest.
func TestFanoutConcurrent(t *testing.T) {
	const frames, readers = 2000, 8
	fan := NewFanout()
	var wg sync.WaitGroup
	for i := range readers {
		policy := []Policy{DropOldest, DropNewest, Wait}[i%3]
		sub := fan.Subscribe("reader", 1+i, policy)
		leaves := i >= readers/2
		wg.Go(func() {
			last, received := int64(-1), uint64(0)
			for f := range sub.C {
				if int64(f.Seq) <= last {
					t.Errorf("frame %d after %d", f.Seq, last)
				}
				last = int64(f.Seq)
				if received++; leaves && received == 20 {
					sub.Close()
				}
			}
			if !leaves && received+sub.Dropped() != frames {
				t.Errorf("received %d and dropped %d, want %d together", received, sub.Dropped(), frames)
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			fan.Subscribe("passer-by", 1, Wait).Close()
		}
	})
	emitN(fan, frames)
	fan.Close()
	wg.Wait()
}
