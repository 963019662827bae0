package auth

import (
	"crypto/sha256"
	"time"
)

type digest [sha256.Size]byte

// verdict is what was found out about a token.
type verdict struct {
	grants Grants
	err    error
}

// verdicts keeps what was found out about tokens, for a while, and about no more than so many: the
// oldest go first.
type verdicts struct {
	limit int
	kept  map[digest]keptVerdict
	order []digest // as they came
	next  int      // where the oldest is, once there are limit of them
}

type keptVerdict struct {
	verdict
	until time.Time
	slot  int // in order
}

func newVerdicts(limit int) *verdicts {
	return &verdicts{limit: limit, kept: map[digest]keptVerdict{}}
}

func (v *verdicts) get(sum digest, now time.Time) (verdict, bool) {
	k, ok := v.kept[sum]
	if !ok || !now.Before(k.until) {
		return verdict{}, false
	}
	return k.verdict, true
}

func (v *verdicts) put(sum digest, found verdict, now, until time.Time) {
	if !now.Before(until) {
		return
	}
	if k, ok := v.kept[sum]; ok {
		v.kept[sum] = keptVerdict{found, until, k.slot}
		return
	}
	slot := v.next
	if len(v.order) < v.limit {
		slot = len(v.order)
		v.order = append(v.order, sum)
	} else {
		delete(v.kept, v.order[slot])
		v.order[slot] = sum
		v.next = (slot + 1) % v.limit
	}
	v.kept[sum] = keptVerdict{found, until, slot}
}

// breaker keeps questions from a service that has failed several times in a row. After each pause one
// question finds out whether it is back.
type breaker struct {
	limit    int
	pause    time.Duration
	failures int
	until    time.Time
	probing  bool
}

// open tells whether there were too many failures, and no good answer since.
func (b *breaker) open() bool { return b.failures >= b.limit }

func (b *breaker) allow(now time.Time) bool {
	if !b.open() {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

func (b *breaker) record(now time.Time, good bool) {
	b.probing = false
	if good {
		b.failures = 0
		return
	}
	if b.failures++; b.open() {
		b.until = now.Add(b.pause)
	}
}
