package egress

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/srtp/v3"
)

// Keys are the SRTP master keys of one viewer, from the DTLS exporter
// (RFC 5764 section 4.2). Local is what the gateway seals with.
type Keys struct {
	Profile               srtp.ProtectionProfile
	LocalKey, LocalSalt   []byte
	RemoteKey, RemoteSalt []byte
}

// StreamConfig describes one media section of a viewer.
type StreamConfig struct {
	Kind       string // "audio" or "video"
	MID        string
	SSRC       uint32
	RTXSSRC    uint32                  // 0: no retransmission stream was negotiated
	Extensions map[ExtensionKind]uint8 // negotiated ids, 1 to 14
}

// ViewerConfig describes one WHEP session.
type ViewerConfig struct {
	CNAME   string
	Streams []StreamConfig // at most one of a kind
}

// Viewer is one WHEP session as the plane sees it. Its methods may be called
// from any goroutine.
type Viewer struct {
	plane   *Plane
	shard   *shard
	cname   string
	streams []*Stream // fixed

	mu       sync.Mutex   // guards what follows and the state of the streams
	to       *endpoint    // where media goes
	seal     protector    // nil until Start, and again from Stop on
	sealRTCP rtcpCipher   // as seal
	open     incomingRTCP // as seal
	stopped  bool         // for good
	repair   repairBudget // what may be spent on retransmissions
	twcc     uint16       // next transport-wide sequence number
	stats    ViewerStats  // but for what Stats takes from the streams
	began    time.Time    // when Start was
}

// NewViewer makes a viewer that cannot send yet: Start gives it keys.
func (p *Plane) NewViewer(cfg ViewerConfig) *Viewer {
	v := &Viewer{plane: p, shard: p.place(), cname: cfg.CNAME, streams: make([]*Stream, 0, len(cfg.Streams))}
	for _, c := range cfg.Streams {
		v.streams = append(v.streams, newStream(v, c))
	}
	return v
}

// Stream returns the viewer's stream of a kind, nil if there is none.
func (v *Viewer) Stream(kind string) *Stream {
	for _, s := range v.streams {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// Start installs the keys and the viewer's address; what is bound flows now.
// It is called once; ErrClosed when the viewer was stopped meanwhile.
func (v *Viewer) Start(k Keys, addr netip.AddrPort) error {
	seal, err := newProtector(k.Profile, k.LocalKey, k.LocalSalt)
	if err != nil {
		return err
	}
	sealRTCP, err := newRTCPCipher(k.Profile, k.LocalKey, k.LocalSalt)
	if err != nil {
		return err
	}
	openRTCP, err := newRTCPCipher(k.Profile, k.RemoteKey, k.RemoteSalt)
	if err != nil {
		return err
	}

	out := v.plane.borrow(v)
	defer v.plane.giveBack(out)
	v.mu.Lock()
	for _, s := range v.streams { // what was written before there were keys is gone, but for what a backlog leads to
		s.settle(out, time.Now())
	}
	var waiting []Source
	err = func() error {
		switch {
		case v.stopped:
			return ErrClosed
		case v.seal != nil:
			return errors.New("egress: start: the viewer has keys already")
		}
		if err := v.plane.add(v); err != nil {
			return err
		}
		v.seal, v.sealRTCP, v.open.cipher = seal, sealRTCP, openRTCP
		if v.to == nil || v.to.via == nil && v.to.addr != addr {
			v.to = newEndpoint(v.shard.socket, addr)
		}
		v.began = time.Now()
		v.repair.start(v.began)
		for _, s := range v.streams {
			switch {
			case s.catchup != nil:
				s.catchup.start(v.began)
				s.paced()
			case s.current != nil && s.waitKey:
				waiting = append(waiting, s.current.source)
			}
		}
		return nil
	}()
	v.mu.Unlock()
	for _, src := range waiting { // what the publisher sent since Bind is gone
		src.RequestKeyframe()
	}
	return err
}

// Move changes the address that media is sent to.
func (v *Viewer) Move(addr netip.AddrPort) {
	to := newEndpoint(v.shard.socket, addr)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.to = to
}

// MoveTo sends media by w from now on, with the same keys and numbers.
func (v *Viewer) MoveTo(w DatagramWriter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.to = &endpoint{via: w}
}

// RequestKeyframe asks for a keyframe of the video that is bound: the viewer
// has changed networks, and what was on its way is lost.
func (v *Viewer) RequestKeyframe() {
	var ask []Source
	v.mu.Lock()
	for _, s := range v.streams {
		if s.kind == "video" && s.current != nil && v.live() {
			ask = append(ask, s.current.source)
		}
	}
	v.mu.Unlock()
	for _, src := range ask {
		src.RequestKeyframe()
	}
}

// Stop ends sending for good: RTCP BYE, streams unbound, keys dropped.
func (v *Viewer) Stop() {
	out := v.plane.borrow(v)
	defer v.plane.giveBack(out)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped {
		return
	}
	v.stopped = true
	if v.seal != nil {
		for _, s := range v.streams {
			s.settle(out, time.Now())
		}
		v.bye(out)
	}
	for _, s := range v.streams {
		s.release()
	}
	v.seal, v.sealRTCP, v.open = nil, nil, incomingRTCP{}
	v.plane.remove(v)
	v.shard.viewers.Add(-1)
}

// Stats returns a copy of the viewer's counters.
func (v *Viewer) Stats() ViewerStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	st := v.stats
	for _, s := range v.streams {
		st.Lost += uint64(s.lost)
	}
	return st
}

// ViewerStats counts what one viewer was sent and what it said of it.
type ViewerStats struct {
	Packets, Bytes   uint64 // first transmissions of RTP, payload bytes
	Retransmitted    uint64 // packets sent again
	NACKs            uint64 // sequence numbers asked for
	KeyframeRequests uint64
	Refused          uint64        // RTCP datagrams that could not be opened or parsed
	LossFraction     float64       // video, of the last receiver report, 0 to 1
	Lost             uint64        // cumulative over the streams, from receiver reports
	Jitter           time.Duration // of the last video receiver report
	RTT              time.Duration // 0: not known yet
	FirstVideo       time.Time     // when the first video packet was sent; zero: none yet
}

// live tells whether the viewer may send. Called with v.mu held.
func (v *Viewer) live() bool { return v.seal != nil }

// streamOf returns the stream of an outgoing media SSRC, nil if there is none.
func (v *Viewer) streamOf(ssrc uint32) *Stream {
	for _, s := range v.streams {
		if s.ssrc == ssrc {
			return s
		}
	}
	return nil
}
