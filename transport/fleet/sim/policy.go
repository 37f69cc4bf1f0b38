package sim

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Policy names how devices decide when to connect.
type Policy string

// The policies: ours, and the rivals as their libraries have them.
const (
	// Ours is transport/recovery, the agent's own code.
	Ours Policy = "ours"
	// Paho is paho.mqtt.golang's own reconnecting: at once, then after 1, 2, 4 … s, at
	// most 10 min, without jitter.
	Paho Policy = "paho"
	// Fixed5 waits 5 s.
	Fixed5 Policy = "fixed5"
	// Azure is the Azure IoT C SDK's exponential backoff: 1 to 30 s, 5 % jitter.
	Azure Policy = "azure"
	// Tailscale waits n² · 10 ms, at most 30 s, times 0.5 to 1.5.
	Tailscale Policy = "tailscale"
	// GRPC is gRPC's connection backoff: 1 s, 1.6 times as long each time, at most 120 s,
	// 20 % jitter.
	GRPC Policy = "grpc"
	// AWS is full jitter: uniform from 0 to 1, 2, 4 … s, at most 128 s.
	AWS Policy = "aws"
	// Decorrelated is decorrelated jitter: uniform from 1 s to three times the last wait,
	// at most 128 s.
	Decorrelated Policy = "decorrelated"
)

// Rivals are all policies but ours.
func Rivals() []Policy {
	return []Policy{Paho, Fixed5, Azure, Tailscale, GRPC, AWS, Decorrelated}
}

// backoff is a rival's rule: the wait before the connect after n failures, in seconds.
// Last is the wait before, u is uniform in [0, 1).
type backoff func(n int, last, u float64) float64

// rule gives a rival's rule.
func rule(p Policy) (backoff, error) {
	exponential := func(n int, by, most float64) float64 { return min(most, math.Pow(by, float64(n))) }
	switch p {
	case Paho:
		return func(n int, _, _ float64) float64 {
			if n == 0 {
				return 0
			}
			return exponential(n-1, 2, 600)
		}, nil
	case Fixed5:
		return func(int, float64, float64) float64 { return 5 }, nil
	case Azure:
		return func(n int, _, u float64) float64 { return exponential(n, 2, 30) * (1 + 0.05*(2*u-1)) }, nil
	case Tailscale:
		return func(n int, _, u float64) float64 {
			return min(30, float64(n+1)*float64(n+1)/100) * (0.5 + u)
		}, nil
	case GRPC:
		return func(n int, _, u float64) float64 { return exponential(n, 1.6, 120) * (1 + 0.2*(2*u-1)) }, nil
	case AWS:
		return func(n int, _, u float64) float64 { return exponential(n, 2, 128) * u }, nil
	case Decorrelated:
		return func(_ int, last, u float64) float64 { return min(128, 1+u*(3*max(last, 1)-1)) }, nil
	}
	return nil, fmt.Errorf("no policy is called %q", p)
}

// rival is one device's state under a rival's rule.
type rival struct {
	rand uint64
	last float32 // seconds
	n    uint16  // failures in this outage
}

// wait is how long the device waits now.
func (r *rival) wait(rule backoff) time.Duration {
	seconds := rule(int(r.n), float64(r.last), share(&r.rand))
	r.last = float32(seconds)
	r.n = min(r.n+1, math.MaxUint16-1)
	return time.Duration(seconds * float64(time.Second))
}

// share is uniform in [0, 1): wyrand, as in Wang Yi's wyhash, one word of state.
func share(state *uint64) float64 {
	*state += 0xa0761d6478bd642f
	high, low := bits.Mul64(*state, *state^0xe7037ed1a0b428db)
	return float64((high^low)>>11) / (1 << 53)
}
