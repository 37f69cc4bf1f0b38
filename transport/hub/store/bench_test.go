package store

import (
	"fmt"
	"testing"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// BenchmarkOwners is what a hub asks its store for one device and for one viewer, among so
// many owners with one camera and two items each.
func BenchmarkOwners(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkOwners(b, n) })
	}
}

func benchmarkOwners(b *testing.B, n int) {
	s, _, _ := open(b, b.TempDir())
	records, items := make([]*ownership.Ownership, n), make([]*seal.Item, n)
	for i := range records {
		p := newParty(b)
		o := p.record(b, 1, 1)
		records[i] = o
		if err := s.PutRecord(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		for seq := uint64(1); seq <= 2; seq++ {
			items[i] = p.itemOf(b, o, seq)
			if err := s.PutItem(b.Context(), items[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		ask  func(i int) error
	}{
		{"Connect", func(i int) error { return s.PutRecord(b.Context(), records[i]) }},
		{"Want", func(i int) error {
			_, err := s.Holds(b.Context(), items[i].Header.Ref(), items[i].Hash())
			return err
		}},
		{"Devices", func(i int) error {
			_, err := s.Records(b.Context(), records[i].Record.Owner)
			return err
		}},
		{"Timeline", func(i int) error {
			rows, _, err := s.Timeline(b.Context(), records[i].Record.Owner, 0, 100)
			if err == nil && len(rows) != 2 {
				err = fmt.Errorf("%d rows", len(rows))
			}
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := c.ask(i % n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
