package session

import (
	"errors"
	"net/http"
)

var errTODO = errors.New("session: not built yet")

// ReadOffer reads the body of a POST: media type, size and time are bounded.
// ErrMediaType, ErrTooLarge, ErrTimeout.
func ReadOffer(w http.ResponseWriter, r *http.Request) ([]byte, error) { return nil, errTODO }

// WriteCreated answers a POST with 201, Location, ETag and the SDP answer.
func (t *Table) WriteCreated(w http.ResponseWriter, s *Session) error { return errTODO }

// Patch is trickle ICE or an ICE restart (RFC 9725 section 4.3).
func (t *Table) Patch(w http.ResponseWriter, r *http.Request, id string) error { return errTODO }

// Delete ends a session (RFC 9725 section 4.2); If-Match is ignored.
func (t *Table) Delete(w http.ResponseWriter, r *http.Request, id string) error { return errTODO }
