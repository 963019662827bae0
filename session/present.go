package session

import (
	"time"

	"golang.org/x/time/rate"
)

// Lines of the log about causes that come and go: as many a second, and as
// many at once. A publisher who falls silent before ten thousand viewers is
// one piece of news, not ten thousand.
const (
	newsRate  = 2
	newsBurst = 40
)

func newNews() *rate.Limiter { return rate.NewLimiter(newsRate, newsBurst) }

// look finds out how a living session is, and tells of it. The sweeper calls it
// about once a second.
func (s *Session) look(now time.Time) {
	s.examine(now)
	s.tellChanged(now)
}

// examine finds out what is wrong with a living session, if anything.
func (s *Session) examine(now time.Time) {
	c := s.transport.diagnose(now)
	if c == "" && s.diagnose != nil && s.isLive() {
		c = s.diagnose(now)
		c = s.transport.refine(c, now)
	}
	s.mu.Lock()
	before := s.present
	if before == c || s.state == stateEnded {
		s.mu.Unlock()
		return
	}
	s.present = c
	toTell := before
	if c != "" {
		toTell = c
	}
	news := c != "" && s.told[toTell] == 0 || c == "" && s.told[toTell] == 1
	if news {
		if s.told == nil {
			s.told = make(map[Cause]uint8, 1)
		}
		s.told[toTell]++
	}
	s.mu.Unlock()
	if news {
		s.announce(toTell, c != "")
	}
}

// announce tells the operator that a cause has come or gone.
func (s *Session) announce(c Cause, came bool) {
	log, message := s.t.log.Info, "session is well again"
	if came {
		message = "session in trouble"
	}
	if !s.t.news.Allow() {
		log = s.t.log.Debug
	}
	log(message, "session", s.name, "role", string(s.role), "room", s.labels.Room,
		"publication", s.labels.Publication, "cause", string(c))
}

// status is the state and the cause that are shown; s.mu is held.
func (s *Session) status() (state string, c Cause) {
	if s.state == stateEnded {
		return s.state.String(), s.cause
	}
	if s.state == stateLive && s.present.silent() {
		return "silent", s.present
	}
	return s.state.String(), s.present
}
