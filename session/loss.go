package session

import (
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// lossWatch watches how much of what is sent to a viewer is lost on the way. Its
// reports alone do not tell: browsers leave out of them what came in a second try,
// but each such packet had to be asked for.
type lossWatch struct {
	meter          egress.LossMeter
	packets, asked uint64 // at the last look
}

// poor is called by the sweeper alone.
func (w *lossWatch) poor(now time.Time, s egress.ViewerStats) bool {
	if !w.meter.Due(now) {
		return w.meter.Poor()
	}
	share := s.LossFraction
	if sent := s.Packets - w.packets; sent > 0 {
		share = max(share, float64(s.NACKs-w.asked)/float64(sent))
	}
	w.packets, w.asked = s.Packets, s.NACKs
	return w.meter.Observe(now, share)
}
