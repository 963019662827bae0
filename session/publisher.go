package session

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

const (
	reportInterval = time.Second            // receiver reports
	twccInterval   = 100 * time.Millisecond // transport-wide feedback
	// partingWait bounds how long close waits for an ICE restart under way: until
	// a pair is nominated pion cannot send, not even a close_notify.
	partingWait = 400 * time.Millisecond
)

// ingestConfig is what the Table gives to its publishers' side.
type ingestConfig struct {
	// side is the publishers' part of the media socket, made for
	// ice.NewUDPMuxDefault. Only datagrams of ufrags registered with mux, and of
	// addresses that the ice package has answered with success, arrive there.
	side        sideConn
	mux         *mux             // routes register their ufrags
	certificate tls.Certificate  // shared with viewers
	fingerprint string           // of certificate, sha-256, colon form
	candidates  []netip.AddrPort // for AnswerConfig
	log         *slog.Logger
	// Times; zero means the default. See Config.
	connectTimeout, consentTimeout time.Duration
}

// ingest makes the transports of publishers.
type ingest struct {
	ingestConfig
	logs     pionLogs
	udp      *peerMux
	peerCert webrtc.Certificate
}

// newIngest prepares what all publishers share: the ice package's UDP mux and
// the certificate.
func newIngest(cfg ingestConfig) (*ingest, error) {
	if cfg.connectTimeout == 0 {
		cfg.connectTimeout = 40 * time.Second
	}
	if cfg.consentTimeout == 0 {
		cfg.consentTimeout = 30 * time.Second
	}
	i := &ingest{ingestConfig: cfg, logs: pionLogs{cfg.log}}
	var err error
	if i.peerCert, err = peerCertificate(cfg.certificate); err != nil {
		return nil, err
	}
	i.udp, err = newPeerMux(cfg.side, i.logs)
	return i, err
}

// open answers a publisher's offer. The transport calls s.notify around each
// function of setup but Closed, s.live once DTLS is up, and s.end when it is
// over by itself. Errors are *OfferError or internal ones.
func (i *ingest) open(s *Session, o *Offer, setup PublisherSetup) (tr transport, answer []byte, err error) {
	plan, err := o.PlanIngest()
	if err != nil {
		return nil, nil, err
	}
	p := &publisher{
		ingest: i, s: s, setup: setup,
		fingerprints: o.Fingerprints,
		remote:       credentials{o.UFrag, o.Pwd},
		ssrc:         randomSSRC(),
		route:        i.mux.newRoute(), // pion may tell of states before there is an answer
		done:         make(chan struct{}),
		nominated:    make(chan struct{}, 1),
	}
	if err := p.offer.UnmarshalString(plan.Offer); err != nil {
		return nil, nil, fmt.Errorf("session: read own offer: %w", err)
	}
	forPion(&p.offer)
	p.in = newInbound(p, sectionsOf(o, plan))
	if p.pc, err = i.newPeer(plan, p.in); err != nil {
		return nil, nil, err
	}
	p.pc.OnConnectionStateChange(p.state)
	p.pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) {
		select {
		case p.nominated <- struct{}{}:
		default:
		}
	})
	answer, err = p.begin(o, plan)
	if err != nil {
		// There is nobody yet to be told of the end.
		p.pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) {})
		_ = p.pc.GracefulClose() // nothing was sent yet
		return nil, nil, err
	}
	p.wg.Go(p.run)
	return p, answer, nil
}

// close ends what newIngest started; all transports were closed before.
func (i *ingest) close() error {
	if err := i.udp.Close(); err != nil {
		return fmt.Errorf("session: close the publishers' mux: %w", err)
	}
	return nil
}

// sectionsOf are the sections of an offer as inbound needs them.
func sectionsOf(o *Offer, plan *IngestPlan) []*inboundSection {
	sections := make([]*inboundSection, len(plan.Codecs))
	for i, c := range plan.Codecs {
		src := o.Sections[i].source
		sections[i] = &inboundSection{
			kind:       mediaKind(c.RTPCodecCapability),
			codec:      c,
			extensions: make(map[uint8]egress.ExtensionKind),
			layers:     []*inboundLayer{{ssrc: parseSSRC(src.ssrc), rtxSSRC: parseSSRC(src.rtx)}},
		}
		if offered := o.Sections[i].layers; len(offered) > 0 {
			// Where SSRCs are announced along with rids they mean nothing (RFC
			// 8853 section 5.5): the rid counts.
			sections[i].layers = nil
			for _, l := range offered {
				sections[i].layers = append(sections[i].layers, &inboundLayer{rid: strings.Clone(l.rid)})
			}
		}
	}
	return sections
}

