package pairing

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/pairing"
)

// codeFile is a code that was left for a camera that did not run.
const codeFile = "pairing-code"

// Leave puts a code into the state directory of a camera that does not run: it is taken
// at the next start. A text that is no code is a *pairing.Error.
func Leave(dir *durable.Dir, text secret.Text) error {
	if _, err := pairing.ParseCode(string(text)); err != nil {
		return err
	}
	if err := dir.WriteFile(codeFile, []byte(text), 0o600); err != nil {
		return fmt.Errorf("leave pairing code: %w", err)
	}
	return nil
}

// takeLeft has a code that was left used, once.
func (p *Pairing) takeLeft(use func(order)) error {
	b, err := p.Dir.ReadFile(codeFile, pairing.MaxCode+2)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	o := order{from: "file", reply: make(chan error, 1)}
	if err == nil {
		o.text = secret.Text(strings.TrimSpace(string(b)))
		o.code, err = pairing.ParseCode(string(o.text))
	}
	if err == nil {
		use(o)
	} else {
		p.told(o, err)
	}
	if err := p.Dir.Remove(codeFile); err != nil {
		return fmt.Errorf("forget the code that was left: %w", err)
	}
	return nil
}
