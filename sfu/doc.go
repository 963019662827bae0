// Package sfu holds the rooms of this node and forwards RTP packets from
// publishers to viewers without decoding them.
//
// A room holds publications by name. A [Publication] outlives the publisher's
// session: viewers subscribe to the publication, and a publisher who comes back
// (or another who takes over) feeds the same viewers again. A [Claim] is one
// publisher's session on a publication, a [Track] one incoming RTP stream.
package sfu
