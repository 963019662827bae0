package load

import (
	"runtime/metrics"
	"testing"
	"time"
)

func TestP99(t *testing.T) {
	r := newReader()
	buckets := []float64{0, 0.001, 0.010, 0.100, 1}
	counts := make([]uint64, 4)
	for _, tc := range []struct {
		name string
		more [4]uint64
		want time.Duration
	}{
		{"nothing yet", [4]uint64{}, 0},
		{"all quick", [4]uint64{1000, 0, 0, 0}, 0},
		{"one in two hundred slow", [4]uint64{199, 0, 0, 1}, 0},
		{"one in fifty slow", [4]uint64{49, 0, 1, 0}, 10 * time.Millisecond},
		{"slow and slower", [4]uint64{0, 50, 49, 1}, 100 * time.Millisecond},
		{"nothing new", [4]uint64{}, 0},
	} {
		for i, n := range tc.more {
			counts[i] += n
		}
		if got := r.p99(&metrics.Float64Histogram{Counts: counts, Buckets: buckets}); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Work is seen as work.
func TestProcessTime(t *testing.T) {
	before, until := processTime(), time.Now().Add(30*time.Second)
	for processTime()-before < 20*time.Millisecond {
		if time.Now().After(until) {
			t.Fatalf("half a minute of work took %v of the processor", processTime()-before)
		}
	}
}
