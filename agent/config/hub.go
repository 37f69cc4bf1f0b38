package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const maxAddresses = 16

// Addresses is one address, or a list of them. In the file one may stand by itself, as
// text.
type Addresses []string

// UnmarshalText reads one.
func (a *Addresses) UnmarshalText(b []byte) error {
	*a = Addresses{string(b)}
	return nil
}

// IsSet says whether the configuration names a hub.
func (h *Hub) IsSet() bool { return len(h.Broker) > 0 }

// check holds where the items go: a hub is named wholly or not at all.
func (h *Hub) check() *Error {
	needs := []struct{ key, v string }{
		{"hub.broker", strings.Join(h.Broker, " ")}, {"hub.url", strings.Join(h.URL, " ")}, {"hub.ca_file", h.CAFile},
	}
	if needs[0].v+needs[1].v+needs[2].v == "" {
		return nil
	}
	for _, r := range needs {
		if r.v == "" {
			return &Error{Key: r.key, What: r.key + " is not set", Hint: "a hub needs broker, url and ca_file; without all three it comes with the pairing code"}
		}
	}
	for _, list := range []struct {
		key       string
		addresses Addresses
		good      func(string) bool
		hint      string
	}{
		{"hub.broker", h.Broker, isHostPort, `give host:port, such as "hub.example:8883"`},
		{"hub.url", h.URL, func(s string) bool { return isURL(s, "https") }, `give an address that begins with "https://"`},
	} {
		if n := len(list.addresses); n > maxAddresses {
			return &Error{Key: list.key, What: fmt.Sprintf("%s has %d addresses", list.key, n), Hint: fmt.Sprintf("give at most %d", maxAddresses)}
		}
		for _, a := range list.addresses {
			if !list.good(a) {
				return &Error{Key: list.key, What: fmt.Sprintf("%s is %q", list.key, a), Hint: list.hint}
			}
		}
	}
	if h.HintURL != "" && !isURL(h.HintURL, "https", "http") {
		return &Error{Key: "hub.hint_url", What: fmt.Sprintf("hub.hint_url is %q", h.HintURL), Hint: `give an address that begins with "https://" or "http://"`}
	}
	return nil
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && host != ""
}

func isURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return true
		}
	}
	return false
}
