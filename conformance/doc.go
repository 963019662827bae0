// Package conformance judges any WHIP (RFC 9725) and WHEP
// (draft-ietf-wish-whep) server by what it does on the wire.
//
// A [Check] is one numbered requirement: its clause, its level, and a function
// that tries it on a [Target] through a [T]. [Run] runs all that apply and
// returns a [Report]. The package knows servers by URL only: what it sends is
// HTTP of its own, and media by pion or by a hand-made agent (agent.go) where
// pion would be too polite.
//
// A check runs on a goroutine of its own, which Run waits for; what a check
// opened is closed by its clean-ups before the next one of the same room
// begins. Nothing is shared between checks but the Target and, for those that
// need somebody on air, one publisher (live.go).
package conformance