// parseSSRC is 0 for what is not an SSRC.
func parseSSRC(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func randomSSRC() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:]) | 1
}

// publisher is the transport of one publisher: a PeerConnection that is used
// for ICE, DTLS and SRTP, with inbound in the place of its tracks. One
// goroutine of ours (run) sends feedback.
type publisher struct {
	*ingest
	s            *Session
	setup        PublisherSetup
	pc           *webrtc.PeerConnection
	in           *inbound
	route        *route
	fingerprints []Fingerprint
	ssrc         uint32 // of our RTCP
	connected    sync.Once
	done         chan struct{} // closed by close
	nominated    chan struct{} // capacity 1; full: close will look at the state anyway
	wg           sync.WaitGroup

	mu        sync.Mutex // guards what follows; held over a whole restart
	offer     sdp.SessionDescription
	remote    credentials
	own       credentials
	up        bool
	restarted time.Time // the last ICE restart; zero: none
}

// begin negotiates and writes the answer.
func (p *publisher) begin(o *Offer, plan *IngestPlan) ([]byte, error) {
	text, err := p.offer.Marshal()
	if err != nil {
		return nil, fmt.Errorf("session: write own offer: %w", err)
	}
	pionAnswer, err := negotiate(p.pc, string(text))
	if err != nil {
		return nil, err
	}
	own, extensions, err := agreed(pionAnswer)
	if err != nil {
		return nil, err
	}
	p.in.agree(extensions, plan.TWCC)
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	answer, err := o.FinishIngest(pionAnswer, AnswerConfig{
		SessionID:   binary.BigEndian.Uint64(id[:]) >> 1, // RFC 3264: fits a signed number
		UFrag:       own.ufrag,
		Pwd:         own.pwd,
		Fingerprint: p.fingerprint,
		Candidates:  p.candidates,
	})
	if err != nil {
		return nil, err
	}
	p.own = own
	p.route.add(newGeneration(own, p.remote))
	return answer, nil
}

// state takes the states of the PeerConnection, each on a goroutine of pion's.
func (p *publisher) state(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		p.ready()
	case webrtc.PeerConnectionStateFailed:
		// ICE has no time limits that could fail, so it was DTLS.
		p.s.end(p.unless(p.route.evidence.failure()))
	case webrtc.PeerConnectionStateClosed:
		// Of no effect when it was us. Pion may leave out the failure before.
		p.s.end(p.unless(p.farewell()))
	default:
	}
}

// farewell is why a connection was closed: before it was up only a failure does that.
func (p *publisher) farewell() Cause {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	if e := &p.route.evidence; !up && (e.alertIn.Load() != 0 || e.alertOut.Load() != 0) {
		return e.failure()
	}
	return CausePeerClosed
}

// unless is the cause given, unless the certificate was not that of the offer.
func (p *publisher) unless(c Cause) Cause {
	cert := p.pc.SCTP().Transport().GetRemoteCertificate()
	if len(cert) > 0 && !matches(p.fingerprints, cert) {
		return CauseFingerprint
	}
	return c
}

// ready tells once that DTLS is up. It is called by whatever shows it first:
// pion's state or the first packet, which must find the publisher connected.
func (p *publisher) ready() {
	p.connected.Do(func() {
		p.mu.Lock()
		p.up = true
		p.mu.Unlock()
		p.s.live("") // pion keeps the profile to itself
		var err error
		if p.s.notify(func() { err = p.setup.Connected() }) && err != nil {
			p.log.Info("publisher refused after connecting", "err", err)
			p.s.end(CauseReplaced)
		}
	})
}

// track announces a stream; false: the session is over.
func (p *publisher) track(t *IncomingTrack) bool {
	p.ready()
	return p.s.notify(func() { p.setup.Track(t) })
}

