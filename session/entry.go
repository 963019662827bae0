package session

import (
	"cmp"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Session is one WHIP or WHEP session.
type Session struct {
	t         *Table
	id, name  string // name is PublicID(id): for logs and lists
	role      Role
	labels    Labels
	since     time.Time
	from      netip.Addr // of the POST; publishers only
	frame     iceFrame   // what restarts and trickles need to know of the offer; see proposal for when it is set
	transport transport  // set before the session is known to anybody
	closed    func(Cause)
	diagnose  func(time.Time) Cause // of the media; nil: nobody knows
	done      chan struct{}
	place     place // in the Table's wheel; guarded by the Table's lock

	// calls is held while a callback of the setup runs; it guards over, which says
	// that there will be no more.
	calls sync.Mutex
	over  bool

	telling telling

	restarts sync.Mutex // one restart at a time; taken before mu

	mu      sync.Mutex // guards what follows
	answer  []byte
	etag    string
	remote  credentials
	reply   []byte // of the last restart
	state   state
	cause   Cause           // of the end
	present Cause           // of what is wrong now
	told    map[Cause]uint8 // 1: the log has it, 2: also that it is over
	profile string
}

type state uint8

const (
	stateNew state = iota
	stateConnecting
	stateLive
	stateEnded
)

func (s state) String() string {
	return [...]string{"connecting", "connecting", "live", "ended"}[s]
}

// newSession makes a session that nobody knows yet.
// follow must come before it is patched.
func (t *Table) newSession(id string, role Role, l Labels, closed func(Cause)) *Session {
	id = cmp.Or(id, t.NewID())
	return &Session{
		t: t, id: id, name: PublicID(id),
		role: role, labels: l, since: time.Now(), closed: closed,
		done: make(chan struct{}), etag: newETag(),
	}
}

// follow keeps what restarts and trickles need to know of the peer's
// description.
func (s *Session) follow(o *Offer) {
	s.frame = o.frame()
	s.frame.patches.lenient = s.t.cfg.LenientPatch
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote = credentials{strings.Clone(o.UFrag), strings.Clone(o.Pwd)}
}

// NewID makes the id of a session to be opened, for callers that must name the
// session before it is there. 260 bits: an id is all that protects a session URL.
func (t *Table) NewID() string {
	return t.cfg.Node + "." + strings.ToLower(rand.Text()+rand.Text())
}

// publicLength is how much of the secret a public id shows: 40 of 260 bits.
const publicLength = 8

// PublicID is the part of a session id that may be shown: the id itself is what
// protects the session URL, so logs, lists and events name a session by this.
func PublicID(id string) string {
	node, secret, _ := strings.Cut(id, ".")
	return node + "." + secret[:min(len(secret), publicLength)]
}

// newETag makes an opaque strong entity tag (RFC 9110 section 8.8.3).
func newETag() string { return `"` + strings.ToLower(rand.Text()) + `"` }

// ID is "node.secret", the last element of the session URL.
func (s *Session) ID() string { return s.id }

// Labels say what the session is for.
func (s *Session) Labels() Labels { return s.labels }

// Answer is the SDP answer of the POST; nil once the session is live, when it
// has long been sent.
func (s *Session) Answer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer
}

// ETag is the entity tag of the present ICE session, quoted (RFC 9725 section 4.3.1).
func (s *Session) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etag
}

// Done is closed when the session has ended and the setup's Closed has returned.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close ends the session: close_notify, then silence. It returns at once; Done
// tells when all is over.
func (s *Session) Close(c Cause) { s.end(c) }

// Info is a snapshot of the session.
func (s *Session) Info() Info {
	s.mu.Lock()
	i := Info{ID: s.name, Role: s.role, Labels: s.labels, Since: s.since, Profile: s.profile}
	i.State, i.Cause = s.status()
	s.mu.Unlock()
	s.transport.fill(&i)
	return i
}

