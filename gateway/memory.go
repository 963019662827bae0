package gateway

import (
	"context"
	"log/slog"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// reliefEvery is how often the heap is looked at. A crowd is over when less
	// than quietBytes was allocated in between: a node that only forwards media
	// allocates next to nothing.
	reliefEvery = 2 * time.Second
	quietBytes  = 1 << 20
	// crowdBytes is how much must have been allocated since the last relief for one
	// to be worth a collection, above a quarter of what was in use then.
	crowdBytes = 8 << 20
	// reliefGap is the least time between two reliefs.
	reliefGap = 20 * time.Second
)

// heapState is what the runtime says of the heap, in bytes.
type heapState struct {
	allocated uint64 // ever
	live      uint64 // reachable at the last collection
	held      uint64 // not given back to the system
}

// relief gives memory back to the system once a crowd has come in or left. The
// runtime grows the heap for their garbage, but a node that only forwards media
// allocates too little ever to collect it: the next collection would be two
// minutes away, and what it frees would stay with the process.
type relief struct {
	read    func() heapState
	release func()
	log     *slog.Logger

	before   uint64    // allocated at the last look
	relieved heapState // after the last relief
	last     time.Time // of it
}

func newRelief(log *slog.Logger) *relief {
	return &relief{read: readHeap, release: debug.FreeOSMemory, log: log}
}

// run looks until ctx ends.
func (r *relief) run(ctx context.Context) {
	r.relieved = r.read()
	r.before = r.relieved.allocated
	tick := time.NewTicker(reliefEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.look(now)
		}
	}
}

// look gives memory back if that is worth it and nobody is held up by it.
func (r *relief) look(now time.Time) {
	h := r.read()
	quiet := h.allocated-r.before < quietBytes
	r.before = h.allocated
	worth := h.allocated-r.relieved.allocated >= crowdBytes+r.relieved.live/4
	if !quiet || !worth || now.Sub(r.last) < reliefGap {
		return
	}
	began := time.Now()
	r.release()
	r.last, r.relieved = now, r.read()
	r.before = r.relieved.allocated
	r.log.Debug("memory given back", "before", h.held, "after", r.relieved.held, "duration_ms", time.Since(began).Milliseconds())
}

// readHeap does not stop the world, as runtime.ReadMemStats does.
func readHeap() heapState {
	samples := []runtimemetrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	runtimemetrics.Read(samples)
	var v [5]uint64
	for i, s := range samples {
		if s.Value.Kind() == runtimemetrics.KindUint64 { // else this Go has it under another name
			v[i] = s.Value.Uint64()
		}
	}
	return heapState{allocated: v[0], live: v[1], held: v[2] + v[3] + v[4]}
}
