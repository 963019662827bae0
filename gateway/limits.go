package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/session"
)

// What one party may do. Requests that are right are bounded only where they
// cost more than an answer.
const (
	passwordBurst = 5  // wrong passwords for a room, and as many a minute
	hashBurst     = 60 // wrong passwords for all rooms, and as many a minute
	roomBurst     = 100
	roomRate      = 10   // rooms made, a second
	maxLimited    = 8192 // keys of one generation

	streamsByAddress = 200 // event streams; loopback is not counted
	streamsByRoom    = 5000
	streamsOfNode    = 20_000
)

// limits bounds what a node does for whom.
type limits struct {
	failures  buckets[netip.Addr] // of what strangers get wrong
	passwords buckets[guess]
	trying    trials
	hashes    buckets[netip.Addr] // of passwords, for whatever room
	rooms     buckets[string]     // by identity, or else by address
	streams   streamCount
}

// guess is a try at the password of a room.
type guess struct {
	from netip.Addr
	room string
}

func newLimits() *limits {
	return &limits{
		failures:  buckets[netip.Addr]{burst: failureBurst, rate: failureRate, most: maxLimited},
		passwords: buckets[guess]{burst: passwordBurst, rate: passwordBurst / time.Minute.Seconds(), most: maxLimited},
		hashes:    buckets[netip.Addr]{burst: hashBurst, rate: hashBurst / time.Minute.Seconds(), most: maxLimited},
		rooms:     buckets[string]{burst: roomBurst, rate: roomRate, most: maxLimited},
	}
}

// tryPassword is asked before the password of a room is looked at: tries at
// once are counted before any of them has cost a hash. Ended is to be called once
// it is known whether the password was right, which then counts as no try. Those
// who find no try left while others are being looked at wait for how these end: a
// class comes at once, from behind one address, and all of it knows the password.
//
// An address that makes up rooms gets no further: each answer costs as much as one about
// a room that is there, and processors that media needs.
func (g *Gateway) tryPassword(r *http.Request, room string) (ended func(right bool), err error) {
	from := subscriber(addressOf(r))
	try := guess{from, room}
	for {
		over, busy := g.limits.trying.watch(try)
		ended, err = g.countTry(try)
		var refused *problemError
		if err == nil || !busy || !errors.As(err, &refused) || refused.name != "too-many-passwords" {
			return ended, err
		}
		select {
		case <-over:
		case <-r.Context().Done():
			return nil, fmt.Errorf("%w: %w", session.ErrTimeout, r.Context().Err())
		}
	}
}

// countTry takes a try, if there is one.
func (g *Gateway) countTry(try guess) (ended func(right bool), err error) {
	now, counted := time.Now(), !try.from.IsLoopback()
	if counted && !g.limits.hashes.take(try.from, now) {
		return nil, &problemError{name: "too-many-failures"}
	}
	back := func() {
		if counted {
			g.limits.hashes.give(try.from, time.Now())
		}
	}
	if !g.limits.passwords.take(try, now) {
		back() // nothing is computed
		return nil, &problemError{name: "too-many-passwords"}
	}
	g.limits.trying.begin(try)
	return func(right bool) {
		if right {
			back()
			g.limits.passwords.give(try, time.Now())
		}
		g.limits.trying.end(try)
	}, nil
}

// trials are the tries that are being looked at. There are no more of them than
// tries are counted.
type trials struct {
	mu sync.Mutex // guards what follows
	by map[guess]*trial
}

type trial struct {
	n    int
	over chan struct{} // closed when one of them ends
}

func (t *trials) begin(g guess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[guess]*trial)
	}
	if t.by[g] == nil {
		t.by[g] = &trial{over: make(chan struct{})}
	}
	t.by[g].n++
}

func (t *trials) end(g guess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.by[g]
	close(one.over)
	one.over = make(chan struct{})
	if one.n--; one.n == 0 {
		delete(t.by, g)
	}
}

// watch tells whether any are being looked at; then over is closed with the next
// that ends.
func (t *trials) watch(g guess) (over <-chan struct{}, busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.by[g]
	if one == nil {
		return nil, false
	}
	return one.over, true
}

// limitRoom bounds how often one party makes rooms, each of which is written to
// the registry's log. Who is known by a token is counted by it, others by their
// address; those on this machine are programs of its owner.
func (g *Gateway) limitRoom(r *http.Request, identity string) error {
	key := "token " + identity
	if identity == "" {
		from := subscriber(addressOf(r))
		if from.IsLoopback() {
			return nil
		}
		key = "address " + from.String()
	}
	if !g.limits.rooms.take(key, time.Now()) {
		return &problemError{name: "too-many-rooms"}
	}
	return nil
}

// openStream counts an event stream of a room until closed is called.
func (g *Gateway) openStream(r *http.Request, room string) (closed func(), err error) {
	from := subscriber(addressOf(r))
	if !g.limits.streams.open(from, room) {
		return nil, &problemError{name: "too-many-listeners"}
	}
	return sync.OnceFunc(func() { g.limits.streams.close(from, room) }), nil
}

// streamCount counts what stays open, which no rate bounds.
type streamCount struct {
	mu     sync.Mutex // guards what follows
	all    int
	byFrom map[netip.Addr]int
	byRoom map[string]int
}

// open counts one more; false when there are too many.
func (c *streamCount) open(from netip.Addr, room string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byFrom == nil {
		c.byFrom, c.byRoom = make(map[netip.Addr]int), make(map[string]int)
	}
	if c.all >= streamsOfNode || c.byRoom[room] >= streamsByRoom || c.byFrom[from] >= streamsByAddress && !from.IsLoopback() {
		return false
	}
	c.all++
	c.byFrom[from]++
	c.byRoom[room]++
	return true
}

func (c *streamCount) close(from netip.Addr, room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.byFrom[from]--; c.byFrom[from] == 0 {
		delete(c.byFrom, from)
	}
	if c.byRoom[room]--; c.byRoom[room] == 0 {
		delete(c.byRoom, room)
	}
}
