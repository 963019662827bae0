package main

import (
	"context"
	"time"
)

// floorResult is the cost of a packet in CPU time of the sending thread.
type floorResult struct {
	// PacedNanos at the pace of the stream, BusyNanos as fast as it goes.
	PacedNanos float64 `json:"paced_ns"`
	BusyNanos  float64 `json:"busy_ns"`
	Packets    int     `json:"packets"` // that the two were measured on
}

const (
	// floorViewers is how many viewers the floor has: those of the scenario that
	// it is compared with.
	floorViewers = 200
	// floorOf is that scenario.
	floorOf     = "browsers"
	floorWindow = 5 * time.Second // at most, of each of the two
)

// floor measures the floor and divides by it what its scenario cost; when that
// was not measured, it tells the floor alone.
func (b *benchmark) floor(ctx context.Context, r *report) ([]row, error) {
	f, err := measureFloor(ctx, floorViewers, min(b.options.window, floorWindow), b.options.serverCore, b.options.loadCore)
	if err != nil {
		return nil, err
	}
	r.Floor = &f
	return floorRows(f, rounds(floorOf, sluice, r.Results)), nil
}

// floorRows compares the floor with what a packet cost.
func floorRows(f floorResult, ours []figures) []row {
	list := []row{
		{Scenario: floorName, What: "floor at the pace of the stream", Unit: "µs", Ours: f.PacedNanos / 1000, format: "%.2f", Met: true},
		{Scenario: floorName, What: "floor as fast as it goes", Unit: "µs", Ours: f.BusyNanos / 1000, format: "%.2f", Met: true},
	}
	if len(ours) == 0 {
		return list
	}
	cost := mean(ours, func(f figures) float64 { return f.MicrosPerPacket })
	for _, m := range []struct {
		what  string
		nanos float64
	}{{"multiple of the paced floor", f.PacedNanos}, {"multiple of the fast floor", f.BusyNanos}} {
		limit := bar{atMost, 2}
		v := cost * 1000 / m.nanos
		list = append(list, row{Scenario: floorName, What: m.what, Unit: "x", Ours: v, format: "%.2f", Bar: limit.String(), Met: limit.met(v, 0), judged: true})
	}
	return list
}
