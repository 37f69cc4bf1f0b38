// Package secret is a text that does not show itself.
//
// It owns what is printed in place of a token or a password. It does not keep
// secrets: whoever means to have one converts it to a string.
package secret

import "log/slog"

// shown stands for every secret, the empty one too.
const shown = "[secret]"

// Text is a secret. It hides from fmt's verbs, from slog and from encoding/json;
// string(t) is the secret itself.
type Text string

// String hides the secret.
func (Text) String() string { return shown }

// GoString hides the secret.
func (Text) GoString() string { return shown }

// LogValue hides the secret.
func (Text) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalText hides the secret.
func (Text) MarshalText() ([]byte, error) { return []byte(shown), nil }
