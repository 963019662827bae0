package egress

import "time"

const (
	// A way is poor when so much is lost that pictures freeze in spite of
	// retransmission, and well again when hardly anything is.
	poorLoss, wellLoss = 0.05, 0.02
	// lossLooks is how many looks in a row decide, so that one burst does not.
	lossLooks = 3
	// lossLookGap is how far apart they are: reports come once a second.
	lossLookGap = 900 * time.Millisecond
)

// LossMeter tells a way that loses many packets from one that lost some once.
// Its zero value is ready. One goroutine uses it at a time.
type LossMeter struct {
	looked time.Time
	looks  int8 // in a row that speak against the verdict
	poor   bool
}

// Due tells whether it is time for another look.
func (m *LossMeter) Due(now time.Time) bool { return now.Sub(m.looked) >= lossLookGap }

// Observe takes the share of packets that were lost lately, 0 to 1, and
// tells whether the way is poor. Looks too close together count as one.
func (m *LossMeter) Observe(now time.Time, share float64) (poor bool) {
	if !m.Due(now) {
		return m.poor
	}
	m.looked = now
	against := !m.poor && share >= poorLoss || m.poor && share < wellLoss
	switch {
	case !against:
		m.looks = 0
	case m.looks < lossLooks-1:
		m.looks++
	default:
		m.poor, m.looks = !m.poor, 0
	}
	return m.poor
}

// Poor is what Observe said last.
func (m *LossMeter) Poor() bool { return m.poor }
