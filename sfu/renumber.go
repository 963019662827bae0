package sfu

import "slices"

// renumbering makes room for packets that the gateway puts into a track: it
// maps the publisher's numbers to those that viewers' streams see. Late packets
// keep the number they would have had in time.
type renumbering struct {
	before uint64 // moved, for packets from before the steps that are kept
	steps  []step
}

// step: packets from here on are moved by that much.
type step struct{ from, by uint64 }

// maxSteps is more insertions than lie within the reach of late packets.
const maxSteps = 16

func (r *renumbering) number(wire uint64) uint64 {
	for _, s := range slices.Backward(r.steps) {
		if wire >= s.from {
			return wire + s.by
		}
	}
	return wire + r.before
}

// insert makes room for one packet before the one with that number.
func (r *renumbering) insert(wire uint64) {
	by := r.number(wire) - wire + 1
	if len(r.steps) == maxSteps {
		r.before = r.steps[0].by
		r.steps = append(r.steps[:0], r.steps[1:]...)
	}
	r.steps = append(r.steps, step{wire, by})
}