// flood ends a session that names more SSRCs than pion should keep. It is called
// again for each more, so it writes no line of its own.
func (p *publisher) flood() { p.s.end(CauseTooMany) }

// run sends feedback until close.
func (p *publisher) run() {
	tick := time.NewTicker(twccInterval)
	defer tick.Stop()
	reported := time.Now()
	for {
		select {
		case <-p.done:
			return
		case now := <-tick.C:
			if packets := p.in.arrivals(); len(packets) > 0 {
				_ = p.feedback(packets) // fails before DTLS and in an ICE restart only
			}
			if now.Sub(reported) < reportInterval {
				continue
			}
			reported = now
			if packets := p.in.report(p.ssrc, now); packets != nil {
				_ = p.feedback(packets) // as above
			}
		}
	}
}

// feedback sends packets in one datagram.
func (p *publisher) feedback(packets []rtcp.Packet) error {
	if err := p.pc.WriteRTCP(packets); err != nil {
		return fmt.Errorf("session: send feedback: %w", err)
	}
	return nil
}

// restart implements transport. Pion begins a new ICE session with new
// credentials and forgets the old one's addresses; DTLS and SRTP go on.
func (p *publisher) restart(f *Fragment) (credentials, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := credentials{f.UFrag, f.Pwd}
	withCredentials(&p.offer, next)
	text, err := p.offer.Marshal()
	if err != nil {
		return credentials{}, fmt.Errorf("session: write own offer: %w", err)
	}
	answer, err := negotiate(p.pc, string(text))
	if err != nil {
		return credentials{}, err
	}
	own, _, err := agreed(answer)
	if err != nil {
		return credentials{}, err
	}
	p.route.add(newGeneration(own, next))
	p.route.drop(p.own.ufrag)
	p.remote, p.own, p.restarted = next, own, time.Now()
	return own, nil
}

// trickle implements transport: a lite agent has no use for candidates, it
// learns the addresses from the checks that come.
func (p *publisher) trickle(*Fragment) {}

// sweep implements transport.
func (p *publisher) sweep(now time.Time) {
	p.mu.Lock()
	up, restarted := p.up, p.restarted
	p.mu.Unlock()
	checked := p.route.checked()
	switch {
	case !up && now.Sub(p.s.created()) > p.connectTimeout:
		if checked.IsZero() {
			p.s.end(p.route.evidence.unreached())
		} else {
			p.s.end(CauseDTLSTimeout)
		}
	case !up:
	case now.Sub(p.route.heard()) > p.consentTimeout,
		// Nobody came to the new ICE session; what still comes to the old one's
		// address is of no use.
		restarted.After(checked) && now.Sub(restarted) > p.consentTimeout:
		p.s.end(CauseConsentLost)
	default:
		p.route.keepAlive(now)
	}
}

// diagnose implements transport.
func (p *publisher) diagnose(now time.Time) Cause {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	if up {
		return ""
	}
	return p.route.evidence.waiting(now, p.s.created(), instant(p.route.reached.Load()))
}

// refine implements transport: media may be missing because what comes is of
// no track.
func (p *publisher) refine(c Cause, now time.Time) Cause {
	if (c == CauseNoRTP || c == CauseNoVideo || c == CauseSilent) && now.Sub(p.in.astray()) < strayTime {
		return CauseUnknownPackets
	}
	return c
}

// close implements transport.
func (p *publisher) close() {
	close(p.done)
	p.wg.Wait()
	p.awaitRestart()
	if err := p.pc.GracefulClose(); err != nil { // says close_notify
		p.log.Debug("peer connection closed badly", "err", err)
	}
	p.in.close()
	p.route.close()
}

// awaitRestart waits a moment for the end of an ICE restart.
func (p *publisher) awaitRestart() {
	p.mu.Lock()
	restarted := !p.restarted.IsZero()
	p.mu.Unlock()
	limit := time.NewTimer(partingWait)
	defer limit.Stop()
	for restarted && p.pc.ICEConnectionState() == webrtc.ICEConnectionStateChecking {
		select {
		case <-p.nominated:
		case <-limit.C:
			return
		}
	}
}

// fill implements transport.
func (p *publisher) fill(*Info) {}
