package session

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/sluicemedia/sluice/egress"
)

// generation is one ICE session of a viewer: both sides' credentials.
type generation struct {
	local     credentials
	remote    credentials
	integrity integrityKey // of local.pwd
}

func newGeneration(local, remote credentials) *generation {
	return &generation{local: local, remote: remote, integrity: newIntegrityKey(local.pwd)}
}

// phase is how far a viewer's DTLS is.
type phase uint8

const (
	phaseIdle     phase = iota // no handshake yet
	phaseWaiting               // for its turn in the lobby
	phaseJoining               // the handshake runs
	phaseDropping              // keys are known, the connection is being dropped
	phaseDropped               // only its state is left
	phaseClosed
)

// address is a source address that passed a check.
type address struct {
	netip.AddrPort
	used int64 // unix nanoseconds of the last check
}

// viewer is the transport of a viewer: an ICE-lite responder, DTLS for as long
// as it joins, and an egress.Viewer with the keys. A connected viewer has no
// goroutine, no timer and no dtls.Conn: the mux's read loop, the Table's
// sweeper and, for the odd DTLS alert, a short-lived goroutine serve it.
type viewer struct {
	t            *Table
	s            *Session
	fingerprints []Fingerprint // of the offer
	active       bool          // we are the DTLS client
	born         time.Time
	egress       *egress.Viewer

	checked  atomic.Int64 // unix nanoseconds of the first accepted check, 0: none
	evidence evidence
	heard    atomic.Int64 // unix nanoseconds of the last sign of life with a key behind it
	proven   atomic.Bool  // authenticated SRTCP came: the viewer holds the keys

	// reviving is held while a connection is revived from state; see revive.
	reviving sync.Mutex

	mu        sync.Mutex // guards what follows; taken before the mux's and egress's locks
	now, next *generation
	pair      netip.AddrPort // where media goes
	addrs     []address
	phase     phase
	sections  []ViewerSection // until Connected got them
	connected func(*egress.Viewer, []ViewerSection)
	hello     []byte      // while waiting: the ClientHello
	join      *join       // while a goroutine of it runs
	flight    []byte      // our last, as DTLS server, until the viewer has proven to have got it
	repeats   int         // of flight
	state     *dtls.State // once dropped
	gone      bool        // the viewer said close_notify
	loss      lossWatch   // the sweeper's alone
	packets   uint64      // media sent when the sweeper looked last
	quiet     int64       // unix nanoseconds of when anything was sent last, as far as the sweeper knows
	alerts    alerts
}

// newViewer makes the transport of a viewer who described himself by o, and
// whom the gateway serves with config.
func (t *Table) newViewer(
	s *Session, o *Offer, config AnswerConfig, sections []ViewerSection, active bool,
	connected func(*egress.Viewer, []ViewerSection),
) *viewer {
	streams := egress.ViewerConfig{CNAME: config.CNAME}
	for _, x := range sections {
		streams.Streams = append(streams.Streams, egress.StreamConfig{
			Kind: x.Kind, MID: x.MID, SSRC: x.SSRC, RTXSSRC: x.RTXSSRC, Extensions: x.Extensions,
		})
	}
	local := credentials{config.UFrag, config.Pwd}
	v := &viewer{
		t: t, s: s, active: active, fingerprints: slices.Clone(o.Fingerprints), born: time.Now(),
		egress: t.plane.NewViewer(streams), sections: sections, connected: connected,
		now: newGeneration(local, s.peer()),
	}
	v.heard.Store(v.born.UnixNano())
	t.mux.addUfrag(local.ufrag, v)
	return v
}

// restart accepts checks with new credentials beside the present ones, until
// the viewer nominates a pair with the new.
func (v *viewer) restart(f *Fragment) (credentials, error) {
	g := newGeneration(newCredentials(), credentials{f.UFrag, f.Pwd})
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == phaseClosed {
		return credentials{}, ErrNotFound
	}
	if v.next != nil { // a second restart before the first took hold: the last one wins
		v.t.mux.dropUfrag(v.next.local.ufrag)
	}
	v.next = g
	v.t.mux.addUfrag(g.local.ufrag, v)
	return g.local, nil
}

