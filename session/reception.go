package session

import (
	"math"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// reception keeps the receiver statistics of one RTP stream (RFC 3550 section
// 6.4.1 and appendix A) for receiver reports. Retransmissions in a stream of
// their own (RFC 4588) do not count.
type reception struct {
	ssrc      uint32
	clockRate float64

	mu            sync.Mutex // guards what follows
	started       bool
	base, highest uint32 // extended sequence numbers
	received      uint32
	priorExpected uint32
	priorReceived uint32
	transit       float64 // of the last packet, in units of the clock rate
	jitter        float64
	reportNTP     uint32    // middle 32 bits of the last sender report's NTP time
	reportAt      time.Time // when that report came
}

// maxDropout is the jump in sequence numbers that is taken for a new beginning
// instead of loss (RFC 3550 appendix A.1).
const maxDropout = 3000

// packet counts a packet that came at the moment now.
func (r *reception) packet(seq uint16, timestamp uint32, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := int32(int16(seq - uint16(r.highest)))
	switch {
	case !r.started, step > maxDropout, step < -maxDropout:
		r.started = true
		r.base = uint32(seq)
		r.highest = r.base
		r.received, r.priorExpected, r.priorReceived = 0, 0, 0
		r.transit, r.jitter = r.arrival(now)-float64(timestamp), 0
	case step > 0:
		r.highest += uint32(step)
	}
	r.received++
	transit := r.arrival(now) - float64(timestamp)
	d := math.Abs(transit - r.transit)
	r.transit = transit
	if d < r.clockRate*10 { // else the timestamps wrapped or began anew
		r.jitter += (d - r.jitter) / 16
	}
}

func (r *reception) arrival(now time.Time) float64 {
	return float64(now.UnixMicro()) / 1e6 * r.clockRate
}

// senderReport takes note of a sender report that came at the moment now.
func (r *reception) senderReport(ntp uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reportNTP = uint32(ntp >> 16)
	r.reportAt = now
}

// report returns the block of the next receiver report; false: nothing came yet.
func (r *reception) report(now time.Time) (rtcp.ReceptionReport, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return rtcp.ReceptionReport{}, false
	}
	expected := r.highest - r.base + 1
	lost := int64(expected) - int64(r.received)
	gone := int64(expected-r.priorExpected) - int64(r.received-r.priorReceived)
	var fraction uint8
	if interval := int64(expected - r.priorExpected); interval > 0 && gone > 0 {
		fraction = uint8(min(gone*256/interval, 255))
	}
	r.priorExpected, r.priorReceived = expected, r.received
	block := rtcp.ReceptionReport{
		SSRC:               r.ssrc,
		FractionLost:       fraction,
		TotalLost:          uint32(min(max(lost, 0), 1<<23-1)),
		LastSequenceNumber: r.highest,
		Jitter:             uint32(r.jitter),
		LastSenderReport:   r.reportNTP,
	}
	if !r.reportAt.IsZero() {
		block.Delay = uint32(now.Sub(r.reportAt).Seconds() * 65536)
	}
	return block, true
}
