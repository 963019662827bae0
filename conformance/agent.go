package conformance

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
)

// Agent is a client made by hand over a UDP socket of its own: it says what a
// check wants said and nothing else, and keeps all that the server sends. It is
// a full ICE agent that controls; checks of a server that is one too are
// answered by itself.
//
// The fields down to candidates are set before post, by the functions given to
// [T.agent].
type Agent struct {
	t *T

	setup            string // a=setup of the offer; "": actpass
	wrongFingerprint bool   // the offer names another certificate
	profiles         []dtls.SRTPProtectionProfile
	ciphers          []dtls.CipherSuiteID
	candidates       string // lines added to each section
	edit             func(offer string) string
	optional         bool // a server that does not play the codec is not judged

	Session   *Session
	Offer     string
	cert      tls.Certificate
	ice       atomic.Pointer[iceSession]
	to        netip.AddrPort // the server's first UDP candidate
	active    bool           // we are the DTLS client
	tie       uint64
	conn      *dtls.Conn
	profile   srtp.ProtectionProfile
	pipe      *agentPipe
	running   sync.WaitGroup
	stop      chan struct{} // closed by shut
	muted     atomic.Bool   // nothing is sent any more: the client vanished
	deaf      atomic.Bool   // the server's own checks are not answered
	sock      atomic.Pointer[net.UDPConn]
	sockets   []*net.UDPConn // all there ever were
	sealing   sync.Mutex     // guards out
	out       *srtp.Context
	keyframes atomic.Int64 // keyframe requests that came
	tells     *bool        // whether GET tells a session from none; nil: not known yet

	heard
}

// credentials are one side's of an ICE session.
type credentials struct{ ufrag, pwd string }

// iceSession are both sides' credentials; a restart gives new ones.
type iceSession struct{ own, server credentials }

func (a *Agent) own() credentials    { return a.ice.Load().own }
func (a *Agent) server() credentials { return a.ice.Load().server }

func credentialsOf(sdp string) credentials {
	return credentials{sdpLine(sdp, "a=ice-ufrag:"), sdpLine(sdp, "a=ice-pwd:")}
}

// agentCertificate is shared by all agents: making one takes a while.
var agentCertificate = sync.OnceValues(selfsign.GenerateSelfSigned)

// agent makes a client for the sections. It has posted nothing yet; it is shut
// when the check is over.
func (t *T) agent(sections []Media, change ...func(*Agent)) *Agent {
	cert, err := agentCertificate()
	if err != nil {
		t.Fatalf("a certificate could not be made: %v", err)
	}
	a := &Agent{
		t: t, cert: cert, stop: make(chan struct{}),
		profiles: []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80},
	}
	a.prepare()
	var tie [8]byte
	_, _ = rand.Read(tie[:]) // never fails
	a.tie = binary.BigEndian.Uint64(tie[:])
	for _, c := range change {
		c(a)
	}
	a.Offer = a.compose(sections)
	a.ice.Store(&iceSession{own: credentialsOf(a.Offer)})
	a.pipe = newAgentPipe(a)
	t.Cleanup(a.shut)
	return a
}

// compose makes the offer.
func (a *Agent) compose(sections []Media) string {
	for i := range sections {
		sections[i].Extra += a.candidates
	}
	offer := Offer(sections...)
	if !a.wrongFingerprint {
		offer = Edit(offer, sdpLine(offer, "a=fingerprint:"), "sha-256 "+fingerprintOf(a.cert.Certificate[0]))
	}
	if a.setup != "" {
		offer = Edit(offer, "a=setup:actpass", "a=setup:"+a.setup)
	}
	if a.edit != nil {
		offer = a.edit(offer)
	}
	return offer
}

// fingerprintOf is the SHA-256 of a certificate as SDP writes it.
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return colons(sum[:])
}

// colons are bytes as SDP writes those of a fingerprint.
func colons(b []byte) string {
	pairs := make([]string, len(b))
	for i, v := range b {
		pairs[i] = fmt.Sprintf("%02X", v)
	}
	return strings.Join(pairs, ":")
}

// post opens the session and reads the answer. Nothing is sent to the media
// address yet.
func (a *Agent) post(endpoint string) *Agent {
	a.adopt(a.t.Open(endpoint, a.Offer))
	return a
}

// adopt takes the answer of a session that was opened with the agent's offer.
func (a *Agent) adopt(s *Session) {
	a.Session = s
	a.ice.Store(&iceSession{own: a.own(), server: credentialsOf(s.Answer)})
	a.active = sdpLine(s.Answer, "a=setup:") != "active"
	var ok bool
	if a.to, ok = firstUDP(s.Answer); !ok {
		a.t.Fatalf("expected a UDP candidate with an address in the answer, got none")
	}
	a.rebind()
}

// firstUDP is the address of the first UDP candidate of component 1.
func firstUDP(sdp string) (netip.AddrPort, bool) {
	for line := range strings.SplitSeq(sdp, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:")
		f := strings.Fields(rest)
		if !ok || len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
			continue
		}
		at, err := netip.ParseAddrPort(net.JoinHostPort(f[4], f[5]))
		if err == nil {
			return at, true
		}
	}
	return netip.AddrPort{}, false
}

