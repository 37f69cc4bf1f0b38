package sim

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// The picture, in pixels: two panels, one above the other, that share the time axis.
const (
	plotWidth, plotHeight = 960, 620
	plotLeft, plotRight   = 84, 24
	topFrom, topTo        = 122, 340
	lowFrom, lowTo        = 388, 556
)

// plot draws one run.
type plot struct {
	bytes.Buffer
	c        Config
	r        *Result
	from, to int // seconds since the server's death
	bin      int // seconds that are drawn as one
	log      bool
	top      float64 // attempts a second at the upper edge
	floor    float64 // at the lower edge of a logarithmic panel
}

// Plot writes what happened as an SVG: attempts and connects a second, and how many devices
// are online, from shortly before the server's return until all are back.
func (r *Result) Plot(w io.Writer, c Config) error {
	p := &plot{c: c.withDefaults(), r: r}
	p.frame()
	p.head()
	p.time()
	p.attempts()
	p.online()
	p.dead()
	p.WriteString("</svg>\n")
	if _, err := w.Write(p.Bytes()); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// frame decides what is shown.
func (p *plot) frame() {
	s := p.r.Series
	last := len(s.Online) - 1
	for last > s.Return && s.Online[last] == s.Online[last-1] {
		last--
	}
	span := max(60, (last-s.Return)*21/20)
	if p.r.Online < 1 {
		span = max(span, int(6*p.c.Ideal().Seconds()))
	}
	p.from = max(0, s.Return-max(30, span/3))
	p.to = min(len(s.Attempts), s.Return+span)
	p.bin = max(1, (p.to-p.from)/400)
	for t := p.from; t+p.bin <= p.to; t += p.bin {
		p.top = max(p.top, p.rate(s.Attempts, t))
	}
	p.top = 1.15 * max(p.top, p.c.Admit)
	if p.log = p.top > 6*p.c.Admit; p.log {
		p.floor = p.c.Admit / 100
	}
}

// rate is the mean over a bin.
func (p *plot) rate(seconds []uint32, t int) float64 {
	var sum float64
	for _, k := range seconds[t:min(t+p.bin, len(seconds))] {
		sum += float64(k)
	}
	return sum / float64(p.bin)
}

// admitted is the mean rate of connects over a bin.
func (p *plot) admitted(t int) float64 {
	at := func(i int) float64 {
		if i < 0 || len(p.r.Series.Online) == 0 {
			return 0
		}
		return float64(p.r.Series.Online[min(i, len(p.r.Series.Online)-1)])
	}
	return max(0, at(t+p.bin-1)-at(t-1)) / float64(p.bin)
}

func (p *plot) x(second float64) float64 {
	return plotLeft + (second-float64(p.from))/float64(p.to-p.from)*(plotWidth-plotLeft-plotRight)
}

// y is where a rate lies in the upper panel.
func (p *plot) y(rate float64) float64 {
	share := rate / p.top
	if p.log {
		share = math.Log(max(rate, p.floor)/p.floor) / math.Log(p.top/p.floor)
	}
	return topTo - share*(topTo-topFrom)
}

// yOnline is where a share of the devices lies in the lower panel.
func yOnline(share float64) float64 { return lowTo - share*(lowTo-lowFrom) }

func (p *plot) text(x, y float64, class, s string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(s))
}

func (p *plot) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(p, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

// path draws points; an area is closed at the height given.
func (p *plot) path(class string, points [][2]float64, area float64) {
	if len(points) == 0 {
		return
	}
	var d strings.Builder
	for i, pt := range points {
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(i, 1)], pt[0], pt[1])
	}
	if area > 0 {
		fmt.Fprintf(&d, "L%.1f %.1fL%.1f %.1fZ", points[len(points)-1][0], area, points[0][0], area)
	}
	fmt.Fprintf(p, `<path d="%s" class="%s"/>`+"\n", d.String(), class)
}

