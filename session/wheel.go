package session

import (
	"runtime"
	"slices"
	"time"
)

const (
	// slotTime is how far apart the slots of a wheel are looked at, where there
	// are several.
	slotTime = 20 * time.Millisecond
	// sweepBatch is how many sessions are looked at in one go. Then whoever has a
	// packet to send comes first: a core may have to do both.
	sweepBatch = 32
)

// wheel spreads sessions over the time between two looks at each of them, so
// that looking at thousands is no burst in which no packet is sent. Entering
// and leaving cost the same however many there are. It is guarded by its
// Table's lock.
type wheel struct {
	slots [][]*Session
	step  time.Duration // from one slot to the next
	hand  int           // the slot that comes next
}

// place is where a session is in a wheel.
type place struct{ slot, index int }

// newWheel makes a wheel that turns once in a time.
func newWheel(every time.Duration) wheel {
	n := max(1, int(every/slotTime))
	return wheel{slots: make([][]*Session, n), step: every / time.Duration(n)}
}

// enter puts a session where the fewest are.
func (w *wheel) enter(s *Session) {
	least := 0
	for i := range w.slots {
		if len(w.slots[i]) < len(w.slots[least]) {
			least = i
		}
	}
	s.place = place{least, len(w.slots[least])}
	w.slots[least] = append(w.slots[least], s)
}

// leave takes out a session that has entered.
func (w *wheel) leave(s *Session) {
	slot := w.slots[s.place.slot]
	last := len(slot) - 1
	moved := slot[last]
	slot[s.place.index], slot[last] = moved, nil
	moved.place = s.place
	w.slots[s.place.slot] = slot[:last]
}

// turn moves the hand on and returns the slot it stood on.
func (w *wheel) turn() (slot int) {
	slot = w.hand
	w.hand = (w.hand + 1) % len(w.slots)
	return slot
}

// take fills batch with sessions of a slot, from an index down, and returns the
// index to go on from. Downwards nobody is missed who is there all the time: one
// who leaves is replaced by the last, who was there first.
func (w *wheel) take(slot, from int, batch []*Session) (n, next int) {
	sessions := w.slots[slot]
	from = min(from, len(sessions))
	next = max(0, from-len(batch))
	return copy(batch, sessions[next:from]), next
}

// sweep lets every session look at the clock. One goroutine and no timer does
// for all of them.
func (t *Table) sweep() {
	tick := time.NewTicker(t.wheel.step)
	defer tick.Stop()
	began, done := time.Now(), int64(0)
	for {
		select {
		case <-t.quit:
			return
		case <-tick.C:
		}
		now := time.Now()
		due := int64(now.Sub(began) / t.wheel.step)
		// Ticks are lost when the machine is busy; the slots' turns are not,
		// though nobody is looked at twice.
		for range min(due-done, int64(len(t.wheel.slots))) {
			t.sweepSlot(now)
		}
		done = due
		t.forget(now)
	}
}

// sweepSlot looks at the sessions whose turn it is.
func (t *Table) sweepSlot(now time.Time) {
	t.mu.Lock()
	slot := t.wheel.turn()
	from := len(t.wheel.slots[slot])
	t.mu.Unlock()
	var batch [sweepBatch]*Session
	for from > 0 {
		var n int
		t.mu.Lock()
		n, from = t.wheel.take(slot, from, batch[:])
		t.mu.Unlock()
		for _, s := range batch[:n] {
			s.transport.sweep(now)
			s.look(now)
		}
		if from > 0 {
			runtime.Gosched()
		}
	}
}

// forget drops ended sessions from memory, some at a time. They end in the order
// of t.order.
func (t *Table) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < min(len(t.order), forgetBatch) && now.Sub(t.ended[t.order[n]].at) >= remember {
		delete(t.ended, t.order[n])
		n++
	}
	if n == 0 {
		return
	}
	t.order = slices.Delete(t.order, 0, n)
	if len(t.order) == 0 {
		t.order, t.ended = nil, make(map[string]departed) // maps never shrink by themselves
	}
}
