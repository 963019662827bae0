package egress

import (
	"slices"
	"time"
)

const (
	// keepPast is how long packets of a source that is no longer bound can be
	// asked for.
	keepPast = 3 * time.Second
	// maxRTT is the longest round trip that is believed.
	maxRTT = 10 * time.Second
	// ntpEpoch is 1970 in seconds of the NTP era (RFC 5905 section 6).
	ntpEpoch = 2208988800
)

// report sends the sender reports of the viewer's streams, together in one
// datagram; on is false when the viewer has stopped.
func (v *Viewer) report(out *batch, now time.Time) (on bool) {
	type report struct {
		s     *Stream
		of    *binding
		clock clockSample
	}
	var all [maxStreams]report
	due := all[:0]
	v.mu.Lock()
	for _, s := range v.streams {
		s.tidy(now)
		if b := s.current; b != nil && b.open && len(due) < maxStreams {
			due = append(due, report{s: s, of: b})
		}
	}
	on = !v.stopped
	v.mu.Unlock()
	for i := range due {
		due[i].clock.read(due[i].of.source, now)
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	due = slices.DeleteFunc(due, func(r report) bool { return r.of != r.s.current || !r.clock.ok })
	if len(due) == 0 || !v.live() {
		return on
	}
	var names [maxStreams]uint32
	ssrcs := names[:0]
	for _, r := range due {
		ssrcs = append(ssrcs, r.s.ssrc)
	}
	// One report comes before the names and others after them (RFC 3550 section
	// 6.1, RFC 8108 section 5.3.1): some check that nothing but receiver reports
	// stands between the first packet and the CNAME.
	first := due[0]
	b := appendSenderReport(out.room()[:0], first.s.senderReport(first.of, first.clock, now))
	b = appendDescription(b, v.cname, ssrcs)
	for _, r := range due[1:] {
		b = appendSenderReport(b, r.s.senderReport(r.of, r.clock, now))
	}
	first.s.sendRTCP(out, b)
	return on
}

// tidy forgets what is no longer asked for. Called with Viewer.mu held.
func (s *Stream) tidy(now time.Time) {
	s.past.forget(func(b *binding) bool {
		return !b.ended.IsZero() && now.Sub(b.ended) > keepPast
	})
	if s.answers != nil && now.Sub(s.viewer.began)-s.answers.last > keepAnswers {
		s.answers = nil
	}
}

// sendReport sends the sender report of the stream alone, if the source knows
// the time. Called with Viewer.mu held and keys set, when the timestamp offset
// of the binding is set.
func (s *Stream) sendReport(out *batch, b *binding, c clockSample, now time.Time) {
	if !c.ok {
		return
	}
	plain := appendSenderReport(out.room()[:0], s.senderReport(b, c, now))
	s.sendRTCP(out, appendDescription(plain, s.viewer.cname, []uint32{s.ssrc}))
}

// senderReport is what the stream says of itself and of its clock. Called with
// Viewer.mu held.
func (s *Stream) senderReport(b *binding, c clockSample, now time.Time) senderReport {
	elapsed := now.Sub(c.at).Seconds() * float64(b.format.ClockRate)
	return senderReport{
		ssrc:      s.ssrc,
		ntp:       ntpTime(now),
		timestamp: c.timestamp + uint32(int64(elapsed)) + b.offset,
		packets:   s.packets,
		octets:    s.octets,
	}
}

// bye tells the viewer that the started streams have ended (RFC 3550 section
// 6.6). Called with Viewer.mu held and keys set.
func (v *Viewer) bye(out *batch) {
	var (
		first *Stream
		ended [maxStreams]uint32
		n     int
	)
	for _, s := range v.streams {
		if s.sent && n < maxStreams {
			ended[n], first = s.ssrc, s
			n++
		}
	}
	if first == nil {
		return
	}
	b := appendEmptyReport(out.room()[:0], first.ssrc) // a compound packet begins with a report
	b = appendDescription(b, v.cname, []uint32{first.ssrc})
	first.sendRTCP(out, appendGoodbye(b, ended[:n]))
}

// sendRTCP seals and sends a compound packet whose sender is the stream, and
// that lies in the room of the batch. Called with Viewer.mu held and keys set.
func (s *Stream) sendRTCP(out *batch, plain []byte) {
	// 31 bits (RFC 3711 section 3.4), at one report a second: 68 years.
	s.rtcpIndex++
	v := s.viewer
	out.add(v.to, len(v.sealRTCP.sealRTCP(plain, s.rtcpIndex)))
}

// reported takes a reception report of the viewer into the statistics. Called
// with Viewer.mu held.
func (v *Viewer) reported(r receptionReport, now time.Time) {
	s := v.streamOf(r.ssrc)
	if s == nil {
		return
	}
	if r.lost < 1<<23 { // 24 bits, signed: duplicates can make it negative
		s.lost = r.lost
	}
	if rtt, ok := roundTrip(r, now); ok {
		v.stats.RTT = rtt
	}
	if s.kind != "video" {
		return
	}
	v.stats.LossFraction = float64(r.fractionLost) / 256
	if s.current != nil && s.current.format.ClockRate > 0 {
		v.stats.Jitter = time.Duration(r.jitter) * time.Second / time.Duration(s.current.format.ClockRate)
	}
}

// roundTrip is computed from the time since our report and how much of it the
// viewer kept it (RFC 3550 section 6.4.1, figure 2).
func roundTrip(r receptionReport, now time.Time) (time.Duration, bool) {
	if r.lastReport == 0 {
		return 0, false
	}
	units := uint32(ntpTime(now)>>16) - r.lastReport - r.delay
	rtt := time.Duration(units) * time.Second >> 16
	if rtt <= 0 || rtt > maxRTT { // below zero it wraps to hours
		return 0, false
	}
	return rtt, true
}

// ntpTime is a 64-bit NTP timestamp, in seconds and 2^-32 of a second.
func ntpTime(t time.Time) uint64 {
	ns := t.UnixNano()
	return uint64(ns/1e9+ntpEpoch)<<32 | uint64(ns%1e9)<<32/1e9
}