// trickle does nothing: a lite agent learns addresses from checks.
func (v *viewer) trickle(*Fragment) {}

// check answers a connectivity check. Mux read loop only.
func (v *viewer) check(r *responder, _ []byte, from netip.AddrPort) {
	v.mu.Lock()
	g := v.now
	if v.next != nil && v.next.local.ufrag == string(r.local) {
		g = v.next
	}
	closed := v.phase == phaseClosed
	v.mu.Unlock()
	if closed || g.local.ufrag != string(r.local) {
		v.t.mux.drop(dropUnknownUfrag)
		return
	}
	v.evidence.checks.Add(1)
	verdict, reply := r.judge(g, from)
	v.t.mux.count.checks[verdict].Add(1)
	if verdict == checkAccepted || verdict == checkNominated {
		v.accept(g, from, verdict == checkNominated)
	}
	if len(reply) > 0 {
		// What cannot be sent is as lost as on the network: checks are repeated.
		_, _ = v.t.mux.conn.WriteToUDPAddrPort(reply, from)
	}
}

// accept takes note of an authenticated check.
func (v *viewer) accept(g *generation, from netip.AddrPort, nominated bool) {
	now := time.Now().UnixNano()
	v.heard.Store(now)
	v.checked.CompareAndSwap(0, now)
	if v.take(g, from, now, nominated) {
		v.egress.RequestKeyframe()
	}
}

// take is accept under v.mu. It tells whether an ICE restart has just been
// completed: a viewer does that on another network.
func (v *viewer) take(g *generation, from netip.AddrPort, now int64, nominated bool) (restarted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == phaseClosed {
		return false
	}
	v.bind(from, now)
	if nominated && g == v.next {
		v.t.mux.dropUfrag(v.now.local.ufrag)
		v.now, v.next = v.next, nil
		restarted = true
	}
	if nominated || !v.pair.IsValid() {
		v.move(from)
	}
	switch {
	case v.active && v.phase == phaseIdle:
		v.begin()
	case v.phase == phaseWaiting:
		v.t.lobby.press()
	}
	return restarted
}

// bind makes from an address of the viewer. The longest unused one makes room,
// never the one that media goes to. v.mu is held.
func (v *viewer) bind(from netip.AddrPort, now int64) {
	v.t.mux.bind(from, v)
	for i := range v.addrs {
		if v.addrs[i].AddrPort == from {
			v.addrs[i].used = now
			return
		}
	}
	if len(v.addrs) == maxAddresses {
		oldest := -1
		for i, a := range v.addrs {
			if a.AddrPort != v.pair && (oldest < 0 || a.used < v.addrs[oldest].used) {
				oldest = i
			}
		}
		v.t.mux.unbind(v, v.addrs[oldest].AddrPort)
		v.addrs = slices.Delete(v.addrs, oldest, oldest+1)
	}
	v.addrs = append(v.addrs, address{from, now})
}

// move sends media to another address. v.mu is held, so that moves and the
// start of sending stay in order; egress does not call back.
func (v *viewer) move(to netip.AddrPort) {
	if v.pair == to {
		return
	}
	v.pair = to
	v.egress.Move(to)
}

// write sends to the viewer's present address, for DTLS.
func (v *viewer) write(b []byte, _ netip.AddrPort) (int, error) {
	v.mu.Lock()
	to := v.pair
	if !v.active && v.phase == phaseJoining && b[0] == recordChangeCipher { // with Finished behind it
		v.flight = slices.Clone(b)
	}
	v.mu.Unlock()
	v.evidence.sent(b)
	return v.t.mux.conn.WriteToUDPAddrPort(b, to)
}

