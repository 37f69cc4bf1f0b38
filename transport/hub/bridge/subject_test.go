package bridge

import (
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// Whatever topic a broker names, only devices' own become subjects, each its own.
func FuzzSubject(f *testing.F) {
	id := seal.ID{7}.String()
	for _, topic := range []string{
		"lensward/1/" + id + "/item", "lensward/1/" + id + "/answer", "lensward/1/" + id + "/down", "lensward/1/+/item", "lensward/1/*/item", "lensward/1/>/item",
		"lensward/1/" + id + "/item/", "lensward/2/" + id + "/item", "lensward/1/" + id + ".x/item", "$SYS/broker", "", "lensward.1." + id + ".item",
	} {
		f.Add(topic)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		subject, ok := subjectOf(topic)
		if !ok {
			if subject != "" {
				t.Errorf("%q is refused and gives %q", topic, subject)
			}
			return
		}
		parts := strings.Split(subject, ".")
		if len(parts) != 4 || strings.ContainsAny(subject, "*>/ ") || strings.Join(parts, "/") != topic {
			t.Fatalf("%q becomes %q", topic, subject)
		}
		if device, err := seal.ParseID(parts[2]); err != nil || device.String() != parts[2] {
			t.Errorf("%q becomes %q: %v", topic, subject, err)
		}
	})
}
