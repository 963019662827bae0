// Package mutant is a faulty WHIP and WHEP server: a proxy before a right one
// that breaks one rule at a time. It is what the checks of package conformance
// are tried on: each of the [Faults] names the check that has to find it.
//
// A [Proxy] stands between the suite and a server that knows nothing of it, so
// that the product needs no hooks for tests. Both halves of a session pass
// through it: HTTP through exchange.go, where a fault may change the request,
// answer by itself or change the response; media through a UDP relay
// (relay.go), whose address stands in the candidates of every answer, and where
// a fault may drop or forge datagrams. It cannot look into SRTP and DTLS, and
// does not have to: what matters is told by their clear headers.
//
// What a fault does is in the table of its group (methods.go, post.go, ...).
//
// A Proxy runs one goroutine for its HTTP server, one for the relay and one for
// each address that media comes from; Close ends them and waits. The mutex of
// Proxy guards the tables of sessions, that of a session what is known of it;
// neither is held during I/O, and no second one is taken with one held.
package mutant
