package egress

import (
	"time"

	"github.com/pion/rtcp"
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

// report sends the sender reports of the viewer's streams; on is false when
// the viewer has stopped.
func (v *Viewer) report(out *batch, now time.Time) (on bool) {
	for _, s := range v.streams {
		v.mu.Lock()
		s.past.forget(func(b *binding) bool {
			return !b.ended.IsZero() && now.Sub(b.ended) > keepPast
		})
		if s.answers != nil && now.Sub(v.began)-s.answers.last > keepAnswers {
			s.answers = nil
		}
		b := s.current
		open := b != nil && b.open
		v.mu.Unlock()
		if !open {
			continue
		}
		var c clockSample
		c.read(b.source, now)
		v.mu.Lock()
		if s.current == b && v.live() {
			s.sendReport(out, b, c, now)
		}
		v.mu.Unlock()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.stopped
}

// sendReport sends a sender report with the source description (RFC 3550
// section 6.4.1), if the source knows the time. Called with Viewer.mu held and
// keys set, when the timestamp offset of the binding is set.
func (s *Stream) sendReport(out *batch, b *binding, c clockSample, now time.Time) {
	if !c.ok {
		return
	}
	elapsed := now.Sub(c.at).Seconds() * float64(b.format.ClockRate)
	s.sendRTCP(out,
		&rtcp.SenderReport{
			SSRC:        s.ssrc,
			NTPTime:     ntpTime(now),
			RTPTime:     c.timestamp + uint32(int64(elapsed)) + b.offset,
			PacketCount: s.packets,
			OctetCount:  s.octets,
		},
		s.description(),
	)
}

// description is the SDES packet of the stream (RFC 3550 section 6.5).
func (s *Stream) description() *rtcp.SourceDescription {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: s.ssrc,
		Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.viewer.cname}},
	}}}
}

// sendRTCP seals and sends a compound packet whose sender is the stream. Called
// with Viewer.mu held and keys set.
func (s *Stream) sendRTCP(out *batch, packets ...rtcp.Packet) {
	v := s.viewer
	plain, err := rtcp.Marshal(packets)
	if err != nil || len(plain) > bufferSize-rtcpOverhead { // a CNAME of over 255 bytes
		v.plane.count.failed.Add(1)
		return
	}
	// 31 bits (RFC 3711 section 3.4), at one report a second: 68 years.
	s.rtcpIndex++
	out.add(v.to, len(v.sealRTCP.sealRTCP(out.room()[:0], plain, s.rtcpIndex)))
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
