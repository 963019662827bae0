package gateway

import (
	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
)

// watchToken tells those who listen to a room when their token is over. Over is
// closed then; done is to be called when they have left.
func (g *Gateway) watchToken(grants auth.Grants, room string) (over <-chan struct{}, done func()) {
	ended := make(chan struct{})
	x := g.leases.open("", room, heldBy(grants), func(session.Cause) { close(ended) })
	return ended, func() { g.leases.close(x) }
}
