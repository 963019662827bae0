package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// line is a step in one line.
func (s *Step) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d viewers", s.Viewers.Connected, s.Viewers.Asked)
	if l := s.Media.Latency; l != nil {
		fmt.Fprintf(&b, ", latency %.1f/%.1f ms", l.P50, l.P99)
	}
	fmt.Fprintf(&b, ", loss %.3f %%", s.Media.Loss)
	if s.Server != nil {
		fmt.Fprintf(&b, ", %.2f µs/packet, %.2f cores", s.Server.CPUPerPacket, s.Server.Cores)
	}
	fmt.Fprintf(&b, ", generator %.2f cores", s.Generator.Cores)
	return b.String()
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	if r.Stream != nil {
		fmt.Fprintf(&b, "published %.2f Mbit/s of video at %d frames/s to %s\n", float64(r.Stream.Bitrate)/1e6, r.Stream.FrameRate, r.WHIP)
	}
	if r.WHEP != "" {
		fmt.Fprintf(&b, "played from %s; SRTP offered: %s\n", r.WHEP, strings.Join(r.SRTP, ", "))
	}
	r.table(&b)
	for i := range r.Steps {
		r.Steps[i].remarks(&b)
	}
	if n := len(r.Steps); n > 0 {
		r.Steps[n-1].histogram(&b)
	}
	if r.Interrupted {
		b.WriteString("\nended early: what was measured until then\n")
	}
	if l := r.Limit; l != nil {
		fmt.Fprintf(&b, "\nthis machine serves %d viewers of this stream; with more, %s\n", l.Viewers, l.Reason)
		if l.Generator {
			b.WriteString("the generator was the limit: the server may serve more\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("bench: write the report: %w", err)
	}
	return nil
}

// table has a row for each kind of figure and a column for each step.
func (r *Report) table(b *strings.Builder) {
	if len(r.Steps) == 0 {
		return
	}
	b.WriteByte('\n')
	cells := make([][]string, len(rows))
	widths := make([]int, len(r.Steps))
	for i, row := range rows {
		for k := range r.Steps {
			c := row.cell(&r.Steps[k])
			cells[i] = append(cells[i], c)
			widths[k] = max(widths[k], len(c))
		}
	}
	for i, row := range rows {
		if strings.Join(cells[i], "") == "" {
			continue
		}
		// Widths are in characters, and names may have some that are not ASCII.
		b.WriteString(row.name + strings.Repeat(" ", max(0, nameWidth-utf8.RuneCountInString(row.name))))
		for k, c := range cells[i] {
			fmt.Fprintf(b, "  %*s", widths[k], c)
		}
		b.WriteByte('\n')
	}
}

// nameWidth is that of the first column.
const nameWidth = 29

// rows is what the table tells, in order. A row that is empty in every step is left
// out.
var rows = []struct {
	name string
	cell func(*Step) string
}{
	{"viewers connected", func(s *Step) string { return fmt.Sprint(s.Viewers.Connected) }},
	{"refused / failed", func(s *Step) string { return counts(s.Viewers.Refused, s.Viewers.Failed) }},
	{"silent / closed by server", func(s *Step) string { return counts(s.Viewers.Silent, s.Viewers.Closed) }},
	{"SRTP", func(s *Step) string { return s.Profile }},
	{"received, Mbit/s", func(s *Step) string { return fmt.Sprintf("%.1f", s.Media.Mbit) }},
	{"latency p50 / p99, ms", func(s *Step) string {
		return latencyCell(s.Media.Latency, func(l *Latency) (float64, float64) { return l.P50, l.P99 })
	}},
	{"latency p95 / max, ms", func(s *Step) string {
		return latencyCell(s.Media.Latency, func(l *Latency) (float64, float64) { return l.P95, l.Max })
	}},
	{"loss end to end, %", func(s *Step) string { return percentCell(s.Media.StampLoss) }},
	{"loss by sequence, %", func(s *Step) string { return percentCell(&s.Media.Loss) }},
	{"short of published, %", func(s *Step) string { return percentCell(s.Media.Short) }},
	{"POST p50 / p99, ms", func(s *Step) string { return quantilesCell(s.Join.Post) }},
	{"first media p50 / p99, ms", func(s *Step) string { return quantilesCell(s.Join.FirstMedia) }},
	{"first keyframe p50 / p99, ms", func(s *Step) string { return quantilesCell(s.Join.FirstKeyframe) }},
	{"refusal p50 / p99, ms", func(s *Step) string { return quantilesCell(s.Join.Refusal) }},
	{"all joined in, s", func(s *Step) string { return fmt.Sprintf("%.2f", s.Join.Seconds) }},
	{"others' p99 meanwhile, ms", func(s *Step) string {
		if s.Join.Others == nil || s.Join.Others.Latency == nil {
			return ""
		}
		return fmt.Sprintf("%.1f", s.Join.Others.Latency.P99)
	}},
	{"server, cores", func(s *Step) string { return serverCell(s, "%.2f", func(r *Server) float64 { return r.Cores }) }},
	{"server, µs/packet", func(s *Step) string {
		return serverCell(s, "%.2f", func(r *Server) float64 { return r.CPUPerPacket })
	}},
	{"viewers/core", func(s *Step) string {
		return serverCell(s, "%.0f", func(r *Server) float64 { return r.ViewersPerCore })
	}},
	{"server RSS, MiB", func(s *Step) string {
		return serverCell(s, "%.1f", func(r *Server) float64 { return float64(r.RSS) / 1024 })
	}},
	{"RSS/viewer, KiB", func(s *Step) string {
		return serverCell(s, "%.1f", func(r *Server) float64 { return r.RSSPerViewer })
	}},
	{"generator, cores", func(s *Step) string { return fmt.Sprintf("%.2f", s.Generator.Cores) }},
}

func counts(a, b int) string { return fmt.Sprintf("%d / %d", a, b) }

func percentCell(p *float64) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%.3f", *p)
}