// rebind goes on from another port, as after a change of network; the old
// socket stays open, and what comes to it is noted with its own address.
func (a *Agent) rebind() {
	host := &net.UDPAddr{}
	if a.to.Addr().IsLoopback() {
		host.IP = a.to.Addr().AsSlice()
	}
	sock, err := net.ListenUDP("udp", host)
	if err != nil {
		a.t.Fatalf("a socket could not be opened: %v", err)
	}
	a.sockets = append(a.sockets, sock)
	a.sock.Store(sock)
	a.running.Go(func() { a.read(sock) })
}

// addr is the local address that the agent sends from.
func (a *Agent) addr() netip.AddrPort { return localOf(a.sock.Load()) }

// host is the address by which the server's network may reach the agent.
func (a *Agent) host() netip.Addr {
	if own := a.addr().Addr().Unmap(); !own.IsUnspecified() {
		return own
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.to)) // sends nothing: it looks at the routes
	if err != nil {
		a.t.Fatalf("expected a route to %v, got none: %v", a.to, err)
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	at, _ := conn.LocalAddr().(*net.UDPAddr)
	return at.AddrPort().Addr().Unmap()
}

func localOf(sock *net.UDPConn) netip.AddrPort {
	at, _ := sock.LocalAddr().(*net.UDPAddr)
	return at.AddrPort()
}

// send writes a datagram to the server, unless the agent is muted.
func (a *Agent) send(b []byte) {
	a.sendFrom(a.sock.Load(), b, a.to)
}

func (a *Agent) sendFrom(sock *net.UDPConn, b []byte, to netip.AddrPort) {
	if a.muted.Load() {
		return
	}
	_, _ = sock.WriteToUDPAddrPort(b, to) // lost, as networks lose
}

// check describes a connectivity check. The zero value is a plain, right one.
type check struct {
	local, remote, pwd string // other than those of the session
	nominate           bool   // with USE-CANDIDATE
	controlled         bool   // with ICE-CONTROLLED in place of ICE-CONTROLLING
	bare               bool   // without PRIORITY and role, as some ffmpeg
	unprotected        bool   // neither MESSAGE-INTEGRITY nor FINGERPRINT
	badFingerprint     bool
	extra              []stun.Setter // before MESSAGE-INTEGRITY
	patience           time.Duration // for the response; 0: two seconds
}

func (a *Agent) build(c check) *stun.Message {
	or := func(s, otherwise string) string {
		if s != "" {
			return s
		}
		return otherwise
	}
	ice := a.ice.Load()
	set := []stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(or(c.local, ice.server.ufrag) + ":" + or(c.remote, ice.own.ufrag))}
	if !c.bare {
		role := stun.AttrICEControlling
		if c.controlled {
			role = stun.AttrICEControlled
		}
		set = append(set,
			stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, 1853824767)},
			stun.RawAttribute{Type: role, Value: binary.BigEndian.AppendUint64(nil, a.tie)})
	}
	if c.nominate {
		set = append(set, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	set = append(set, c.extra...)
	if !c.unprotected {
		set = append(set, stun.NewShortTermIntegrity(or(c.pwd, ice.server.pwd)), stun.Fingerprint)
	}
	m, err := stun.Build(set...)
	if err != nil {
		a.t.Fatalf("the check could not be built: %v", err)
	}
	if c.badFingerprint {
		m.Raw[len(m.Raw)-1] ^= 1
	}
	return m
}

// check sends a check, again every 250 ms as agents do, and returns the
// response, nil when none came.
func (a *Agent) check(c check) *stun.Message {
	m := a.build(c)
	if c.patience == 0 {
		c.patience = 2 * time.Second
	}
	responses := a.expect(m.TransactionID)
	defer a.forget(m.TransactionID)
	limit := time.NewTimer(c.patience)
	defer limit.Stop()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		a.send(m.Raw)
		select {
		case r := <-responses:
			return r
		case <-again.C:
		case <-limit.C:
			return nil
		case <-a.t.ctx.Done():
			return nil
		}
	}
}

// answered tells whether a plain check has a success response.
func (a *Agent) answered() bool { return successful(a.check(check{})) }

// unanswered tells whether a plain check stays without success for half a second.
func (a *Agent) unanswered() bool {
	return !successful(a.check(check{patience: 500 * time.Millisecond}))
}

func successful(m *stun.Message) bool { return m != nil && m.Type == stun.BindingSuccess }

// responseText says what a response is.
func responseText(m *stun.Message) string {
	if m == nil {
		return "no response"
	}
	var code stun.ErrorCodeAttribute
	if code.GetFrom(m) == nil {
		return fmt.Sprintf("error %d", code.Code)
	}
	return m.Type.String()
}

// keepAlive sends a check in each interval until the agent is shut.
func (a *Agent) keepAlive(every time.Duration) {
	a.again(every, func() { a.send(a.build(check{}).Raw) })
}

// again does something in each interval until the agent is shut.
func (a *Agent) again(every time.Duration, f func()) {
	a.running.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-a.stop:
				return
			}
		}
	})
}

// shut ends all that the agent runs, without a word to the server.
func (a *Agent) shut() {
	a.muted.Store(true)
	close(a.stop)
	if a.conn != nil {
		_ = a.conn.Close() // says close_notify to nobody
	}
	a.pipe.end()
	for _, sock := range a.sockets {
		_ = sock.Close()
	}
	a.running.Wait()
}
