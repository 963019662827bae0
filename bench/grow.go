package bench

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// maxReasons bounds how many different failures a report tells of.
const maxReasons = 8

// arrivals is what became of the joins of a step.
type arrivals struct {
	mu       sync.Mutex // guards all
	viewers  []*viewer
	refused  int
	advised  int // refused with Retry-After
	refusals histogram
	failed   int
	reasons  map[string]int
}

// note takes the outcome of a join that took so long.
func (a *arrivals) note(v *viewer, took time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.viewers = append(a.viewers, v)
		return
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		a.refused++
		if refused.retryAfter != "" {
			a.advised++
		}
		a.refusals.add(took)
		return
	}
	a.failed++
	if a.reasons == nil {
		a.reasons = map[string]int{}
	}
	reason := err.Error()
	if _, known := a.reasons[reason]; !known && len(a.reasons) == maxReasons {
		reason = "other reasons"
	}
	a.reasons[reason]++
}

// failures is the reasons, most frequent first.
func (a *arrivals) failures() []Failure {
	var all []Failure
	for reason, n := range a.reasons {
		all = append(all, Failure{reason, n})
	}
	slices.SortFunc(all, func(x, y Failure) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Reason, y.Reason))
	})
	return all
}

// grow lets n viewers join and returns when each has, or has failed to.
func (g *generator) grow(ctx context.Context, n int) *arrivals {
	a := &arrivals{}
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, g.config.Parallel)
	begin := time.Now()
	for i := range n {
		if g.config.Ramp > 0 && wait(ctx, time.Until(begin.Add(time.Duration(float64(i)/g.config.Ramp*float64(time.Second))))) != nil {
			return a
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return a
		}
		all.Go(func() {
			defer func() { <-slots }()
			g.join(ctx, a)
		})
	}
	return a
}

// join lets one viewer join.
func (g *generator) join(ctx context.Context, a *arrivals) {
	g.mu.Lock()
	number := g.joined
	g.joined++
	g.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, g.config.JoinTimeout)
	defer cancel()
	began := time.Now()
	v, err := g.joiner.join(within, number, number%g.config.Sample == 0)
	if err != nil && ctx.Err() != nil {
		return // the run was ended: nobody's failure
	}
	a.note(v, time.Since(began), err)
}

// replace lets the oldest viewers leave and others join, so many per second, until
// ctx ends.
func (g *generator) replace(ctx context.Context, rate float64) *arrivals {
	a := &arrivals{}
	var all sync.WaitGroup
	slots := make(chan struct{}, g.config.Parallel)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	// A join that has begun may end, also when what is measured is over.
	joining := context.WithoutCancel(ctx)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			all.Wait()
			return a
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // the server does not keep up with the rate
		}
		all.Go(func() {
			defer func() { <-slots }()
			for _, v := range g.fleet.take(1) {
				a.noteEnd(g.joiner.leave(joining, v))
			}
			g.join(joining, a)
		})
	}
}

// noteEnd takes the end of a session that was replaced.
func (a *arrivals) noteEnd(err error) {
	if err != nil {
		a.note(nil, 0, err)
	}
}
