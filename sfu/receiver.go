package sfu

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// nacksPerPacket bounds the sequence numbers of one RTCP packet; a burst of
// losses goes out as several.
const nacksPerPacket = 64

// receiver is what a track knows of how its packets come in: losses, keyframe
// requests, counters. Packet path, feedback goroutine and viewers' requests
// meet here, so its lock is held for moments only.
type receiver struct {
	pli, fir bool // what the publisher understands; set once
	sender   uint32
	media    uint32

	mu         sync.Mutex // guards the fields below
	losses     losses
	requests   requests
	firs       uint8
	packets    uint64
	bytes      uint64
	duplicates uint64
	malformed  uint64
	meter      meter
	frames     meter // counts frames, not bytes
}

func newReceiver(feedback []webrtc.RTCPFeedback, sender, media uint32, now time.Time) *receiver {
	r := &receiver{sender: sender, media: media, meter: meter{epoch: now}, frames: meter{epoch: now}}
	for _, f := range feedback {
		switch f {
		case webrtc.RTCPFeedback{Type: "nack"}:
			r.losses.asks = true
		case webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}:
			r.pli = true
		case webrtc.RTCPFeedback{Type: "ccm", Parameter: "fir"}:
			r.fir = true
		}
	}
	return r
}

// arrived notes a packet that was not there before: key, the first of a
// keyframe; last, the last of any frame. Urgent: the feedback goroutine must
// look at its deadlines again.
func (r *receiver) arrived(seq uint64, size int, key, last bool, now time.Time) (urgent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packets++
	r.bytes += uint64(size)
	r.meter.add(size, now)
	if last {
		r.frames.add(1, now)
	}
	urgent, outage := r.losses.arrived(seq, now)
	if outage {
		urgent = r.wantLocked() || urgent
	}
	if key {
		r.requests.arrived(now)
	}
	return urgent
}

func (r *receiver) duplicate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.duplicates++
}

func (r *receiver) unreadable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.malformed++
}

func (r *receiver) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.losses.restart()
}

// want asks for a keyframe; false when the publisher understands no request.
func (r *receiver) want() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wantLocked()
}

func (r *receiver) wantLocked() bool {
	if !r.pli && !r.fir {
		return false
	}
	r.requests.want()
	return true
}

// habits tells whether the publisher obeys keyframe requests, and whether it
// was asked often enough to know.
func (r *receiver) habits() (obedient, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests.obedient(), r.requests.known() || !r.pli && !r.fir
}

// asked tells since when a keyframe request has gone without answer (zero: none
// has), and whether it is any use to send one: the last was answered, or none
// is understood.
func (r *receiver) asked() (since time.Time, obeys, understands bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests.asked, r.requests.obeys, r.pli || r.fir
}

// due returns the feedback to send now, one datagram each. Nothing goes before
// a NACK in its datagram: ffmpeg reads the first RTCP packet only. Disobeyed: a
// keyframe request was not answered in time. Next is when to look again, the
// zero time: when something happens.
func (r *receiver) due(now time.Time) (pkts []rtcp.Packet, disobeyed bool, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ask := r.losses.sweep(now); len(ask) > 0; {
		n := min(len(ask), nacksPerPacket)
		pkts = append(pkts, &rtcp.TransportLayerNack{
			SenderSSRC: r.sender, MediaSSRC: r.media, Nacks: rtcp.NackPairsFromSequenceNumbers(ask[:n]),
		})
		ask = ask[n:]
	}
	send, disobeyed := r.requests.due(now)
	if send {
		pkts = append(pkts, r.request())
	}
	next = r.losses.next()
	if t := r.requests.next(); next.IsZero() || !t.IsZero() && t.Before(next) {
		next = t
	}
	return pkts, disobeyed, next
}

func (r *receiver) request() rtcp.Packet {
	if r.pli {
		return &rtcp.PictureLossIndication{SenderSSRC: r.sender, MediaSSRC: r.media}
	}
	r.firs++
	return &rtcp.FullIntraRequest{
		SenderSSRC: r.sender, MediaSSRC: r.media,
		FIR: []rtcp.FIREntry{{SSRC: r.media, SequenceNumber: r.firs}},
	}
}

// pace is the bit rate and the frame rate of now.
func (r *receiver) pace(now time.Time) (bitrate uint64, fps float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.meter.rate(now), float64(r.frames.rate(now)) / 8
}

func (r *receiver) stats(now time.Time) TrackStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return TrackStats{
		Packets: r.packets, Bytes: r.bytes,
		Lost: r.losses.lost, Duplicates: r.duplicates, Malformed: r.malformed,
		NACKs: r.losses.asked, Recovered: r.losses.recovered,
		PLIs: r.requests.total, Bitrate: r.meter.rate(now),
	}
}

// meter measures a bit rate over the last two seconds.
type meter struct {
	epoch time.Time
	slots [9]uint64 // bytes; one is being filled
	at    int64     // number of the one being filled
}

const meterSlot = 250 * time.Millisecond

func (m *meter) add(size int, now time.Time) {
	m.advance(now)
	m.slots[m.at%int64(len(m.slots))] += uint64(size)
}

func (m *meter) advance(now time.Time) {
	at := int64(now.Sub(m.epoch) / meterSlot)
	if at-m.at > int64(len(m.slots)) {
		m.at = at - int64(len(m.slots))
	}
	for m.at < at {
		m.at++
		m.slots[m.at%int64(len(m.slots))] = 0
	}
}

// rate is in bit/s.
func (m *meter) rate(now time.Time) uint64 {
	m.advance(now)
	var sum uint64
	for i, n := range m.slots {
		if int64(i) != m.at%int64(len(m.slots)) || m.at < int64(len(m.slots)-1) {
			sum += n
		}
	}
	if m.at < int64(len(m.slots)-1) { // so young that all of its life is in the slots
		return sum * 8 * uint64(time.Second) / uint64(max(now.Sub(m.epoch), meterSlot))
	}
	return sum * 8 * uint64(time.Second) / uint64(meterSlot*time.Duration(len(m.slots)-1))
}
