package main

import (
	"encoding/json"
	"fmt"
	"math"
)

// A result is one run of a scenario.
type result struct {
	Scenario string          `json:"scenario"`
	Side     side            `json:"side"`
	Round    int             `json:"round"`
	Figures  figures         `json:"figures"`
	Report   json.RawMessage `json:"report"` // of the generator, as it was
}

// A row is one line of the table.
type row struct {
	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Unit     string  `json:"unit,omitempty"`
	Ours     float64 `json:"ours"`
	Naive    float64 `json:"naive,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // mean of the rounds' ratios; 0: nothing to compare with
	Lowest   float64 `json:"lowest,omitempty"`
	Highest  float64 `json:"highest,omitempty"`
	Bar      string  `json:"bar,omitempty"`
	Met      bool    `json:"met"`

	format string
	judged bool // it has a bar
}

// rows reads a scenario's measures off its results. A ratio is taken round by
// round, of runs that were neighbours in time, and then averaged.
func rows(s scenario, results []result) []row {
	ours, theirs := rounds(s.name, sluice, results), rounds(s.name, naive, results)
	var list []row
	for _, m := range s.rows {
		r := row{Scenario: s.name, What: m.what, Unit: m.unit, Ours: mean(ours, m.of), format: m.format, judged: m.bar.kind != none}
		if s.naive {
			r.Naive = mean(theirs, m.of)
			r.compare(ours, theirs, m.of)
		}
		r.Bar = m.bar.String()
		r.Met = len(ours) > 0 && m.bar.met(r.Ours, r.Ratio) && (!m.bar.ofRatio() || r.Ratio > 0)
		list = append(list, r)
	}
	return list
}

// compare sets the ratio of ours to theirs, and how far the rounds lie apart.
func (r *row) compare(ours, theirs []figures, of func(figures) float64) {
	n, sum := 0, 0.0
	for i := range min(len(ours), len(theirs)) {
		under := of(theirs[i])
		if under == 0 {
			continue // no ratio: loss is 0 on both sides, as a rule
		}
		q := of(ours[i]) / under
		sum += q
		if n == 0 {
			r.Lowest, r.Highest = q, q
		}
		r.Lowest, r.Highest = math.Min(r.Lowest, q), math.Max(r.Highest, q)
		n++
	}
	if n > 0 {
		r.Ratio = sum / float64(n)
	}
}

// rounds returns what one side gave in a scenario, round by round.
func rounds(scenario string, s side, results []result) []figures {
	var list []figures
	for _, r := range results {
		if r.Scenario == scenario && r.Side == s {
			list = append(list, r.Figures)
		}
	}
	return list
}

func mean(list []figures, of func(figures) float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sum := 0.0
	for _, f := range list {
		sum += of(f)
	}
	return sum / float64(len(list))
}

const (
	// busyElsewhere is the share of a core above which other work spoils figures.
	busyElsewhere = 0.1
	// behind is the share of the packets in percent that a server may be short of
	// before its viewers per core mean nothing: it does not keep up.
	behind = 1
)

// doubts names what makes results less than trustworthy.
func doubts(results []result) []string {
	var list []string
	for _, r := range results {
		where := fmt.Sprintf("%s, %s, round %d", r.Scenario, r.Side, r.Round)
		if r.Figures.OtherLoad > busyElsewhere {
			list = append(list, fmt.Sprintf("%s: other work took %.0f %% of the server's core", where, 100*r.Figures.OtherLoad))
		}
		if r.Figures.GeneratorLimit != "" {
			list = append(list, fmt.Sprintf("%s: the generator was at its limit: %s", where, r.Figures.GeneratorLimit))
		}
		if r.Figures.Short > behind && r.Scenario != limitName {
			list = append(list, fmt.Sprintf("%s: the server did not keep up, %.1f %% of the packets were missing", where, r.Figures.Short))
		}
		if missing := r.Figures.Asked - r.Figures.Connected; missing > 0 && r.Scenario != limitName {
			list = append(list, fmt.Sprintf("%s: %d of %d viewers did not connect", where, missing, r.Figures.Asked))
		}
	}
	return list
}
