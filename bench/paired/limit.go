package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// offered is how many viewers ask to be let in when nobody knows yet how many
// a server takes: more than one core is expected to serve.
const offered = 4000

// The limit is measured in three runs on a fresh server each. In the first, more
// viewers come than it can serve, and it lets in as many as it thinks right.
// In the second there are 60 % of them in one room, and then three times as many
// come. In the third the 60 % are in many rooms.
const (
	workingShare = 0.6
	overload     = 3
	// workingRamp is how many seconds the joins of the third take: that a crowd
	// comes is what the second is about.
	workingRamp = 5
)

// measureLimit returns the results of the runs: 0 is the first, 1 and 2 are the
// steps of the second, 3 is the third.
func (b *benchmark) measureLimit(ctx context.Context) ([]result, error) {
	first, err := b.measure(ctx, limitName, sluice, 1, load{viewers: []int{offered}}, briefWindow)
	if err != nil {
		return nil, err
	}
	admitted := first[0].Figures.Connected
	if first[0].Figures.Refused == 0 {
		return first, fmt.Errorf("paired: the server took all of %d viewers: no limit was found", offered)
	}
	working := int(workingShare * float64(admitted))
	second, err := b.measure(ctx, limitName, sluice, 1, load{viewers: []int{working, overload * admitted}}, b.options.window)
	results := append(first, second...)
	if err != nil {
		return results, err
	}
	spread := result{Scenario: limitName, Side: sluice, Round: 1}
	err = b.serve(ctx, sluice, func(srv *server) error {
		var raw []json.RawMessage
		var err error
		each := max(1, working/workingRooms)
		l := load{viewers: []int{each}, ramp: float64(each) / workingRamp}
		if spread.Figures, raw, err = generateRooms(ctx, b.programs, srv, b.options, workingRooms, l, b.options.window); err != nil {
			return err
		}
		spread.Report, err = json.Marshal(raw)
		return err
	})
	if err != nil {
		return results, err
	}
	b.tell(spread)
	return append(results, spread), nil
}

// limitRows reads the runs.
func limitRows(results []result) []row {
	if len(results) != 4 {
		return nil
	}
	alone, working, over, spread := results[0].Figures, results[1].Figures, results[2].Figures, results[3].Figures
	line := func(what, unit, format string, ours float64, b bar) row {
		return row{
			Scenario: limitName, What: what, Unit: unit, Ours: ours, Bar: b.String(), Met: b.met(ours, 0),
			format: format, judged: b.kind != none,
		}
	}
	return []row{
		line(fmt.Sprintf("viewers let in, of %d who came", alone.Asked), "", "%.0f", float64(alone.Connected), bar{}),
		line(fmt.Sprintf("packets within %g ms, %d viewers in %d rooms, 60 %% of them", slow, spread.Connected, workingRooms), "%", "%.2f", spread.QuickPercent, bar{atLeast, 99}),
		line("latency p99 in the worst of those rooms", "ms", "%.2f", spread.LatencyP99, bar{}),
		line("their loss", "%", "%.3f", spread.LossPercent, bar{atMost, 0}),
		line(fmt.Sprintf("latency p99 with %d viewers in one room", working.Connected), "ms", "%.2f", working.LatencyP99, bar{atMost, slow}),
		line(fmt.Sprintf("their latency p99 while %d more come", over.Asked-working.Connected), "ms", "%.2f", over.OthersP99,
			bar{atMost, rounded(2 * working.LatencyP99)}),
		line("their loss meanwhile", "%", "%.3f", over.OthersLoss, bar{atMost, 0}),
		line("latency p99 of all who are in, afterwards", "ms", "%.2f", over.LatencyP99, bar{atMost, rounded(2 * working.LatencyP99)}),
		line("their loss", "%", "%.3f", over.LossPercent, bar{atMost, 0}),
		line("refused", "", "%.0f", float64(over.Refused), bar{atLeast, 1}),
		line("refused without Retry-After", "", "%.0f", float64(over.RefusedSilent), bar{atMost, 0}),
		line("neither in nor refused", "", "%.0f", float64(over.Failed), bar{atMost, 0}),
		line("time to refuse, p99", "ms", "%.2f", over.RefusalP99, bar{atMost, 20}),
	}
}
