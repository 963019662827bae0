// Package whep lets viewers play rooms by WHEP (draft-ietf-wish-whep).
package whep

import (
	"net/http"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// Endpoint answers WHEP requests.
type Endpoint struct {
	Rooms    *sfu.Rooms
	Sessions *session.Table
}

// Post creates a viewer's session; publication "" is the room's program.
func (e *Endpoint) Post(w http.ResponseWriter, r *http.Request, room, publication, identity string) error {
	return nil
}
