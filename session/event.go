package session

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// EventType says what happened to a session.
type EventType uint8

// What a Table tells of.
const (
	Joined  EventType = iota + 1 // the session is there, and its 201 has not been written yet
	Changed                      // State or Cause are others than it told before
	Left                         // it has ended, and Cause says why
)

// Event is something that happened to a session.
type Event struct {
	Type    EventType
	Time    time.Time
	Session string // see PublicID
	Role    Role
	Labels  Labels
	State   string // as Info's
	Cause   Cause  // as Info's
	// Close ends the session, and returns at once.
	Close func(Cause)
}

const (
	// changeInterval is how far apart two changes of a session are told: one
	// that comes and goes at once is no news.
	changeInterval = time.Second
	// changeRate bounds those of all sessions together. What has to wait is told
	// a turn of the wheel later, as it is then: a publisher who falls silent
	// before ten thousand viewers must not hold the sweeper up.
	changeRate, changeBurst = 1000, 2000
)

func newChanges() *rate.Limiter { return rate.NewLimiter(changeRate, changeBurst) }

// telling is what Config.OnEvent knows of a session. The lock is held while the
// hook is called, so that the calls for one session are in order; nothing that
// happens to sessions waits for it but what has to be told.
type telling struct {
	mu    sync.Mutex // guards the fields below; taken before the Table's lock
	state string     // "": it was not told that the session joined, or that it left
	cause Cause
	at    time.Time // of the last change
}

// tell calls the hook. s.telling.mu is held.
func (s *Session) tell(what EventType, now time.Time, state string, c Cause) {
	s.t.cfg.OnEvent(Event{
		Type: what, Time: now, Session: s.name, Role: s.role, Labels: s.labels, State: state, Cause: c, Close: s.Close,
	})
}

// tellJoined is told of every session that is known, before anything else.
// s.telling.mu is held since before anybody could know it.
func (s *Session) tellJoined() {
	if s.t.cfg.OnEvent == nil {
		return
	}
	s.telling.state = stateConnecting.String()
	s.tell(Joined, s.since, s.telling.state, "")
}

// tellChanged tells of a state or cause that is news. The sweeper calls it: what
// is put off now it looks at again.
func (s *Session) tellChanged(now time.Time) {
	if s.t.cfg.OnEvent == nil {
		return
	}
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	state, cause := s.shown()
	switch {
	case s.telling.state == "", state == stateEnded.String(): // the end is told by itself
	case state == s.telling.state && cause == s.telling.cause:
	case now.Sub(s.telling.at) < changeInterval, !s.t.changes.AllowN(now, 1):
	default:
		s.telling.state, s.telling.cause, s.telling.at = state, cause, now
		s.tell(Changed, now, state, cause)
	}
}

// tellLeft is the last that is told of a session.
func (s *Session) tellLeft(c Cause) {
	if s.t.cfg.OnEvent == nil {
		return
	}
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	if s.telling.state == "" {
		return
	}
	s.telling.state = ""
	s.tell(Left, time.Now(), stateEnded.String(), c)
}
