// Package egress seals media and sends it to viewers.
//
// It knows keys, addresses and bytes: no rooms, no HTTP, no ICE. A [Plane] owns
// the sending side of the media sockets. A [Viewer] is one WHEP session as the
// plane sees it: SRTP keys, an address, one [Stream] for each media section. A
// Stream carries one outgoing SSRC for the life of the session, whatever
// incoming track feeds it, and rewrites payload type, sequence numbers,
// timestamps and header extensions so that the viewer sees one unbroken stream.
//
// # Packets
//
// A [Packet] is shared by all viewers and not copied (but for a retransmission).
// Write puts it into the stream's queue. The viewer's shard takes it from there
// when the frame is complete, or after a millisecond; audio at once and before
// all else. It goes through the viewers one by one: each packet of one viewer
// gets a header of the viewer's own and is encrypted, from where it lies, into
// the arena of a batch (batch.go). Packets of one viewer lie there side by side
// and become one message, which the kernel cuts into datagrams (UDP_SEGMENT);
// a full batch is one system call. What the kernel does not take is dropped, and
// repaired as if it had been lost on the way. More than a large frame is spread
// over some milliseconds.
//
// A stream that was given a backlog catches up first (catchup.go), at a rate
// that transport-wide feedback steers (pace.go).
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
// A plane has one for each socket: a shard (shard.go), which sends live packets,
// paces the streams that catch up, and sends the sender reports. Viewers have
// none. What a viewer asks for is answered on the caller's goroutine, in a batch
// of its own.
//
// # Locks
//
// Order: the caller's locks, shard.owner or Plane.lent, Viewer.mu, and then one of
// queue.mu, Plane.mu and shard.mu, the last of which may be taken under Plane.mu.
// Write takes the last three only, each for moments: who reads a track never
// waits for a viewer that is being sealed for. No method of a Source is called
// with any of them held but the first two, but they are called from inside Bind
// and Start: a source may hold a lock around these that its own methods do not take.
// What one viewer gets is sealed with Viewer.mu held; a shard's packets and
// those of another goroutine's batch may leave in another order than they were
// sealed in, which a receiver cannot tell from the network's doing.
package egress
