package session

import (
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxJoins bounds the handshakes under way in a Table, each some 40 KiB. Most
	// of the time of one is the viewer's round trip, so it takes many of them to
	// let a crowd in that is far away.
	maxJoins = 256
	// stuckAfter is when a handshake has to make room if others wait for one.
	stuckAfter = 2 * time.Second
)

// lobby decides which handshakes go on. What they cost is two things, each with
// a bound of its own: memory as long as they are under way (places), and the
// processor for the tenth of a millisecond that each datagram makes work
// (turns). Handshakes that could all run at once would stand before the packet
// path in the scheduler's queue; with turns at most a few do. Who has begun goes
// before who waits, so that few are under way at a time, and both go in order of
// arrival.
type lobby struct {
	stuck time.Duration

	mu       sync.Mutex // guards what follows and all turns; no lock is taken under it
	turns    int        // free
	places   int        // free; negative never
	ready    []*turn    // want to go on
	waiting  []*viewer  // want to begin
	underWay []*join    // in order of beginning; without those that were sent away
}

// newLobby leaves half of the processors to others.
func newLobby(places int) *lobby {
	return &lobby{stuck: stuckAfter, turns: max(1, runtime.GOMAXPROCS(0)/2), places: places}
}

// enter gives a viewer a turn and a place, or has viewer.admitted called when
// there is one of each.
func (l *lobby) enter(v *viewer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turns > 0 && l.places > 0 {
		l.turns--
		l.places--
		return true
	}
	l.waiting = append(l.waiting, v)
	l.hasten()
	return false
}

// press is enter for who waits already and has not given up.
func (l *lobby) press() {
	l.mu.Lock()
	l.hasten()
	l.mu.Unlock()
}

// forget takes out a viewer that waits no more.
func (l *lobby) forget(v *viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(o *viewer) bool { return o == v })
}

// hasten sends the oldest handshake away when nobody gets in any more: a viewer
// that vanished, or one that means harm. l.mu is held.
func (l *lobby) hasten() {
	if l.places > 0 || len(l.underWay) == 0 || time.Since(l.underWay[0].began) < l.stuck {
		return
	}
	j := l.underWay[0]
	l.underWay = slices.Delete(l.underWay, 0, 1)
	j.stuck.Store(true)
	j.cancel()
}

// begun notes a handshake that has a place and a turn.
func (l *lobby) begun(j *join) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.turn.lobby, j.turn.held = l, true
	l.underWay = append(l.underWay, j)
}

// leave is the end of a handshake, good or bad.
func (l *lobby) leave(j *join) {
	l.mu.Lock()
	j.turn.drop()
	j.turn.over = true
	if i := slices.Index(l.underWay, j); i >= 0 {
		l.underWay = slices.Delete(l.underWay, i, i+1)
	}
	l.places++
	l.mu.Unlock()
	l.advance()
}

// advance hands free turns on. No lock is held.
func (l *lobby) advance() {
	for {
		v := l.next()
		if v == nil || v.admitted() {
			return // who was admitted has the turn, and hands it on
		}
		l.mu.Lock() // has ended while it waited
		l.turns++
		l.places++
		l.mu.Unlock()
	}
}

// next hands turns to those who want to go on; what is left may be for a viewer
// who wants to begin.
func (l *lobby) next() *viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.turns > 0 && len(l.ready) > 0 {
		t := l.ready[0]
		l.ready = slices.Delete(l.ready, 0, 1)
		l.turns--
		t.held, t.asked = true, false
		t.granted <- struct{}{} // has room: only who asked is granted
	}
	if l.turns == 0 || l.places == 0 || len(l.waiting) == 0 {
		return nil
	}
	v := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	l.turns--
	l.places--
	return v
}

// counts tells how many handshakes are under way and how many wait to begin.
func (l *lobby) counts() (underWay, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.underWay), len(l.waiting)
}

// turn is the right of one handshake to make work.
type turn struct {
	lobby   *lobby
	granted chan struct{} // one element
	held    bool
	asked   bool
	over    bool // the handshake is
}

// rest gives the turn back until the next datagram.
func (t *turn) rest() {
	t.lobby.mu.Lock()
	held := t.drop()
	t.lobby.mu.Unlock()
	if held {
		t.lobby.advance()
	}
}

// drop frees the turn, or takes the wish for one back. lobby.mu is held; the
// caller calls advance.
func (t *turn) drop() bool {
	if t.asked {
		t.asked = false
		t.lobby.ready = slices.DeleteFunc(t.lobby.ready, func(o *turn) bool { return o == t })
	}
	if !t.held {
		return false
	}
	t.held = false
	t.lobby.turns++
	return true
}

// take waits for a turn, unless it is held; false when stop or expired says so.
func (t *turn) take(stop, expired <-chan struct{}) bool {
	l := t.lobby
	l.mu.Lock()
	switch {
	case t.over:
		l.mu.Unlock()
		return false
	case t.held:
		l.mu.Unlock()
		return true
	case l.turns > 0:
		t.held = true
		l.turns--
		l.mu.Unlock()
		return true
	}
	t.asked = true
	l.ready = append(l.ready, t)
	l.mu.Unlock()
	select {
	case <-t.granted:
		return true
	case <-stop:
	case <-expired:
	}
	l.mu.Lock()
	granted := t.drop()
	l.mu.Unlock()
	if granted { // at the same moment
		<-t.granted
		l.advance()
	}
	return false
}

// turnstile is the pipe under a handshake: a datagram is read when it is the
// handshake's turn, and has been worked on when the next is asked for. Only the
// DTLS stack's read loop reads.
type turnstile struct {
	*pipe
	turn *turn
	read bool // before
}

// ReadFrom implements net.PacketConn.
func (p *turnstile) ReadFrom(b []byte) (int, net.Addr, error) {
	if p.read || len(p.in) == 0 {
		p.turn.rest()
	}
	p.read = true
	n, from, err := p.pipe.ReadFrom(b)
	if err != nil {
		return 0, nil, err
	}
	if !p.turn.take(p.closed, p.readable.Done()) {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return n, from, nil
}
