package load

import (
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"
)

// schedLatencies is how long goroutines were runnable before they ran.
const schedLatencies = "/sched/latencies:seconds"

// reader reads what this process uses and waits for.
type reader struct {
	sample []metrics.Sample
	before []uint64 // counts of the last histogram
}

func newReader() *reader { return &reader{sample: []metrics.Sample{{Name: schedLatencies}}} }

func (r *reader) read() Process {
	metrics.Read(r.sample)
	p := Process{CPU: processTime(), Cores: runtime.GOMAXPROCS(0)}
	if r.sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		p.Sched = r.p99(r.sample[0].Value.Float64Histogram())
	}
	return p
}

// p99 is of what came since the last call.
func (r *reader) p99(h *metrics.Float64Histogram) time.Duration {
	if len(r.before) != len(h.Counts) {
		r.before = make([]uint64, len(h.Counts))
	}
	var total uint64
	for i, n := range h.Counts {
		r.before[i], total = n-r.before[i], total+n-r.before[i]
	}
	defer copy(r.before, h.Counts)
	var above uint64 // of the bucket that is looked at
	for i, n := range slices.Backward(r.before) {
		above += n
		if above > 0 && above*100 >= total {
			bound := h.Buckets[i]
			if math.IsInf(bound, -1) {
				bound = 0
			}
			return time.Duration(bound * float64(time.Second))
		}
	}
	return 0
}
