package session

import (
	"time"

	"github.com/pion/webrtc/v4"
)

// MaxRepeats is how often a viewer gets our last flight again.
const MaxRepeats = maxRepeats

// Limits changes limits that take too long, or too many sessions, to reach in a
// test. Zero leaves one as it is. To be called before anything is opened.
func (t *Table) Limits(joins int, stuck, stray time.Duration) {
	if joins > 0 {
		t.lobby = newLobby(joins)
	}
	if stuck > 0 {
		t.lobby.stuck = stuck
	}
	if stray > 0 {
		t.strayAge = stray
	}
}

// Admission changes how long offers wait for their turn, and how many sessions
// of a role may be unconnected; zero leaves one as it is.
func (t *Table) Admission(wait time.Duration, unconnected int64) {
	if wait > 0 {
		t.admission.wait = wait
	}
	if unconnected > 0 {
		t.admission.publishers.limit, t.admission.viewers.limit = unconnected, unconnected
	}
}

// Turn changes how long a turn is believed to take.
func (t *Table) Turn(d time.Duration) { t.admission.turn.Store(int64(d)) }

// ProposalLimit changes how long offers of the gateway's are good.
func (t *Table) ProposalLimit(d time.Duration) { t.proposalLimit = d }

// Unconnected counts the viewers that have not connected yet.
func (t *Table) Unconnected() int64 { return t.admission.viewers.unconnected.Load() }

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
	return [...]string{"idle", "waiting", "joining", "dropping", "dropped", "closed"}[v.phase]
}

// Proven tells whether a viewer's last flight of ours is needed no more.
func (s *Session) Proven() bool {
	v := s.transport.(*viewer)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.proven.Load() && v.flight == nil
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

// KeepAlive is what the sweeper would do for a viewer at an instant.
func (s *Session) KeepAlive(now time.Time) { s.transport.(*viewer).keepAlive(now) }

// Propose is an offer of the gateway's for what is on air.
func Propose(live []webrtc.RTPCodecCapability) *Offer { return propose(live) }

// ReadAnswer reads an answer to it.
func (o *Offer) ReadAnswer(body []byte) (*Offer, error) { return o.readAnswer(body) }

// Sweep turns the wheel once.
func (t *Table) Sweep(now time.Time) {
	for range t.wheel.slots {
		t.sweepSlot(now)
	}
}

// Slots is how many slots the wheel has.
func (t *Table) Slots() int { return len(t.wheel.slots) }

// PretendConnected makes a viewer one whose handshake is over, as far as the
// sweeper sees it.
func (s *Session) PretendConnected() {
	v := s.transport.(*viewer)
	v.mu.Lock()
	v.phase = phaseDropped
	v.mu.Unlock()
	s.live("")
}