func quantilesCell(q *Quantiles) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf("%.1f / %.1f", q.P50, q.P99)
}

func latencyCell(l *Latency, of func(*Latency) (float64, float64)) string {
	if l == nil {
		return ""
	}
	x, y := of(l)
	return fmt.Sprintf("%.2f / %.2f", x, y)
}

func serverCell(s *Step, format string, of func(*Server) float64) string {
	if s.Server == nil {
		return ""
	}
	return fmt.Sprintf(format, of(s.Server))
}

// remarks tells what the table does not.
func (s *Step) remarks(b *strings.Builder) {
	say := func(format string, args ...any) {
		fmt.Fprintf(b, "%d of %d viewers: "+format+"\n", append([]any{s.Viewers.Connected, s.Viewers.Asked}, args...)...)
	}
	for _, f := range s.Join.Failures {
		say("%d could not join: %s", f.Count, f.Reason)
	}
	if s.Viewers.Refused > 0 {
		say("%d were refused, %d of them with Retry-After", s.Viewers.Refused, s.Join.RetryAfter)
	}
	if s.Media.Undecryptable > 0 {
		say("%d packets could not be decrypted", s.Media.Undecryptable)
	}
	if s.Generator.Limit != "" {
		say("do not blame the server: %s", s.Generator.Limit)
	}
}

// barWidth is how many characters the longest bar has.
const barWidth = 50

// histogram draws the latencies.
func (s *Step) histogram(b *strings.Builder) {
	var most, all uint64
	for _, bar := range s.Histogram {
		most = max(most, bar.Packets)
		all += bar.Packets
	}
	if most == 0 {
		return
	}
	fmt.Fprintf(b, "\nlatency of %d packets at %d viewers\n", all, s.Viewers.Connected)
	for _, bar := range s.Histogram {
		width := int((bar.Packets*barWidth + most - 1) / most)
		line := fmt.Sprintf("%10.2f ms %6.2f %%  %s", bar.UpTo, 100*float64(bar.Packets)/float64(all), strings.Repeat("#", width))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
