// Package whip lets publishers into rooms by WHIP (RFC 9725).
package whip

import (
	"net/http"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// Endpoint answers WHIP requests.
type Endpoint struct {
	Rooms    *sfu.Rooms
	Sessions *session.Table
}

// Post creates a publisher's session in a room; publication "" is "main".
func (e *Endpoint) Post(w http.ResponseWriter, r *http.Request, room, publication, identity string) error {
	return nil
}
