// Package session keeps what WHIP (RFC 9725) and WHEP share: one media socket,
// sessions, their session URLs, offers and answers.
//
// A session has one of two transports. A publisher's is a webrtc.PeerConnection
// (publisher.go); a viewer's is our own: ICE-lite responder, DTLS for the
// handshake only, SRTP keys handed to package egress (viewer.go). Both sit
// behind one UDP socket (mux.go).
//
// A Table runs two goroutines, the read loop of the socket and a sweeper that
// looks at the clock for all sessions (wheel.go: at some of them every 20 ms, at
// each once a second), and one for each handshake under way, late DTLS alert and
// session that ends. Viewers that are connected have none.
// Table.Close waits for all of them.
//
// Locks are taken in this order: patching.mu, Session.restarts, Session.calls
// (held while a callback runs), a slot of Table.revivals, viewer.reviving, proposal.mu, viewer.mu or route.mu, then
// those of the mux, of the lobby and of package egress; Table.mu and Session.mu come last and
// are held for a few lines only. Session.end takes no lock that a callback
// could hold, so a callback may close any session, its own, too.
package session
