package bench

// tallyWindow is how many numbers behind the highest a tally can still tell a
// repetition from a late arrival: two seconds of video.
const tallyWindow = 512

// tally watches numbers that should rise by one and counts what is missing.
// What comes late is not missing; what comes twice counts once.
type tally struct {
	started     bool
	first, high uint64
	got         uint64 // distinct numbers since first
	total       uint64 // the same, in all rows
	before      uint64 // missing in rows that have ended
	late, twice uint64
	seen        [tallyWindow / 64]uint64 // a bit for each number in the window
}

// add takes the next number.
func (t *tally) add(n uint64) {
	switch {
	case !t.started:
		t.started, t.first, t.high = true, n, n
		t.seen = [tallyWindow / 64]uint64{}
	case n > t.high:
		for k := t.high + 1; k < n && k <= t.high+tallyWindow; k++ {
			t.seen[k/64%uint64(len(t.seen))] &^= 1 << (k % 64)
		}
		t.high = n
	case t.high-n < tallyWindow && t.has(n):
		t.twice++
		return
	default:
		t.late++
		t.first = min(t.first, n)
	}
	t.got++
	t.total++
	t.seen[n/64%uint64(len(t.seen))] |= 1 << (n % 64)
}

func (t *tally) has(n uint64) bool {
	return n >= t.first && t.seen[n/64%uint64(len(t.seen))]&(1<<(n%64)) != 0
}

// restart begins another row: the next number may be anything.
func (t *tally) restart() {
	t.before, t.got, t.started = t.missing(), 0, false
}

// missing is how many numbers have not come, of those up to the highest.
func (t *tally) missing() uint64 {
	if !t.started {
		return t.before
	}
	return t.before + t.high - t.first + 1 - t.got
}

// sequence watches the sequence numbers of one SSRC after another.
type sequence struct {
	tally
	ssrc uint32
}

// add takes the header fields of the next packet.
func (s *sequence) add(ssrc uint32, number uint16) {
	if s.started && s.ssrc != ssrc {
		s.restart()
	}
	s.ssrc = ssrc
	if !s.started {
		s.tally.add(1<<16 | uint64(number)) // what precedes it has room below
		return
	}
	s.tally.add(s.high + uint64(int64(int16(number-uint16(s.high)))))
}
