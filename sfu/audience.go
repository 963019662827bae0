package sfu

// audience counts the subscriptions of a room by the name that they were made
// with, "" for the program. It is guarded by the room's lock.
type audience map[string]int

func (a audience) enter(s *Subscription) { a[s.name]++ }

func (a audience) leave(s *Subscription) {
	if a[s.name]--; a[s.name] == 0 {
		delete(a, s.name)
	}
}

// viewers is how many watch a publication, "": how many wait for a program.
// Called with the room's lock held.
func (r *room) viewers(publication string) int {
	n := r.audience[publication]
	if publication != "" && publication == r.program {
		n += r.audience[""]
	}
	return n
}

// Viewers is how many viewers, this one among them, watch the same.
func (s *Subscription) Viewers() int {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.ended {
		return 0
	}
	return s.room.viewers(s.target())
}
