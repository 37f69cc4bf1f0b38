// Package waystest counts the ways through what an exhaustive test has explored.
//
// It owns the count. It never explores: what the states are, and what leads from one to
// another, is each test's own.
package waystest

import "math/big"

// Count is how many ways of at most depth actions there are from the state that has the
// most: that is the start, since every other is a part of it. Out says of a state how
// many actions leave it as it is, and how many lead to each other, by its name.
func Count[S any](states map[string]S, depth int, out func(S) (loop int, next map[string]int)) *big.Int {
	ways := make(map[string]*big.Int, len(states))
	for k := range states {
		ways[k] = big.NewInt(1)
	}
	for range depth {
		more := make(map[string]*big.Int, len(states))
		for k, s := range states {
			loop, next := out(s)
			sum := new(big.Int).Mul(big.NewInt(int64(loop)), ways[k])
			sum.Add(sum, big.NewInt(1))
			for to, count := range next {
				sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(count)), ways[to]))
			}
			more[k] = sum
		}
		ways = more
	}
	most := new(big.Int)
	for _, n := range ways {
		if n.Cmp(most) > 0 {
			most = n
		}
	}
	return most
}
