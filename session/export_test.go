package session

import "time"

// Limits changes limits that take too long, or too many sessions, to reach in a
// test. Zero leaves one as it is. To be called before anything is opened.
func (t *Table) Limits(joins int, linger, stray time.Duration) {
	if joins > 0 {
		t.joins = make(chan struct{}, joins)
	}
	if linger > 0 {
		t.lingerLimit = linger
	}
	if stray > 0 {
		t.strayAge = stray
	}
}

// Sizes tells how much the table and its socket remember of sessions.
func (t *Table) Sizes() (sessions, ufrags, addresses, pending int) {
	ufrags, addresses, pending = t.mux.sizes()
	return len(t.List()), ufrags, addresses, pending
}

// Phase tells how far a viewer's DTLS is.
func (s *Session) Phase() string {
	v, ok := s.transport.(*viewer)
	if !ok {
		return ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return [...]string{"idle", "joining", "linger", "dropping", "dropped", "closed"}[v.phase]
}

// Addresses tells how many source addresses a viewer has.
func (s *Session) Addresses() int {
	v, ok := s.transport.(*viewer)
	if !ok {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.addrs)
}
