package bench

import (
	"math"
	"math/bits"
	"time"
)

// Below 2^fineBits microseconds every value has a bucket of its own, above it
// every power of two is cut into that many: a quantile is off by less than 1 %.
const (
	fineBits = 7
	topBits  = 36 // nineteen hours
	buckets  = (topBits - fineBits + 1) << fineBits
)

// histogram counts durations, in bounded memory however many there are.
type histogram struct {
	counts   [buckets]uint64
	n        uint64
	max, sum time.Duration
}

// add counts one duration. Less than nothing, from a clock that was set back,
// counts as nothing.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d/time.Microsecond))]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

func bucketOf(us uint64) int {
	us = min(us, 1<<topBits-1)
	if us < 1<<fineBits {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - fineBits
	return shift<<fineBits + int(us>>shift)
}

// bucketTop is the first duration that is too long for a bucket.
func bucketTop(i int) time.Duration {
	if i < 1<<fineBits {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i>>fineBits - 1
	return time.Duration((i&(1<<fineBits-1)|1<<fineBits)+1) << shift * time.Microsecond
}

// quantile is the least duration that a share q of all do not exceed; q 1 is the
// longest, exactly.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(q*float64(h.n))))
	if rank >= h.n {
		return h.max
	}
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return h.max
}

// bars sums the buckets up to bounds that people can read, from the first that
// holds something to the last.
func (h *histogram) bars() []Bar {
	var bars []Bar
	step := 0
	for i, c := range h.counts {
		if c == 0 {
			continue
		}
		for barBound(step) < min(bucketTop(i), h.max) {
			if step++; len(bars) > 0 {
				bars = append(bars, Bar{UpTo: ms(barBound(step))})
			}
		}
		if len(bars) == 0 {
			bars = append(bars, Bar{UpTo: ms(barBound(step))})
		}
		bars[len(bars)-1].Packets += c
	}
	return bars
}

// barBound is the row 50 µs, 100 µs, 200 µs, 500 µs, 1 ms and so on.
func barBound(step int) time.Duration {
	bound := 50 * time.Microsecond
	for i := range step {
		bound *= 2
		if i%3 == 2 {
			bound += bound / 4
		}
	}
	return bound
}
