// Package webhook tells other programs what happens in rooms: every event is
// posted to every endpoint that the operator named, signed by the scheme of
// Standard Webhooks (https://www.standardwebhooks.com).
//
// An [Outbox] owns a file in which each event waits, once for each endpoint,
// until that endpoint took it. Nothing is sent that is not on disk, so a crash
// loses what came in the last moment before it and nothing else; what was sent
// in that moment is sent again, under the same id.
//
// Events of one room reach an endpoint in order, one at a time; rooms do not
// wait for each other. An event that an endpoint keeps refusing, or that grew
// too old, becomes a dead letter: it is kept for the operator, and its room
// goes on without it.
//
// Goroutines: one writer that alone changes the file (beside Replay), and for
// each endpoint one that hands out work and a fixed number that do it. Locks,
// in this order: store.writing, endpoint.mu, store.mu; Outbox.mu is held with
// no other. None is held over network or disk, but writing, which is there for
// that.
package webhook
