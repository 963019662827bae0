package cluster

import (
	"sync/atomic"
	"time"
)

// Stats is what the registry counts.
type Stats struct {
	Applied     uint64 // index of the last entry applied
	Leader      bool   // writes are taken
	Failed      bool   // the disk refused the last write
	Writes      uint64 // that were decided, whatever was decided
	WriteErrors uint64 // that were not
	WriteTime   time.Duration
	// WriteBuckets counts decided writes up to each of WriteBounds.
	WriteBuckets [len(writeBounds)]uint64
}

// writeBounds are bounds of a histogram of the time that writes take.
var writeBounds = [...]time.Duration{
	250 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond,
	100 * time.Millisecond, 500 * time.Millisecond, 2500 * time.Millisecond,
}

// WriteBounds are the bounds of Stats.WriteBuckets.
func WriteBounds() [len(writeBounds)]time.Duration { return writeBounds }

type writeStats struct {
	decided, errors atomic.Uint64
	took            atomic.Int64
	buckets         [len(writeBounds)]atomic.Uint64 // not added up
}

func (s *writeStats) observe(took time.Duration, err error) {
	if err != nil {
		s.errors.Add(1)
		return
	}
	s.decided.Add(1)
	s.took.Add(int64(took))
	for i, bound := range writeBounds {
		if took <= bound {
			s.buckets[i].Add(1)
			return
		}
	}
}
