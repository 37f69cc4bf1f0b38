package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Print prints the report for a person.
func (r *Report) Print(w io.Writer) error {
	p := &printer{w: w}
	if r.Configured != nil {
		p.line("", "the configured camera")
		p.trial(r.Configured)
	}
	for _, c := range r.Cameras {
		p.camera(c)
	}
	for _, m := range r.Modules {
		p.line("", "%s  %s, %s", m.Source, m.Model, m.Size)
		p.trial(m.Trial)
	}
	if len(r.Cameras)+len(r.Modules) == 0 {
		p.line("", "no camera is there")
	}
	for _, t := range r.Tools {
		if t.Path == "" {
			p.line("", "%s is not installed; it is needed for %s", t.Name, t.For)
		}
	}
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(name, format string, args ...any) {
	if p.err != nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	if name != "" {
		text = fmt.Sprintf("  %-11s %s", name, text)
	}
	_, p.err = fmt.Fprintln(p.w, text)
}

func (p *printer) camera(c Camera) {
	p.line("", "%s  %s", c.Node, c.Card)
	if c.Driver != "" {
		p.line("where", "%s", where(c))
	}
	for i, o := range c.Offers {
		name := "gives"
		if i > 0 {
			name = " "
		}
		p.line(name, "%s", offered(o))
	}
	p.controls(c.Controls)
	if c.Problem != "" {
		p.line("problem", "%s", c.Problem)
	}
	if c.Advice != "" {
		p.line("advice", "%s", c.Advice)
	}
	p.trial(c.Trial)
}

// where says how a camera is attached.
func where(c Camera) string {
	where := c.Driver + ", " + c.Bus
	if c.Port != "" {
		where += ", USB port " + c.Port + " (" + c.Product + ")"
	}
	if c.Serial != "" {
		where += ", serial number " + c.Serial
	}
	return where
}

// offered is a format with its sizes.
func offered(o Offer) string {
	s := o.Format + ", " + o.Text
	if !o.Usable {
		s += " (of no use here)"
	}
	if len(o.Sizes) > 0 {
		s += ": " + strings.Join(o.Sizes, "; ")
	}
	return s
}

func (p *printer) controls(all []Control) {
	var names []string
	for _, k := range all {
		names = append(names, fmt.Sprintf("%s %d to %d", strings.ToLower(k.Name), k.Min, k.Max))
	}
	if len(names) > 0 {
		p.line("controls", "%s", strings.Join(names, ", "))
	}
}

func (p *printer) trial(t *Trial) {
	if t == nil {
		return
	}
	p.line("source", "%s", t.Source)
	if t.Format != "" {
		p.line("will take", "%s %d×%d at %.4g frames a second", t.Format, t.Width, t.Height, t.FPS)
	}
	if t.Why != "" {
		p.line("since", "%s", t.Why)
	}
	if t.Problem != "" {
		p.line("problem", "%s: %s", t.Condition, t.Problem)
		return
	}
	p.line("saw", "%.1f frames a second, %d bytes each", t.Measured, t.Bytes)
	if t.Picture != "" {
		p.line("picture", "%s", t.Picture)
	}
}
