package gateway

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once a crowd is over, if there is some, and not again
// and again.
func TestReliefComesAfterTheCrowd(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, c := range map[string]struct {
		live  uint64
		crowd []uint64 // allocated before each of the first looks
		then  uint64   // and before each later one
		want  []int    // looks, counted from 1, that gave memory back
	}{
		"two at once":     {16 * mb, []uint64{20 * mb, 20 * mb}, 0, []int{3}},
		"too little":      {16 * mb, []uint64{11 * mb}, 0, nil},
		"little by much":  {400 * mb, []uint64{100 * mb}, 0, nil},
		"never over":      {16 * mb, nil, 2 * mb, nil},
		"one behind each": {16 * mb, []uint64{20 * mb, 0, 20 * mb, 0, 0, 0, 0, 0, 0, 0, 20 * mb}, 0, []int{2, 12}},
		"little by little": {
			16 * mb, nil, mb - 1,
			[]int{13, 26},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heap, now, at := heapState{live: c.live}, time.Now(), 0
			var got []int
			r := newRelief(slog.New(slog.DiscardHandler))
			r.read = func() heapState { return heap }
			r.release = func() { got = append(got, at) }
			r.relieved = heap
			for at = 1; at <= 30; at++ {
				grown := c.then
				if at <= len(c.crowd) {
					grown = c.crowd[at-1]
				}
				heap.allocated += grown
				now = now.Add(reliefEvery)
				r.look(now)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("given back at %v, want %v", got, c.want)
			}
		})
	}
}

// It looks as long as the node runs.
func TestReliefRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*reliefEvery+time.Second)
		defer cancel()
		looks := 0
		r := newRelief(slog.New(slog.DiscardHandler))
		r.read = func() heapState { looks++; return heapState{} }
		r.run(ctx)
		if looks != 11 {
			t.Errorf("%d looks in ten times %v and at the start, want 11", looks, reliefEvery)
		}
	})
}

// What the runtime says of the heap has the parts that relief goes by, and
// relief makes them smaller.
func TestReliefGivesBack(t *testing.T) { //nolint:paralleltest // it looks at the heap of the process
	const size = 64 << 20
	before := readHeap()
	garbage := make([][]byte, 0, size>>16)
	for range size >> 16 {
		garbage = append(garbage, make([]byte, 1<<16))
	}
	full := readHeap()
	if grown := full.allocated - before.allocated; grown < size {
		t.Errorf("allocated %d, want %d and more", grown, size)
	}
	runtime.KeepAlive(garbage)
	r := newRelief(slog.New(slog.DiscardHandler))
	r.before = full.allocated
	r.look(time.Now())
	after := readHeap()
	if after.held > full.held-size/2 {
		t.Errorf("holds %d after relief, %d before", after.held, full.held)
	}
	if after.live == 0 {
		t.Error("the live heap is not known")
	}
}
