package gateway

import (
	"sync"
	"time"
)

// buckets bounds how often each of many may do something, one token bucket
// for each key.
//
// Keys are kept in two generations. The older one is dropped when the younger
// has lasted until every bucket in it would be full again, or is full itself:
// then so many come at once that no bound by key helps.
type buckets[K comparable] struct {
	burst float64 // at once
	rate  float64 // a second
	most  int     // keys of one generation

	mu     sync.Mutex // guards what follows
	young  map[K]bucket
	old    map[K]bucket
	turned time.Time // when young began
}

// bucket is what was left at some time.
type bucket struct {
	tokens float64
	at     time.Time
}

// take takes a token of a key; false when there is none.
func (b *buckets[K]) take(key K, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	have := b.look(key, now)
	allowed := have.tokens >= 1
	if allowed {
		have.tokens--
	}
	b.young[key] = have
	return allowed
}

// give returns a token that was taken for nothing.
func (b *buckets[K]) give(key K, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	have := b.look(key, now)
	have.tokens = min(b.burst, have.tokens+1)
	b.young[key] = have
}

// look is what a key has now. A place in young is free for it. b.mu is held.
func (b *buckets[K]) look(key K, now time.Time) bucket {
	have, known := b.young[key]
	if !known {
		if have, known = b.old[key]; !known {
			have = bucket{b.burst, now}
		}
		if b.young == nil || len(b.young) >= b.most || now.Sub(b.turned).Seconds() > b.burst/b.rate {
			b.young, b.old, b.turned = make(map[K]bucket), b.young, now
		}
	}
	have.tokens = min(b.burst, have.tokens+now.Sub(have.at).Seconds()*b.rate)
	have.at = now
	return have
}
