package session

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluicemedia/sluice/egress"
)

const (
	// maxSessions bounds a Table; admission by load comes long before.
	maxSessions = 50_000
	// remember is how long ended sessions are known, so that DELETE is idempotent.
	remember = time.Minute
	// closeLimit bounds Close.
	closeLimit = 1300 * time.Millisecond
	// A publisher that did not connect within strayMax is a stray; an address may
	// have maxStrays of them.
	strayMax  = 10 * time.Second
	maxStrays = 4
	// forgetBatch is how many ended sessions are forgotten in one go.
	forgetBatch = 64
)

// Table holds the sessions of this node and the media socket they share. It
// runs two goroutines, the socket's read loop and the sweeper, and one for each
// handshake under way, late alert and session that ends; Close waits for all.
type Table struct {
	cfg         Config
	log         *slog.Logger
	mux         *mux
	plane       *egress.Plane
	ingest      *ingest
	dtls        dtlsOptions
	fingerprint string
	candidates  []netip.AddrPort

	handshakeLimit, strayAge, deleteLimit, proposalLimit time.Duration

	admission  admission
	lobby      *lobby
	revivals   chan struct{} // a slot for each connection revived from state
	handshakes handshakeCounters
	wg         sync.WaitGroup
	quit       chan struct{}
	news       *rate.Limiter // of the log
	changes    *rate.Limiter // told of by Config.OnEvent

	mu       sync.Mutex // guards what follows; no other lock is taken under it but Session.mu
	closing  bool
	sessions map[string]*Session
	wheel    wheel               // of the sessions; its step and the number of its slots never change
	leaving  map[string]*Session // ended, not finished yet
	ended    map[string]departed
	order    []string // the keys of ended, the first to be forgotten first
	causes   map[Role]map[Cause]uint64
	// publishers are those of the sessions: few, where there are many viewers.
	publishers map[*Session]struct{}
}

// NewTable opens the media socket.
func NewTable(cfg Config, log *slog.Logger) (*Table, error) {
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 40*time.Second)
	cfg.ConsentTimeout = cmp.Or(cfg.ConsentTimeout, 30*time.Second)
	cert, fingerprint, err := newCertificate()
	if err != nil {
		return nil, err
	}
	m, err := listenMedia(cfg.Media, log)
	if err != nil {
		return nil, err
	}
	t := &Table{
		cfg: cfg, log: log, mux: m,
		dtls: newDTLSOptions(cert, log), fingerprint: fingerprint,
		handshakeLimit: min(handshakeMax, cfg.ConnectTimeout),
		proposalLimit:  proposalLimit,
		strayAge:       strayMax,
		deleteLimit:    deleteMax,
		lobby:          newLobby(maxJoins),
		revivals:       make(chan struct{}, maxRevivals),
		quit:           make(chan struct{}),
		sessions:       make(map[string]*Session),
		leaving:        make(map[string]*Session),
		ended:          make(map[string]departed),
		publishers:     make(map[*Session]struct{}),
		news:           newNews(),
		changes:        newChanges(),
		causes:         map[Role]map[Cause]uint64{RolePublisher: {}, RoleViewer: {}},
	}
	every := min(cfg.ConnectTimeout, cfg.ConsentTimeout, t.handshakeLimit) / 8
	t.wheel = newWheel(max(slotTime, min(every, time.Second)))
	t.admission.init()
	if t.candidates, err = candidates(t.MediaAddr(), cfg.Advertise); err != nil {
		return nil, errors.Join(err, m.abandon())
	}
	if t.ingest, err = newIngest(ingestConfig{
		side: m.side, mux: m, certificate: cert, fingerprint: fingerprint, candidates: t.candidates, log: log,
		connectTimeout: cfg.ConnectTimeout, consentTimeout: cfg.ConsentTimeout,
	}); err != nil {
		return nil, errors.Join(err, m.abandon())
	}
	t.plane = egress.NewPlane(log, m.sockets.writers()...)
	t.wg.Go(m.run)
	t.wg.Go(t.sweep)
	return t, nil
}

