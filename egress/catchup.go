package egress

import "time"

const (
	paceTick = 5 * time.Millisecond
	// startCredit leaves at once: ten packets, what TCP would start with (RFC
	// 6928).
	startCredit = 12000
	// maxCredit bounds how much of what a late tick missed is made up for.
	maxCredit = 20 * time.Millisecond
	// Live packets wait behind the backlog; beyond these the catch-up is given
	// up. The backlog itself is bounded by who made it.
	maxWaiting      = 4096
	maxWaitingBytes = 24 << 20
	// jumpOver is how much media must be waiting before a keyframe for the
	// stream to go on with the keyframe at once.
	jumpOver = 500 * time.Millisecond
	// minSpan is the shortest stretch of media that tells its rate.
	minSpan = 500 * time.Millisecond
)

// catchup is what a stream has while it sends a backlog: the packets that have
// not been sent yet, and the rate at which they are. Guarded by Viewer.mu.
type catchup struct {
	clockRate uint32
	backlog   []*Packet // shared with all who joined since its keyframe: never written to
	queue     []*Packet // what came meanwhile, behind it
	limit     int       // packets in both
	bytes     int       // payload bytes in both

	total  int           // payload bytes that ever were in them
	span   time.Duration // of media that ever was in them
	newest uint32        // timestamp up to which span counts

	jumpTo  uint64 // sequence number to go on with without a gap, 0: none
	sentTS  uint32 // timestamp of the packet sent last
	between bool   // it was the last of its frame, or none was sent

	running bool
	pacing  bool // false: audio, which needs none
	control rateControl
	credit  float64 // bytes
	filled  time.Time
	log     *sendLog // nil without transport-wide feedback
}

func newCatchup(s *Stream, backlog []*Packet) *catchup {
	c := &catchup{
		clockRate: s.current.format.ClockRate,
		backlog:   backlog,
		limit:     len(backlog) + maxWaiting,
		newest:    backlog[0].Timestamp,
		between:   true,
		pacing:    s.kind == "video",
	}
	// Numbers are put on packets of the burst only, and only where a lost one
	// is repaired under another SSRC: an identical packet would need the same
	// number again.
	if c.pacing && s.ids[ExtensionTransportCC] != 0 && s.rtx(s.current) {
		c.log = &sendLog{}
	}
	for _, p := range backlog {
		c.count(p)
	}
	return c
}

// start begins the pacing; until then the viewer has no keys.
func (c *catchup) start(now time.Time) {
	c.running = true
	c.control = newRateControl(c.rate(), c.log == nil, now)
	c.credit, c.filled = startCredit, now
}

// rate is that of the media, in bit/s.
func (c *catchup) rate() float64 {
	return float64(c.total) * 8 / max(c.span, minSpan).Seconds()
}

// push queues a live packet; false when there are too many.
func (c *catchup) push(p *Packet) bool {
	if c.len() >= c.limit || c.bytes+len(p.Payload) > maxWaitingBytes {
		return false
	}
	if p.Key && c.ahead(p) > jumpOver {
		c.dropBefore(p)
	}
	c.queue = append(c.queue, p)
	c.count(p)
	return true
}

// count takes a packet into account that is to be sent.
func (c *catchup) count(p *Packet) {
	c.bytes += len(p.Payload)
	c.total += len(p.Payload)
	if d := int32(p.Timestamp - c.newest); d > 0 && c.clockRate > 0 {
		c.newest = p.Timestamp
		c.span += c.duration(uint32(d))
	}
}

// len is how many packets wait.
func (c *catchup) len() int { return len(c.backlog) + len(c.queue) }

// first is the packet that is sent next; there must be one.
func (c *catchup) first() *Packet {
	if len(c.backlog) > 0 {
		return c.backlog[0]
	}
	return c.queue[0]
}

// ahead is how much media waits before a packet.
func (c *catchup) ahead(p *Packet) time.Duration {
	if c.len() == 0 || c.clockRate == 0 {
		return 0
	}
	if d := int32(p.Timestamp - c.first().Timestamp); d > 0 {
		return c.duration(uint32(d))
	}
	return 0
}

func (c *catchup) duration(ticks uint32) time.Duration {
	return time.Duration(ticks) * time.Second / time.Duration(c.clockRate)
}

// dropBefore drops what waits for a keyframe, but for the rest of a frame that
// was sent in part.
func (c *catchup) dropBefore(key *Packet) {
	var kept []*Packet
	c.bytes = 0
	for _, packets := range [][]*Packet{c.backlog, c.queue} {
		for _, p := range packets {
			if !c.between && p.Timestamp == c.sentTS {
				kept = append(kept, p)
				c.bytes += len(p.Payload)
			}
		}
	}
	c.backlog, c.queue = nil, kept
	c.jumpTo = key.Seq
}

// pop takes the next packet.
func (c *catchup) pop() *Packet {
	p := c.first()
	if len(c.backlog) > 0 {
		c.backlog = c.backlog[1:]
	} else {
		c.queue[0] = nil
		c.queue = c.queue[1:]
	}
	c.bytes -= len(p.Payload)
	c.sentTS, c.between = p.Timestamp, p.Marker
	return p
}

// fill adds the credit of the time since the last call.
func (c *catchup) fill(now time.Time) {
	c.control.media = c.rate()
	c.control.tick(now)
	gone := min(now.Sub(c.filled), maxCredit)
	c.filled = now
	c.credit = min(c.credit+c.control.rate/8*gone.Seconds(),
		max(startCredit, c.control.rate/8*maxCredit.Seconds()))
}

// pace sends what the stream may send in this tick; the stream is live when
// nothing is left. On is false when it is not to be visited again.
func (s *Stream) pace(out *batch, now time.Time) (on bool) {
	v := s.viewer
	v.mu.Lock()
	defer v.mu.Unlock()
	c := s.catchup
	if c == nil || !v.live() {
		s.visited = false
		return false
	}
	c.fill(now)
	for c.len() > 0 && (c.credit > 0 || !c.pacing) {
		p := c.pop()
		if c.jumpTo != 0 && p.Seq == c.jumpTo {
			c.jumpTo = 0
			if s.current.open {
				s.skip(now)
			}
		}
		s.forward(out, p, now)
		c.credit -= float64(len(p.Payload) + rtpHeader + maxOverhead)
	}
	if c.len() > 0 {
		return true
	}
	s.catchup = nil
	s.visited = false
	return false
}
