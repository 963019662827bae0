package bench

import (
	"fmt"
	"runtime"
	"time"
)

const (
	// busyShare is how much of its processors the generator may use before its
	// figures tell of itself.
	busyShare = 0.9
	// publisherLate is how late one frame in twenty may be.
	publisherLate = 20 * time.Millisecond
)

// selfOf is what the generator used, and whether that was too much.
func (g *generator) selfOf(a, b moment, got totals) Generator {
	r := Generator{
		Cores:   rounded((b.self-a.self).Seconds()/b.at.Sub(a.at).Seconds(), 3),
		CPUs:    runtime.NumCPU(),
		Dropped: got.drops,
	}
	var late time.Duration
	if g.publisher != nil {
		h := g.publisher.lateness()
		late = h.quantile(.95)
		r.Late = h.quantiles()
	}
	switch {
	case got.drops > 0:
		r.Limit = fmt.Sprintf("the generator was too slow to read %d packets", got.drops)
	case r.Cores > busyShare*float64(r.CPUs):
		r.Limit = fmt.Sprintf("the generator used %.2f of %d processors", r.Cores, r.CPUs)
	case late > publisherLate:
		r.Limit = fmt.Sprintf("the publisher was %.0f ms late with one frame in twenty", ms(late))
	}
	return r
}
