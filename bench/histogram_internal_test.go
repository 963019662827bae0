package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramQuantiles compares with the exact quantiles of several shapes.
func TestHistogramQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func() time.Duration{
		"microseconds": func() time.Duration { return time.Duration(random.IntN(100)) * time.Microsecond },
		"flat":         func() time.Duration { return time.Duration(random.Int64N(int64(time.Second))) },
		"long tail": func() time.Duration {
			return time.Duration(math.Exp(random.NormFloat64()*2) * float64(time.Millisecond))
		},
		"all the same": func() time.Duration { return 12345678 * time.Nanosecond },
	} {
		var h histogram
		var all []time.Duration
		for range 20_000 {
			d := next()
			h.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		for _, q := range []float64{0, .001, .5, .95, .99, .999, 1} {
			want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
			got := h.quantile(q)
			if low, high := want, want+want/100+time.Microsecond; got < low || got > high {
				t.Errorf("%s: quantile %v: got %v, want %v", name, q, got, want)
			}
		}
		if h.quantile(1) != all[len(all)-1] {
			t.Errorf("%s: the longest is %v, want %v", name, h.quantile(1), all[len(all)-1])
		}
		var n uint64
		for i, b := range h.bars() {
			n += b.Packets
			if i > 0 && b.UpTo <= h.bars()[i-1].UpTo {
				t.Errorf("%s: bar %d ends at %v, that before at %v", name, i, b.UpTo, h.bars()[i-1].UpTo)
			}
		}
		if n != uint64(len(all)) {
			t.Errorf("%s: the bars hold %d of %d", name, n, len(all))
		}
	}
}

func TestHistogramBounds(t *testing.T) {
	var h histogram
	if h.quantile(.5) != 0 || h.bars() != nil || h.quantiles() != nil || h.latencies() != nil {
		t.Error("an empty histogram has figures")
	}
	h.add(-time.Second)
	h.add(math.MaxInt64)
	if h.quantile(.5) != time.Microsecond || h.quantile(1) != math.MaxInt64 {
		t.Errorf("got %v and %v", h.quantile(.5), h.quantile(1))
	}
	// Buckets are without gaps, and none is wider than a hundredth of what is in it.
	for i := 1; i < buckets; i++ {
		bottom, top := bucketTop(i-1), bucketTop(i)
		if top <= bottom || i >= 1<<fineBits && top-bottom > bottom/100 {
			t.Fatalf("bucket %d is from %v to %v", i, bottom, top)
		}
		if got := bucketOf(uint64(bottom / time.Microsecond)); got != i {
			t.Fatalf("%v is in bucket %d, want %d", bottom, got, i)
		}
	}
}

func TestBarBounds(t *testing.T) {
	var got []time.Duration
	for i := range 7 {
		got = append(got, barBound(i))
	}
	const us = time.Microsecond
	if want := []time.Duration{50 * us, 100 * us, 200 * us, 500 * us, 1000 * us, 2000 * us, 5000 * us}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