// MediaAddr is the address of the media socket.
func (t *Table) MediaAddr() netip.AddrPort {
	a := t.mux.local.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Candidates are the addresses put into answers.
func (t *Table) Candidates() []netip.AddrPort { return slices.Clone(t.candidates) }

// OpenPublisher answers a publisher's offer. *OfferError, ErrClosed, ErrTooMany.
// Closed may be called before OpenPublisher has returned.
func (t *Table) OpenPublisher(o *Offer, setup PublisherSetup) (*Session, error) {
	t.endStray(setup.Remote)
	if !t.cfg.Simulcast {
		o = o.WithoutSimulcast()
	}
	s := t.newSession(setup.ID, RolePublisher, setup.Labels, setup.Closed)
	s.follow(o)
	s.from, s.diagnose = setup.Remote, setup.Diagnose
	tr, answer, err := t.ingest.open(s, o, setup)
	if err != nil {
		return nil, err
	}
	return s, t.add(s, tr, answer)
}

// OpenViewer answers a viewer's offer. *OfferError, ErrClosed, ErrTooMany.
// Closed may be called before OpenViewer has returned.
func (t *Table) OpenViewer(o *Offer, setup ViewerSetup) (*Session, error) {
	s := t.newSession(setup.ID, RoleViewer, setup.Labels, setup.Closed)
	s.follow(o)
	s.diagnose = setup.Diagnose
	local := newCredentials()
	config := AnswerConfig{
		SessionID: newSDPSession(), UFrag: local.ufrag, Pwd: local.pwd, Fingerprint: t.fingerprint,
		Candidates: t.candidates, CNAME: newUFrag(), Prefer: setup.Prefer,
	}
	answer, sections, active, err := o.AnswerViewer(config)
	if err != nil {
		return nil, err
	}
	return s, t.add(s, t.newViewer(s, o, config, sections, active, setup.Connected), answer)
}

// add makes a session known, or closes its transport.
func (t *Table) add(s *Session, tr transport, answer []byte) error {
	s.transport, s.answer = tr, answer
	s.telling.mu.Lock() // what others have to tell of the session comes later
	defer s.telling.mu.Unlock()
	t.mu.Lock()
	var err error
	switch {
	case t.closing:
		err = ErrClosed
	case len(t.sessions) >= maxSessions:
		err = ErrTooMany
	case !s.enter():
		err = ErrNotFound // the transport gave up at once
	default:
		t.sessions[s.id] = s
		t.wheel.enter(s)
		if s.role == RolePublisher {
			t.publishers[s] = struct{}{}
		}
	}
	t.mu.Unlock()
	if err != nil {
		tr.close()
		return err
	}
	s.tellJoined()
	return nil
}

// remove takes a session out; false when it is not (or no longer) there. The
// caller's function runs on a goroutine of the Table then.
func (t *Table) remove(s *Session, c Cause, then func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[s.id] != s {
		return false
	}
	delete(t.sessions, s.id)
	delete(t.publishers, s)
	t.wheel.leave(s)
	t.ended[s.id] = s.departed(c)
	t.order = append(t.order, s.id)
	t.causes[s.role][c]++
	t.leaving[s.id] = s
	t.wg.Go(then)
	return true
}

// left is the last that happens to a session.
func (t *Table) left(s *Session) {
	t.mu.Lock()
	delete(t.leaving, s.id)
	t.mu.Unlock()
	close(s.done)
}

// Find returns a living session by its id ("node.secret").
func (t *Table) Find(id string) (*Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[id]; s != nil {
		return s, nil
	}
	return nil, ErrNotFound
}

// departing returns a session that ended and still holds something, or nil.
func (t *Table) departing(id string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaving[id]
}

// Ended tells whether the session of this id ended within the last minute.
func (t *Table) Ended(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.ended[id]
	return ok && time.Since(e.at) < remember
}

// List returns all living sessions.
func (t *Table) List() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := make([]*Session, 0, len(t.sessions))
	for _, s := range t.sessions {
		l = append(l, s)
	}
	return l
}

// endStray makes room for one more session of a publisher's address when too
// many of them never connected. Loopback is exempt.
func (t *Table) endStray(from netip.Addr) {
	if !from.IsValid() || from.Unmap().IsLoopback() {
		return
	}
	var strays []*Session
	t.mu.Lock()
	for s := range t.publishers {
		if s.from == from && !s.isLive() && time.Since(s.since) > t.strayAge {
			strays = append(strays, s)
		}
	}
	t.mu.Unlock()
	if len(strays) < maxStrays {
		return
	}
	slices.MinFunc(strays, func(a, b *Session) int { return a.since.Compare(b.since) }).end(CauseNoICE)
}

// Close ends all sessions with close_notify and closes the socket. A session
// whose Closed has not returned within a good second is not waited for before
// the socket closes, but Close returns only when all goroutines have ended.
func (t *Table) Close() error {
	t.mu.Lock()
	again := t.closing
	t.closing = true
	t.mu.Unlock()
	if again {
		t.wg.Wait()
		return nil
	}
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	for _, s := range t.List() {
		s.end(CauseDrained)
	}
	t.mu.Lock()
	leaving := slices.Collect(maps.Values(t.leaving))
	t.mu.Unlock()
wait:
	for _, s := range leaving {
		select {
		case <-s.done:
		case <-limit.C:
			t.log.Warn("sessions slow to end")
			break wait
		}
	}
	err := t.plane.Close() // before the socket it writes to
	close(t.quit)
	// The read loop before the side that it feeds: ingest closes that one.
	err = errors.Join(err, t.mux.close(), t.ingest.close())
	t.wg.Wait()
	if err != nil {
		return fmt.Errorf("session: close: %w", err)
	}
	return nil
}

// newUFrag makes an ICE user fragment of 80 random bits (RFC 8839 section 5.4).
func newUFrag() string { return strings.ToLower(rand.Text()[:16]) }

// newCredentials makes credentials for the gateway's side.
func newCredentials() credentials { return credentials{newUFrag(), strings.ToLower(rand.Text())} }

// newSDPSession makes the number of an o= line (RFC 8866 section 5.2); browsers
// want it to fit a signed 64-bit integer.
func newSDPSession() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) >> 1
}