// datagram takes DTLS and SRTCP. Mux read loop only.
func (v *viewer) datagram(b []byte, _ netip.AddrPort) {
	switch {
	case isDTLS(b):
		v.record(b)
	case !isRTCP(b):
		v.t.mux.drop(dropMedia)
	case v.egress.HandleRTCP(b) != nil:
		v.t.mux.drop(dropRTCP)
	default:
		v.heard.Store(time.Now().UnixNano())
		if v.proven.CompareAndSwap(false, true) {
			v.mu.Lock()
			v.flight = nil
			v.mu.Unlock()
		}
	}
}

// sweep ends a session that does not get on, and looks after late alerts.
func (v *viewer) sweep(now time.Time) {
	v.mu.Lock()
	p := v.phase
	v.mu.Unlock()
	switch p {
	case phaseIdle, phaseWaiting, phaseJoining:
		first := v.checked.Load()
		switch {
		case first == 0 && now.Sub(v.born) > v.t.cfg.ConnectTimeout:
			v.s.end(v.evidence.unreached())
		case first != 0 && (now.Sub(instant(first)) > v.t.handshakeLimit || now.Sub(v.born) > v.t.cfg.ConnectTimeout):
			v.s.end(CauseDTLSTimeout)
		}
	case phaseDropping, phaseDropped:
		if now.Sub(instant(v.heard.Load())) > v.t.cfg.ConsentTimeout {
			v.s.end(CauseConsentLost)
			return
		}
		v.retryAlert(now)
		v.keepAlive(now)
	case phaseClosed:
	}
}

// keepAlive sends a Binding indication when neither media nor the answer to a
// check was sent for a while (RFC 8445 section 11), as before the publisher comes.
func (v *viewer) keepAlive(now time.Time) {
	packets := v.egress.Stats().Packets
	v.mu.Lock()
	to := v.pair
	for _, a := range v.addrs {
		if a.AddrPort == to {
			v.quiet = max(v.quiet, a.used) // its check was answered
		}
	}
	due := packets == v.packets && to.IsValid() && now.Sub(instant(v.quiet)) >= keepaliveInterval
	if due || packets != v.packets {
		v.packets, v.quiet = packets, now.UnixNano()
	}
	v.mu.Unlock()
	if due {
		v.t.mux.indicate(to)
	}
}

// diagnose implements transport.
func (v *viewer) diagnose(now time.Time) Cause {
	v.mu.Lock()
	p := v.phase
	v.mu.Unlock()
	if p > phaseJoining {
		return ""
	}
	return v.evidence.waiting(now, v.born, instant(v.checked.Load()))
}

// refine implements transport: where nothing else is wrong, the viewer's reports
// and requests tell whether what is sent arrives.
func (v *viewer) refine(c Cause, now time.Time) Cause {
	if v.loss.poor(now, v.egress.Stats()) && c == "" {
		return CausePoorLink
	}
	return c
}

// close stops sending, says close_notify and forgets the viewer.
func (v *viewer) close() {
	v.mu.Lock()
	was := v.phase
	v.phase = phaseClosed
	j := v.join
	v.t.mux.dropUfrag(v.now.local.ufrag)
	if v.next != nil {
		v.t.mux.dropUfrag(v.next.local.ufrag)
	}
	addrs := make([]netip.AddrPort, len(v.addrs))
	for i, a := range v.addrs {
		addrs[i] = a.AddrPort
	}
	v.addrs = nil
	v.mu.Unlock()
	v.t.mux.unbind(v, addrs...)
	v.egress.Stop()
	switch {
	case was == phaseWaiting:
		v.t.lobby.forget(v)
	case j != nil: // its goroutine owns the connection
		j.cancel()
		<-j.done
	case was == phaseDropped:
		v.farewell()
	}
}

// fill implements transport.
func (v *viewer) fill(i *Info) {
	st := v.egress.Stats()
	i.Viewer, i.RTT = &st, st.RTT
}
