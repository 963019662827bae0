package sfu

import "time"

const (
	requestSpacing = 500 * time.Millisecond // between keyframe requests
	requestRetry   = time.Second
	requestTries   = 10
	// answerTime is how soon a keyframe must follow a request to count as its
	// answer, and answersNeeded how many in a row make a publisher obedient:
	// one may be chance.
	answerTime    = 500 * time.Millisecond
	answersNeeded = 2
	// slowAnswer is how long a publisher that obeys at all may take.
	slowAnswer = 3 * time.Second
)

// requests merges and throttles keyframe requests to a publisher, and learns
// whether it obeys them. It has no clock of its own.
type requests struct {
	wanted  bool // a viewer waits
	tries   int  // for what is wanted now
	last    time.Time
	open    bool // last was not answered yet
	total   uint64
	answers int       // in a row
	asked   time.Time // the first request since the last keyframe; zero: none
	obeys   bool      // the last series of requests was answered soon
}

// want notes that a viewer needs a keyframe.
func (r *requests) want() {
	if !r.wanted {
		r.wanted, r.tries = true, 0
	}
}

// arrived notes a keyframe.
func (r *requests) arrived(now time.Time) {
	r.wanted = false
	if r.open && now.Sub(r.last) < answerTime {
		r.answers++
	}
	r.open = false
	if !r.asked.IsZero() {
		r.obeys, r.asked = now.Sub(r.asked) < slowAnswer, time.Time{}
	}
}

// due tells whether to send a request now, which it takes for sent, and whether
// the last one has just turned out not to be answered.
func (r *requests) due(now time.Time) (send, disobeyed bool) {
	if r.open && now.Sub(r.last) >= answerTime {
		r.open, r.answers = false, 0
		disobeyed = true
	}
	if at, ok := r.sending(); !ok || at.After(now) {
		return false, disobeyed
	}
	if r.tries >= requestTries {
		r.wanted = false // nobody answers; the next viewer who joins asks again
		return false, disobeyed
	}
	r.last, r.open = now, true
	if r.asked.IsZero() {
		r.asked = now
	}
	r.tries++
	r.total++
	return true, disobeyed
}

// sending is when the next request may go out; not ok: none is wanted.
func (r *requests) sending() (at time.Time, ok bool) {
	switch {
	case !r.wanted:
		return at, false
	case r.total == 0:
		return at, true
	case r.tries == 0:
		return r.last.Add(requestSpacing), true
	default:
		return r.last.Add(requestRetry), true
	}
}

// next is when to call due again; the zero time: not before something happens.
// It is asked right after due.
func (r *requests) next() time.Time {
	if r.open {
		return r.last.Add(answerTime)
	}
	at, _ := r.sending()
	return at
}

// obedient tells whether a request is quicker than waiting for the publisher's
// own next keyframe; known is whether that was tried often enough.
func (r *requests) obedient() bool { return r.answers >= answersNeeded }

func (r *requests) known() bool { return r.total >= answersNeeded }
