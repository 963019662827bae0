package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A load is what the generator is asked to do.
type load struct {
	viewers  []int         // in each step; those of a step stay for the next
	profiles string        // SRTP profiles in the viewers' order; "": as browsers offer them
	spacing  time.Duration // between the packets of a frame; 0: back to back
	atOnce   bool          // all viewers join at the same time
	ramp     float64       // joins per second; 0: as fast as the generator comes
}

// A scenario is one load on one or both servers, and what is read off it.
type scenario struct {
	name  string
	title string
	load  load
	naive bool // naive is measured too
	brief bool // also without -full
	short bool // the steady state is not the point: a window of a second does
	rows  []measure
}

// A measure is one figure of a scenario with its bar.
type measure struct {
	what   string
	unit   string
	format string
	of     func(figures) float64
	bar    bar
}

// A bar is what a figure has to meet. The zero bar is met by all.
type bar struct {
	kind  barKind
	limit float64
}

type barKind int

const (
	none barKind = iota
	atMost
	atLeast
	ratioAtMost  // of ours to naive's
	ratioAtLeast // of ours to naive's
)

// ofRatio tells whether the bar is about the ratio.
func (b bar) ofRatio() bool { return b.kind == ratioAtMost || b.kind == ratioAtLeast }

// met judges a figure of ours and its ratio to naive's.
func (b bar) met(value, ratio float64) bool {
	switch b.kind {
	case atMost:
		return value <= b.limit
	case atLeast:
		return value >= b.limit
	case ratioAtMost:
		return ratio <= b.limit
	case ratioAtLeast:
		return ratio >= b.limit
	default:
		return true
	}
}

func (b bar) String() string {
	switch b.kind {
	case atMost:
		return fmt.Sprintf("≤ %g", b.limit)
	case atLeast:
		return fmt.Sprintf("≥ %g", b.limit)
	case ratioAtMost:
		return fmt.Sprintf("≤ %gx", b.limit)
	case ratioAtLeast:
		return fmt.Sprintf("≥ %gx", b.limit)
	default:
		return ""
	}
}

// The figures that several scenarios share.
func cpu(b bar) measure {
	return measure{"CPU per packet", "µs", "%.2f", func(f figures) float64 { return f.MicrosPerPacket }, b}
}

func lossFree(limit float64) measure {
	return measure{"loss", "%", "%.3f", func(f figures) float64 { return f.LossPercent }, bar{atMost, limit}}
}

func memory(limit float64) measure {
	return measure{"memory per viewer", "KiB", "%.0f", func(f figures) float64 { return f.KiBPerViewer }, bar{atMost, limit}}
}

func joined() measure {
	return measure{"viewers not connected", "", "%.0f", func(f figures) float64 { return float64(f.Asked - f.Connected) }, bar{atMost, 0}}
}

// scenarios is everything that is measured, in this order.
func scenarios() []scenario {
	return []scenario{
		{
			name: "browsers", title: "200 viewers of 2.5 Mbit/s who offer AES-CM, then AES-GCM, as browsers do",
			load: load{viewers: []int{200}}, naive: true, brief: true,
			rows: []measure{
				cpu(bar{ratioAtMost, 0.25}),
				{"viewers per core used", "", "%.0f", func(f figures) float64 { return f.ViewersPerCore }, bar{ratioAtLeast, 4}},
				{"latency p50", "ms", "%.2f", func(f figures) float64 { return f.LatencyP50 }, bar{}},
				{"latency p99", "ms", "%.2f", func(f figures) float64 { return f.LatencyP99 }, bar{ratioAtMost, 0.15}},
				memory(64), lossFree(0), joined(),
			},
		},
		{
			name: "cm", title: "the same viewers offer AES-CM only",
			load: load{viewers: []int{200}, profiles: "cm"}, naive: true, brief: true,
			rows: []measure{cpu(bar{ratioAtMost, 0.4}), lossFree(0)},
		},
		{
			name: "spaced", title: "the packets of a frame come 300 µs apart",
			load: load{viewers: []int{200}, spacing: 300 * time.Microsecond}, naive: true, brief: true,
			rows: []measure{cpu(bar{ratioAtMost, 0.4}), lossFree(0)},
		},
		{
			name: "joins", title: "200 viewers join at once",
			load: load{viewers: []int{200}, atOnce: true}, naive: true, brief: true, short: true,
			rows: []measure{
				{"all connected after", "s", "%.3f", func(f figures) float64 { return f.JoinSeconds }, bar{atMost, 0.25}},
				joined(),
			},
		},
		{
			name: "thousand", title: "1,000 viewers of 2.5 Mbit/s on one core",
			load: load{viewers: []int{1000}},
			rows: []measure{
				cpu(bar{}), lossFree(0.1), memory(40),
				{"latency p99", "ms", "%.2f", func(f figures) float64 { return f.LatencyP99 }, bar{}},
				{"cores used by the generator", "", "%.2f", func(f figures) float64 { return f.GeneratorCores }, bar{atMost, 0.8}},
				joined(),
			},
		},
	}
}

// The steps that are not a scenario like the others.
const (
	floorName = "floor" // what sealing and sending alone cost
	limitName = "limit" // how many viewers are admitted, and what happens beyond
)

func names() []string {
	var all []string
	for _, s := range scenarios() {
		all = append(all, s.name)
	}
	return append(all, floorName, limitName)
}

// title is what a scenario is called in the table.
func title(name string) string {
	switch name {
	case floorName:
		return "the floor: AES-128-GCM and UDP_SEGMENT alone, the same packets to 200 sockets, one core"
	case limitName:
		return "the limit that the server sets itself, and three times as many"
	}
	for _, s := range scenarios() {
		if s.name == name {
			return s.title
		}
	}
	return name
}

// chosen is what one call measures.
type chosen struct {
	scenarios    []scenario
	floor, limit bool
}

// choose picks what the options ask for.
func choose(o options) (chosen, error) {
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return chosen{}, fmt.Errorf("paired: no scenario is called %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	wanted := func(name string, brief bool) bool {
		if len(o.only) > 0 {
			return slices.Contains(o.only, name)
		}
		return brief || o.full
	}
	c := chosen{floor: wanted(floorName, true), limit: wanted(limitName, false)}
	for _, s := range scenarios() {
		if wanted(s.name, s.brief) {
			c.scenarios = append(c.scenarios, s)
		}
	}
	return c, nil
}
