// Package session keeps what WHIP (RFC 9725) and WHEP share: one media socket,
// sessions, their session URLs, offers and answers.
//
// A session has one of two transports. A publisher's is a webrtc.PeerConnection
// (publisher.go); a viewer's is our own: ICE-lite responder, DTLS for the
// handshake only, SRTP keys handed to package egress (viewer.go). Both sit
// behind one UDP socket (mux.go).
package session
