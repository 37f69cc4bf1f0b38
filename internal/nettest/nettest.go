// Package nettest is what tests of several packages need of the network.
//
// It owns the choice of addresses for servers that have to be told one before they
// listen. It never listens for them.
package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is an address on loopback, as host:port, that nobody listens on just now.
// Its port is below those from which the kernel lets connections go out (32768 and above,
// ip(7)), so that none takes it before the server does, or while that is down.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}
