package sfu

import "time"

// countAge is how old a count of viewers may be: counting walks over all of a
// room's, and each of them may ask.
const countAge = time.Second

// audience is how many viewers each publication of a room had a moment ago.
// It is guarded by the room's lock.
type audience struct {
	at      time.Time
	viewers map[string]int
}

// Viewers is about how many viewers, this one among them, watch the same.
func (s *Subscription) Viewers() int {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.ended {
		return 0
	}
	now := time.Now()
	if a := &r.audience; a.viewers == nil || now.Sub(a.at) >= countAge {
		a.at, a.viewers = now, r.countViewers()
	}
	return max(1, r.audience.viewers[s.target()])
}

// countViewers counts by publication; called with the room's lock held.
func (r *room) countViewers() map[string]int {
	viewers := make(map[string]int)
	for s := range r.subscriptions {
		viewers[s.target()]++
	}
	return viewers
}
