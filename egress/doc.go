// Package egress seals media and sends it to viewers.
//
// It knows keys, addresses and bytes: no rooms, no HTTP, no ICE. A [Plane] owns
// the sending side of the media socket. A [Viewer] is one WHEP session as the
// plane sees it: SRTP keys, an address, one [Stream] for each media section. A
// Stream carries one outgoing SSRC for the life of the session, whatever
// incoming track feeds it, and rewrites payload type, sequence numbers,
// timestamps and header extensions so that the viewer sees one unbroken stream.
//
// # Packets
//
// A [Packet] is shared by all viewers and not copied (but for a retransmission):
// its payload is encrypted from where it lies into a pooled buffer, behind a
// header of the viewer's own. Stream.transmit and Stream.retransmit are the only
// places that seal and then write; a plane that batches datagrams replaces their
// second half. Live packets are sent within Write. A stream that was given a
// backlog catches up first (catchup.go), at a rate that transport-wide feedback
// steers (pace.go).
//
// Outgoing numbers are packet indexes, 64 bits with the rollover counter of RFC
// 3711 in them, and so are never ambiguous. A history maps them to the packets
// of the sources they came from; what is lost is fetched from the [Source] and
// sent again as RTX (RFC 4588), or where that was not negotiated as the
// identical packet. A window of the indexes that were sealed makes sure that
// none is used for two contents, which under GCM would give the authentication
// key away.
//
// # Goroutines
//
// A plane has two: one sends the sender reports, one paces the streams that
// catch up. Viewers have none. Everything else happens on the caller's.
//
// # Locks
//
// Viewer.mu guards a viewer and its streams, Plane.mu the plane's sets. Order:
// the caller's locks, then Viewer.mu, then Plane.mu. No method of a Source is
// called with either held, but they are called from inside Bind, Write and
// Start: a source may hold a lock around these that its own methods do not take.
// The socket is written with Viewer.mu held, so that what one viewer gets leaves
// in the order of sealing.
package egress
