package sfu

// maxDropout is the largest step forward in sequence numbers that is believed
// at once (RFC 3550 appendix A.1).
const maxDropout = 3000

// unwrapped says what to make of a sequence number.
type unwrapped int

const (
	accepted  unwrapped = iota
	suspended           // a big jump: to be believed when the next packet follows it
	restarted           // the next packet did follow: the suspended one begins a new numbering; unwrap again
)

// sequence extends 16-bit sequence numbers to 64 bits, as RFC 3550 appendix
// A.1, with more patience for late packets, because retransmissions are late.
type sequence struct {
	reach   uint16 // how far back a late packet may lie
	started bool
	highest uint64
	waiting bool   // a jump was seen
	next    uint16 // the number that would confirm it
}

// unwrap extends n. The first number gets a value that leaves room below it,
// so that no result is below 1<<16 as long as reach is less than that.
func (s *sequence) unwrap(n uint16) (uint64, unwrapped) {
	if !s.started {
		s.started = true
		s.highest = 2<<16 | uint64(n)
		return s.highest, accepted
	}
	ahead := n - uint16(s.highest)
	behind := -ahead
	switch {
	case ahead < maxDropout:
		s.waiting = false
		s.highest += uint64(ahead)
		return s.highest, accepted
	case behind < s.reach:
		return s.highest - uint64(behind), accepted
	case s.waiting && n == s.next:
		s.waiting = false
		// Far enough ahead that nothing of the old numbering is taken for new.
		s.highest = (s.highest>>16+2)<<16 | uint64(n-1)
		return s.highest, restarted
	default:
		s.waiting, s.next = true, n+1
		return 0, suspended
	}
}
