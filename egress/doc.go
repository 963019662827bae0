// Package egress seals media and sends it to viewers.
//
// It knows keys, addresses and bytes: no rooms, no HTTP, no ICE. A [Plane] owns
// the sending side of the media socket. A [Viewer] is one WHEP session as the
// plane sees it: SRTP keys, an address, one [Stream] for each media section. A
// Stream carries one outgoing SSRC for the life of the session, whatever
// incoming track feeds it, and rewrites payload type, sequence numbers,
// timestamps and header extensions so that the viewer sees one unbroken stream.
package egress
