package main

import (
	"math"
	"strings"
	"testing"
)

func cost(v float64) figures { return figures{Asked: 1, Connected: 1, MicrosPerPacket: v} }

var costly = scenario{name: "costly", naive: true, rows: []measure{cpu(bar{ratioAtMost, 0.4}), lossFree(0)}}

func TestRowsCompareRoundByRound(t *testing.T) {
	list := rows(costly, []result{
		{"costly", naive, 1, cost(10), nil},
		{"costly", sluice, 1, cost(2), nil},
		{"other", sluice, 1, cost(1000), nil},
		{"costly", naive, 2, cost(20), nil}, // the machine is slower now, for both
		{"costly", sluice, 2, cost(8), nil},
	})
	if len(list) != 2 {
		t.Fatalf("got %d rows, want 2", len(list))
	}
	r := list[0]
	if r.Ours != 5 || r.Naive != 15 || math.Abs(r.Ratio-0.3) > 1e-9 || r.Lowest != 0.2 || r.Highest != 0.4 || !r.Met {
		t.Errorf("got %+v, want 5 and 15, 0.3x of 0.2 to 0.4, met", r)
	}
	if r = list[1]; r.Ratio != 0 || !r.Met {
		t.Errorf("no loss on either side: got %+v, want no ratio, and met", r)
	}
}

func TestRowsMissBars(t *testing.T) {
	dear := []result{{"costly", naive, 1, cost(10), nil}, {"costly", sluice, 1, cost(5), nil}}
	for name, results := range map[string][]result{
		"dear":         dear,
		"nothing":      nil,
		"naive alone":  dear[:1],
		"sluice alone": dear[1:],
	} {
		if r := rows(costly, results)[0]; r.Met {
			t.Errorf("%s: got %+v, want missed", name, r)
		}
	}
	lossy := dear[1]
	lossy.Figures.LossPercent = 0.001
	if r := rows(costly, []result{dear[0], lossy})[1]; r.Met {
		t.Errorf("got %+v for lost packets, want missed", r)
	}
}

func TestDoubts(t *testing.T) {
	good := figures{Asked: 10, Connected: 10, OtherLoad: 0.05, Short: 0.2}
	if list := doubts([]result{{"cm", naive, 1, good, nil}}); len(list) != 0 {
		t.Errorf("got %q, want none", list)
	}
	for want, spoil := range map[string]func(*figures){
		"other work took 30 %":              func(f *figures) { f.OtherLoad = 0.3 },
		"generator was at its limit: tired": func(f *figures) { f.GeneratorLimit = "tired" },
		"1 of 10 viewers did not connect":   func(f *figures) { f.Connected = 9 },
		"did not keep up, 3.0 %":            func(f *figures) { f.Short = 3 },
	} {
		f := good
		spoil(&f)
		list := doubts([]result{{"cm", naive, 2, f, nil}})
		if len(list) != 1 || !strings.Contains(list[0], want) || !strings.Contains(list[0], "cm, naive, round 2") {
			t.Errorf("got %q, want one about %q of cm, naive, round 2", list, want)
		}
	}
}

func TestFloorRows(t *testing.T) {
	f := floorResult{PacedNanos: 1200, BusyNanos: 1000}
	list := floorRows(f, []figures{cost(1.8), cost(2.6)})
	if len(list) != 4 {
		t.Fatalf("got %d rows, want 4", len(list))
	}
	if paced, busy := list[2], list[3]; math.Abs(paced.Ours-2.2/1.2) > 1e-9 || !paced.Met || math.Abs(busy.Ours-2.2) > 1e-9 || busy.Met {
		t.Errorf("got %+v and %+v, want 1.83x, met, and 2.2x, missed", paced, busy)
	}
	if list := floorRows(f, nil); len(list) != 2 {
		t.Errorf("nothing to compare with: got %+v, want the floor alone", list)
	}
}

func TestLimitRows(t *testing.T) {
	good := []result{
		{limitName, sluice, 1, figures{Asked: 4000, Connected: 1000, Refused: 3000}, nil},
		{limitName, sluice, 1, figures{Asked: 600, Connected: 600, LatencyP99: 4}, nil},
		{limitName, sluice, 1, figures{Asked: 3000, Connected: 1010, OthersP99: 8, LatencyP99: 7.9, Refused: 1990, RefusalP99: 20}, nil},
		{limitName, sluice, 1, figures{Connected: 592, QuickPercent: 99}, nil},
	}
	for _, r := range limitRows(good) {
		if !r.Met {
			t.Errorf("got %+v, want met", r)
		}
	}
	for want, spoil := range map[string]func(working, over *figures){
		"in one room":                 func(w, _ *figures) { w.LatencyP99 = 10.1 },
		"more come":                   func(_, o *figures) { o.OthersP99 = 8.1 },
		"meanwhile":                   func(_, o *figures) { o.OthersLoss = 0.001 },
		"afterwards":                  func(_, o *figures) { o.LatencyP99 = 8.1 },
		"their loss":                  func(_, o *figures) { o.LossPercent = 0.001 },
		"refused without Retry-After": func(_, o *figures) { o.RefusedSilent = 1 },
		"neither in nor refused":      func(_, o *figures) { o.Failed = 1 },
		"time to refuse":              func(_, o *figures) { o.RefusalP99 = 20.1 },
		"refused":                     func(_, o *figures) { o.Refused = 0 },
	} {
		results := append([]result(nil), good...)
		spoil(&results[1].Figures, &results[2].Figures)
		missed := ""
		for _, r := range limitRows(results) {
			if !r.Met {
				missed += r.What + "\n"
			}
		}
		if !strings.Contains(missed, want) {
			t.Errorf("missed %q, want %q", missed, want)
		}
	}
	good[3].Figures.QuickPercent = 98.9
	if r := limitRows(good)[1]; r.Met {
		t.Errorf("got %+v for slow packets in many rooms, want missed", r)
	}
	if list := limitRows(good[:3]); list != nil {
		t.Errorf("two runs of three: got %+v, want no rows", list)
	}
}
