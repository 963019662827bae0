package egress

import "time"

// clockTrust is how far the clocks of two sources may lie off the arrival of
// their packets. Within it they say better how far apart two pictures are. The
// layers of one publisher share a clock; of two publishers' only the arrival of
// packets compares: their ways are not equally long.
const clockTrust = time.Second

// clockSample is what Source.Clock said at some moment.
type clockSample struct {
	timestamp uint32
	at        time.Time
	ok        bool
}

// read asks the source for the time; the lock of no viewer may be held.
func (c *clockSample) read(src Source, now time.Time) {
	c.timestamp, c.ok = src.Clock(now)
	c.at = now
}

// times is what a source said of its time at some moment.
type times struct {
	clock, expected clockSample
	timeline        any
}

// read asks the source for its times, as clockSample.read does for one.
func (t *times) read(src Source, now time.Time) {
	t.clock.read(src, now)
	t.expected.timestamp, t.expected.ok = src.Expected(now)
	t.expected.at, t.timeline = now, src.Timeline()
}

// moment maps the timestamps that a stream sends of a binding to the gateway's
// clock, as its source did last.
type moment struct {
	times  times
	offset uint32 // outgoing minus incoming timestamp
	rate   uint32
}

// at is when the media of a timestamp was made, by one of m.times.
func (m moment) at(timestamp uint32, by clockSample) time.Time {
	ticks := int32(timestamp - m.offset - by.timestamp)
	return by.at.Add(time.Duration(ticks) * time.Second / time.Duration(max(m.rate, 1)))
}

// since is how long after the media of an earlier timestamp, sent of another
// binding, that of a timestamp was made; false: that cannot be told.
func (m moment) since(timestamp uint32, before moment, earlier uint32) (d time.Duration, ok bool) {
	by, then := m.times.clock, before.times.clock
	if m.times.timeline != before.times.timeline {
		by, then = m.times.expected, before.times.expected
	}
	return m.at(timestamp, by).Sub(before.at(earlier, then)), by.ok && then.ok
}

// moment is that of a binding that has sent nothing yet.
func (b *binding) moment() moment { return moment{b.times, 0, b.format.ClockRate} }

// openBinding decides what the first packet of a binding goes out as, and
// sends the sender report that belongs to it: a receiver that has none cannot
// place what it is sent.
func (s *Stream) openBinding(out *batch, p *Packet, now time.Time) {
	b := s.current
	b.open = true
	s.jump(p)
	ticks := uint32(0)
	if s.sent {
		gone := p.arrival(now).Sub(s.lastAt)
		if made, ok := b.moment().since(p.Timestamp, s.before, s.last); ok && (made-gone).Abs() < clockTrust {
			gone = made
		}
		ticks = s.step(gone, b.format.ClockRate)
	}
	b.offset = s.last + ticks - p.Timestamp
	b.shift = s.shown.shift(p)
	s.sendReport(out, b, b.times.clock, now)
}

// step is how far the timestamp moves from one source to the next. It never
// steps back, and what that was too far is taken off later steps: or else
// changes to and fro would let the receiver's buffer grow with each.
func (s *Stream) step(gone time.Duration, rate uint32) (ticks uint32) {
	gone = min(max(-clockTrust, gone), time.Hour) // no step of half the number space
	wanted := int64(gone.Seconds()*float64(rate)) - int64(s.ahead)
	ticks = uint32(max(1, wanted))
	s.ahead = uint32(min(int64(ticks)-wanted, int64(rate)))
	return ticks
}
