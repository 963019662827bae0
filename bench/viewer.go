package bench

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// viewer is what a server can see of one: an offer, checks, a handshake, consent
// checks and receiver reports. It shows nothing to anybody.
type viewer struct {
	fleet   *fleet
	number  int  // says when its reports are due
	sampled bool // decrypts and reads stamps
	sock    socket
	session string // its URL
	profile srtp.ProtectionProfile
	pipe    *pipe // of the handshake

	// Of the join, written by it alone and read when it is over.
	began    time.Time
	answered time.Duration // POST to 201
	entered  time.Duration // POST to keys

	// The rest is guarded by fleet.mu.
	check     checker
	answer    *answer
	remote    netip.AddrPort
	checked   chan struct{} // capacity 1: a check was answered
	consented time.Time     // when the last check was answered
	connected bool          // keys are there
	settled   bool          // was there when what is measured began
	ended     bool          // by the server, or for want of consent
	flight    [][]byte      // our last of the handshake, if it is the last of all

	early []datagram // media that came before the keys

	in, out    *srtp.Context
	plain      []byte
	header     rtp.Header
	tracks     [2]track
	stamps     stampReader
	numbers    tally
	firstMedia time.Time
	firstKey   time.Time // sampled viewers only

	undecryptable uint64
}

// The tracks of a viewer.
const (
	audio = iota
	video
)

// track is what came of one track.
type track struct {
	sequence
	packets, bytes uint64

	// At the last report (RFC 3550 section 6.4.1).
	reportedExpected, reportedMissing uint64
}

// totals needs fleet.mu.
func (v *viewer) totals() (t totals) {
	for i := range v.tracks {
		k := &v.tracks[i]
		t.packets += k.packets
		t.bytes += k.bytes
		t.missing += k.missing()
		t.late += k.late
		t.twice += k.twice
	}
	t.stamps, t.stampsMissing, t.stampsLate = v.numbers.total, v.numbers.missing(), v.numbers.late
	t.undecryptable = v.undecryptable
	if v.sock != nil {
		t.drops = v.sock.drops()
	}
	return t
}

// take sorts a datagram (RFC 7983 section 7), of which b may be the beginning
// only. The time of arrival is in Unix nanoseconds; 0 is not known. It needs
// fleet.mu, as all of the methods below.
func (v *viewer) take(b []byte, wire int, arrival int64, now time.Time) {
	if len(b) < 2 {
		return
	}
	switch first := b[0]; {
	case first < 4:
		if wire == len(b) {
			v.takeSTUN(b, now)
		}
	case first >= 20 && first < 64:
		v.takeDTLS(b)
	case first >= 128 && first < 192:
		if b[1] < 192 || b[1] > 223 { // else RTCP (RFC 5761 section 4)
			v.takeRTP(b, wire, arrival, now)
		}
	}
}

func (v *viewer) takeSTUN(b []byte, now time.Time) {
	success, reply := v.check.take(b, v.remote)
	if success {
		v.consented = now
		select {
		case v.checked <- struct{}{}:
		default: // known already
		}
	}
	if reply != nil && v.remote.IsValid() {
		_ = v.sock.send(reply) // it will be asked for again
	}
}

// Content types of DTLS records (RFC 5246 section 6.2.1).
const (
	recordAlert     = 21
	recordHandshake = 22
)

func (v *viewer) takeDTLS(b []byte) {
	switch {
	case !v.connected:
		if v.pipe != nil { // else it came before the answer, and will come again
			v.pipe.deliver(b)
		}
	case b[0] == recordAlert:
		v.ended = true
	case b[0] == recordHandshake:
		// The server has not got the end of the handshake (RFC 6347 section 4.2.4).
		for _, datagram := range v.flight {
			_ = v.sock.send(datagram) // it will ask again
		}
	}
}

func (v *viewer) takeRTP(b []byte, wire int, arrival int64, now time.Time) {
	if len(b) < 12 || v.answer == nil {
		return
	}
	kind := audio
	if v.answer.isVideo(b[1] & 0x7f) {
		kind = video
	}
	t := &v.tracks[kind]
	t.packets++
	t.bytes += uint64(wire)
	t.add(binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]))
	if v.firstMedia.IsZero() {
		v.firstMedia = now
	}
	if kind != video || !v.sampled || wire != len(b) {
		return
	}
	if !v.connected {
		// The server has its keys a little sooner than we have ours, and what it
		// sends first is the keyframe.
		if len(v.early) < maxEarly {
			v.early = append(v.early, datagram{bytes.Clone(b), arrival, now})
		}
		return
	}
	v.open(b, arrival, now)
}

// datagram is one that waits for keys.
type datagram struct {
	b       []byte
	arrival int64
	now     time.Time
}

// maxEarly bounds how many wait: a keyframe and what follows it, at high rates.
const maxEarly = 512

// open decrypts a video packet and reads its stamps.
func (v *viewer) open(b []byte, arrival int64, now time.Time) {
	n, err := v.header.Unmarshal(b)
	if err == nil {
		v.plain, err = v.in.DecryptRTP(v.plain[:0], b, &v.header)
	}
	if err != nil || len(v.plain) < n {
		v.undecryptable++
		return
	}
	keyframe := v.stamps.read(v.plain[n:], func(s stamp) {
		v.numbers.add(s.number)
		if v.settled && arrival != 0 {
			v.fleet.latency.add(time.Duration(arrival - s.sent))
		}
	})
	if keyframe && v.firstKey.IsZero() {
		v.firstKey = now
	}
}

// report is the next receiver report, sealed; nil: nothing came yet.
func (v *viewer) report() ([]byte, error) {
	r := rtcp.ReceiverReport{SSRC: 1}
	for i := range v.tracks {
		t := &v.tracks[i]
		if !t.started {
			continue
		}
		missing := t.missing() - t.before
		expected := t.high - t.first + 1
		fraction := uint64(0)
		if expected > t.reportedExpected && missing > t.reportedMissing {
			fraction = (missing - t.reportedMissing) << 8 / (expected - t.reportedExpected)
		}
		t.reportedExpected, t.reportedMissing = expected, missing
		r.Reports = append(r.Reports, rtcp.ReceptionReport{
			SSRC:               t.ssrc,
			FractionLost:       uint8(min(fraction, 255)),
			TotalLost:          uint32(min(missing, 1<<23-1)),
			LastSequenceNumber: uint32(t.high - 1<<16), // cycles and number
		})
	}
	if len(r.Reports) == 0 {
		return nil, nil
	}
	raw, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	return v.out.EncryptRTCP(nil, raw, nil)
}
