package ownership

import (
	"errors"

	"github.com/lensward/lensward/transport/statement"
)

// Reason is the word by which the specification calls why a record or a release was
// refused; "" if err is no error of this package or of statement.
func Reason(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{ErrRight, "no-right"}, {ErrRollBack, "roll-back"}, {ErrSuccession, "not-next"},
		{ErrSignature, "bad-signature"}, {ErrInvalid, "bad-field"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return statement.Reason(err)
}