const plotStyle = `<style>
text{font:13px system-ui,"DejaVu Sans",sans-serif;fill:#333}
.title{font-size:19px;font-weight:600;fill:#111}.sub{fill:#555}.axis{font-size:12px;fill:#666}
.end{text-anchor:end}.mid{text-anchor:middle}.panel{font-weight:600;fill:#222}
.grid{stroke:#e6e6e6}.edge{stroke:#999}.dead{fill:#f3e9e7}.deadtext{fill:#a2584a;text-anchor:middle}
.attempts{fill:#f2b880;stroke:#d9822b;stroke-width:1}.admitted{fill:none;stroke:#1f6f5c;stroke-width:2.2}
.limit{stroke:#b3261e;stroke-width:1.5;stroke-dasharray:7 4}.limittext{fill:#b3261e}
.onlinearea{fill:#d5e6f5;stroke:none}.online{fill:none;stroke:#1c62a8;stroke-width:2.4}
.ideal{stroke:#555;stroke-width:1.5;stroke-dasharray:2 4}
</style>
`

func (p *plot) head() {
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	p.WriteString(plotStyle)
	fmt.Fprintf(p, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	title := fmt.Sprintf("%s devices, %s connects a second, %s outage: %s", thousands(p.c.Devices), thousands(int(p.c.Admit)), span(p.c.Outage), p.c.Policy)
	if p.c.Policy == Ours {
		title += map[Hint]string{
			Right: ", right hint", NoHint: ", no hint", Small4: ", hint 4× too small", Large4: ", hint 4× too large",
		}[p.c.Hint]
	}
	p.text(plotLeft, 32, "title", title)
	within := "back after"
	if p.r.Online < 0.99 {
		within = "not back after"
	}
	sub := fmt.Sprintf("model %s, seed %d · 99 %% %s %.2f × ideal · peak %.2f × C · %.3f wasted attempts a device",
		p.c.Model, p.c.Seed, within, p.r.T99, p.r.Peak10, p.r.Wasted)
	if p.r.Ours != nil {
		sub = fmt.Sprintf("model %s, seed %d, %.0f %% with paho's own reconnecting%s · 99 %% of ours %.2f × ideal, of the others %.2f",
			p.c.Model, p.c.Seed, 100*p.c.Mix, map[bool]string{true: ", behind the hub's gate"}[p.c.Gate], p.r.Ours.T99, p.r.Rivals.T99)
	}
	p.text(plotLeft, 54, "sub", sub)
	p.legend()
}

func (p *plot) legend() {
	y := 78.0
	fmt.Fprintf(p, `<rect x="%d" y="%.0f" width="22" height="10" class="attempts"/>`+"\n", plotLeft, y-9)
	p.text(plotLeft+30, y, "", "attempts")
	p.line(plotLeft+112, y-4, plotLeft+134, y-4, "admitted")
	p.text(plotLeft+142, y, "", "let in")
	p.line(plotLeft+204, y-4, plotLeft+226, y-4, "limit")
	p.text(plotLeft+234, y, "", "what the server can admit (C)")
	p.line(plotLeft+446, y-4, plotLeft+468, y-4, "online")
	p.text(plotLeft+476, y, "", "devices online")
	p.line(plotLeft+592, y-4, plotLeft+614, y-4, "ideal")
	p.text(plotLeft+622, y, "", "ideal (N/C)")
}

// time draws what both panels share.
func (p *plot) time() {
	back := p.x(float64(p.r.Series.Return))
	for _, panel := range [][2]float64{{topFrom, topTo}, {lowFrom, lowTo}} {
		if width := back - plotLeft; width > 0 {
			fmt.Fprintf(p, `<rect x="%d" y="%.1f" width="%.1f" height="%.1f" class="dead"/>`+"\n", plotLeft, panel[0], width, panel[1]-panel[0])
		}
	}
	step := nice(float64(p.to-p.from) / 8 / 60)
	start := math.Ceil(float64(p.from-p.r.Series.Return) / 60 / step)
	for k := start; ; k++ {
		x := p.x(float64(p.r.Series.Return) + k*step*60)
		if x > plotWidth-plotRight {
			break
		}
		p.line(x, topFrom, x, topTo, "grid")
		p.line(x, lowFrom, x, lowTo, "grid")
		p.text(x, lowTo+18, "axis mid", fmt.Sprintf("%g", math.Round(k*step*100)/100+0))
	}
	p.text((plotLeft+plotWidth-plotRight)/2, plotHeight-18, "mid", "minutes since the server's return")
}

// dead labels the outage.
func (p *plot) dead() {
	if back := p.x(float64(p.r.Series.Return)); back-plotLeft > 90 {
		p.text((plotLeft+back)/2, (lowFrom+lowTo)/2, "deadtext", "server dead")
	}
}

func (p *plot) attempts() {
	p.text(plotLeft, topFrom-10, "panel", "connects a second"+map[bool]string{true: " (logarithmic)"}[p.log])
	for _, v := range p.marks() {
		p.line(plotLeft, p.y(v), plotWidth-plotRight, p.y(v), "grid")
		p.text(plotLeft-8, p.y(v)+4, "axis end", thousands(int(v)))
	}
	var all, in [][2]float64
	for t := p.from; t+p.bin <= p.to; t += p.bin {
		x := p.x(float64(t) + float64(p.bin)/2)
		all = append(all, [2]float64{x, p.y(p.rate(p.r.Series.Attempts, t))})
		if t >= p.r.Series.Return {
			in = append(in, [2]float64{x, p.y(p.admitted(t))})
		}
	}
	p.path("attempts", all, topTo)
	p.path("admitted", in, 0)
	p.line(plotLeft, p.y(p.c.Admit), plotWidth-plotRight, p.y(p.c.Admit), "limit")
	p.text(plotWidth-plotRight-4, p.y(p.c.Admit)-6, "limittext end", "C")
	p.line(plotLeft, topTo, plotWidth-plotRight, topTo, "edge")
}

// marks are the rates that get a line.
func (p *plot) marks() []float64 {
	var marks []float64
	if p.log {
		for v := math.Pow(10, math.Ceil(math.Log10(max(1, p.floor)))); v <= p.top; v *= 10 {
			marks = append(marks, v)
		}
		return marks
	}
	step := nice(p.top / 5)
	for v := 0.0; v <= p.top; v += step {
		marks = append(marks, v)
	}
	return marks
}

func (p *plot) online() {
	p.text(plotLeft, lowFrom-10, "panel", "devices online")
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		p.line(plotLeft, yOnline(share), plotWidth-plotRight, yOnline(share), "grid")
		p.text(plotLeft-8, yOnline(share)+4, "axis end", fmt.Sprintf("%.0f %%", 100*share))
	}
	var points [][2]float64
	for t := p.from; t < min(p.to, len(p.r.Series.Online)); t += p.bin {
		points = append(points, [2]float64{p.x(float64(t)), yOnline(float64(p.r.Series.Online[t]) / float64(p.c.Devices))})
	}
	if n := len(points); n > 0 {
		points = append(points, [2]float64{p.x(float64(p.to)), yOnline(p.r.Online)})
	}
	p.path("onlinearea", points, lowTo)
	back, ideal := float64(p.r.Series.Return), p.c.Ideal().Seconds()
	seen := min(ideal, float64(p.to)-back)
	p.line(p.x(back), yOnline(0), p.x(back+seen), yOnline(seen/ideal), "ideal")
	p.path("online", points, 0)
	p.line(plotLeft, lowTo, plotWidth-plotRight, lowTo, "edge")
}

// nice is the next of 1, 2, 5, 10 … times a power of ten.
func nice(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, k := range []float64{1, 2, 5} {
		if v <= k*unit {
			return k * unit
		}
	}
	return 10 * unit
}

// thousands writes a number in groups of three.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}
