package session

import "time"

// mux owns the media socket.
type mux struct{}

// openRoute lets checks that name ufrag, and what follows from their sender,
// pass to the publishers' side.
func (m *mux) openRoute(ufrag string) *route { return &route{} }

// route is one publisher as the mux sees it.
type route struct{}

// add adds the ufrag of an ICE restart; drop takes one away.
func (r *route) add(ufrag string)  {}
func (r *route) drop(ufrag string) {}

// close forgets the publisher, its ufrags and its addresses.
func (r *route) close() {}

// checked tells when the last check was answered with success, zero: none yet;
// heard when anything came from one of the publisher's addresses.
func (r *route) checked() time.Time { return time.Time{} }
func (r *route) heard() time.Time   { return time.Time{} }
