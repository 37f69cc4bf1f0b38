package mailbox

import "testing"

func FuzzWhere(f *testing.F) {
	f.Add([]byte(`{"id":"x","mqtt":"hub.example:8883"}`))
	f.Add([]byte(`{"mqtt":"[2001:db8::1]:8883"}`))
	f.Add([]byte(`{"mqtt":":1"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWhere(b)
		if err == nil && !isAddress(w.Broker) || err != nil && w.Broker != "" {
			t.Fatalf("%q is read as %q, %v", b, w.Broker, err)
		}
	})
}