// Restart does an ICE restart with the peer's new credentials and returns the
// gateway's side: new credentials and all candidates. The same credentials
// again return the same result. On error the old ICE session goes on.
func (s *Session) Restart(f *Fragment) (reply []byte, etag string, err error) {
	s.restarts.Lock()
	defer s.restarts.Unlock()
	s.mu.Lock()
	again, ended := s.reply != nil && s.remote == (credentials{f.UFrag, f.Pwd}), s.state == stateEnded
	reply, etag = s.reply, s.etag
	s.mu.Unlock()
	switch {
	case ended:
		return nil, "", ErrNotFound
	case again:
		return reply, etag, nil
	}
	local, err := s.transport.restart(f)
	if err != nil {
		if s.hasEnded() { // meanwhile; that is why
			return nil, "", ErrNotFound
		}
		return nil, "", err
	}
	reply = s.frame.marshalFragment(AnswerConfig{UFrag: local.ufrag, Pwd: local.pwd, Candidates: s.t.candidates})
	etag = newETag()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote = credentials{strings.Clone(f.UFrag), strings.Clone(f.Pwd)}
	s.reply, s.etag = reply, etag
	return reply, etag, nil
}

// peer returns the peer's present ICE credentials: those of the offer or of the
// last restart. They tell a restart from a trickle.
func (s *Session) peer() credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote
}

// trickle hands remote candidates to the transport.
func (s *Session) trickle(f *Fragment) { s.transport.trickle(f) }

// created tells when the session was made.
func (s *Session) created() time.Time { return s.since }

func (s *Session) isLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateLive
}

func (s *Session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateEnded
}

// shown is the state and the cause that are shown.
func (s *Session) shown() (state string, c Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status()
}

// enter makes a new session a connecting one; false when it has ended already.
func (s *Session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateEnded {
		return false
	}
	s.state = stateConnecting
	s.pending(1)
	return true
}

// pending counts sessions that have not connected yet. s.mu is held.
func (s *Session) pending(n int64) { s.t.admission.census(s.role).unconnected.Add(n) }

// connected counts sessions that have. s.mu is held.
func (s *Session) connected(n int64) {
	c := s.t.admission.census(s.role)
	c.live.Add(n)
	if n > 0 {
		c.joined.Add(1)
	}
}

// notify runs a callback of the setup: one at a time, and not once the session
// has ended. See transport.
func (s *Session) notify(f func()) bool {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	ended := s.state == stateEnded
	s.mu.Unlock()
	if s.over || ended {
		return false
	}
	f()
	return true
}

// live says that DTLS is up.
func (s *Session) live(profile string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.profile = profile
	if s.state == stateConnecting {
		s.state = stateLive
		s.pending(-1)
		s.connected(1)
	}
	s.answer = nil // long since sent
}

// end ends the session from anywhere and returns at once; only the first cause
// counts.
func (s *Session) end(c Cause) {
	s.mu.Lock()
	if s.state == stateEnded {
		s.mu.Unlock()
		return
	}
	switch s.state {
	case stateConnecting:
		s.pending(-1)
	case stateLive:
		s.connected(-1)
	default: // not counted yet
	}
	s.state, s.cause = stateEnded, c
	s.mu.Unlock()
	// Not there: it ended before it was known to anybody, and add cleans up.
	s.t.remove(s, c, func() { s.finish(c) })
}

// finish is the end of a session, on a goroutine of the Table.
func (s *Session) finish(c Cause) {
	defer s.t.left(s)
	s.transport.close()
	s.calls.Lock()
	s.over = true
	s.closed(c)
	s.report(c)
	s.calls.Unlock()
	s.tellLeft(c)
}

// report is the one log line of a session.
func (s *Session) report(c Cause) {
	i := s.Info()
	attrs := []any{
		slog.String("session", s.name), slog.String("role", string(s.role)), slog.String("room", s.labels.Room),
		slog.String("publication", s.labels.Publication), slog.String("identity", s.labels.Identity),
		slog.String("cause", string(c)), slog.Int64("duration_ms", time.Since(s.since).Milliseconds()),
		slog.Int64("rtt_ms", i.RTT.Milliseconds()), slog.String("profile", i.Profile),
	}
	if v := i.Viewer; v != nil {
		attrs = append(attrs, slog.Float64("loss", v.LossFraction), slog.Uint64("packets", v.Packets))
		if !v.FirstVideo.IsZero() {
			attrs = append(attrs, slog.Int64("first_frame_ms", v.FirstVideo.Sub(s.since).Milliseconds()))
		}
	}
	s.t.log.Info("session ended", attrs...)
}
