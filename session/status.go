package session

import "time"

// departed is what is remembered of a session that ended.
type departed struct {
	at   time.Time
	info Info
}

// departed is called with the Table's lock held, once the session has ended.
func (s *Session) departed(c Cause) departed {
	s.mu.Lock()
	profile := s.profile
	s.mu.Unlock()
	return departed{time.Now(), Info{
		ID: s.name, Role: s.role, Labels: s.labels, State: stateEnded.String(), Cause: c, Since: s.since, Profile: profile,
	}}
}

// Status is a snapshot of the session of this id, also for a minute after its
// end: then it says why. ErrNotFound.
func (t *Table) Status(id string) (Info, error) {
	if s, err := t.Find(id); err == nil {
		return s.Info(), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.ended[id]; ok && time.Since(e.at) < remember {
		return e.info, nil
	}
	return Info{}, ErrNotFound
}

// ListEnded returns the sessions that ended within the last minute.
func (t *Table) ListEnded() []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	var l []Info
	for _, e := range t.ended {
		if time.Since(e.at) < remember {
			l = append(l, e.info)
		}
	}
	return l
}
