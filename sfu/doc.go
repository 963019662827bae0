// Package sfu holds the rooms of this node and forwards RTP packets from
// publishers to viewers without decoding them.
//
// A room holds publications by name. A publication outlives the publisher's
// session: viewers subscribe to its name, and a publisher who comes back (or
// another who takes over) feeds the same viewers again. A [Claim] is one
// publisher's session on a publication, a [Track] one incoming RTP stream, a
// [Subscription] one viewer's session.
//
// # Goroutines
//
// Each Track has one, which reads its [Source] and writes every packet to the
// viewers; it ends when the Source does. Each Claim with tracks has one that
// sends feedback (NACK, keyframe requests) to the publisher, so that neither a
// viewer's request nor the packet path ever waits for the publisher's socket;
// it also watches the layers of a simulcast.
// Callbacks ([ClaimConfig], [SubscriptionConfig]) run on goroutines of their
// own, but for [Config].OnEvent, and OnAir and LayersChanged of a subscription,
// which whoever changed a room calls once its lock is released, unless that is
// one of the two goroutines above: then another does. [Rooms.Close] waits for all
// of them.
//
// # Many viewers
//
// A packet costs one call for each viewer and nothing else that grows with
// them; memory is taken for many packets at a time (slab.go). To join and to
// leave cost the same however many there are. room.refresh looks at all viewers
// of a room, when its publications change; those who wait for a layer of
// simulcast, or to be cut to another program (cut.go), are looked at by
// themselves (room.refreshSome), so that neither one viewer's selection nor a
// keyframe is work for all.
//
// # Locks
//
// In this order, never backwards:
//
//	room.mu   who is in the room, what is bound to what
//	Track.mu  the packet path: list of viewers, keyframe cache; held over a fan-out
//	egress    the viewer's own locks, inside Stream.Write, Bind and Unbind
//
// Rooms.mu (which rooms exist), Track.recv.mu (loss, keyframe requests,
// counters), timing.mu (clocks) and eventQueue.mu are leaves: nothing is locked
// under them. Retransmissions are looked up without any lock.
package sfu
