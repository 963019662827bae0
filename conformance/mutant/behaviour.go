package mutant

import (
	"maps"
	"slices"
)

// behaviour is what a fault does.
type behaviour struct {
	before  func(*exchange)      // may change the request
	after   func(*exchange)      // may change the response; body and status are there, except of event streams
	swallow func(*datagram) bool // takes a datagram off its way
	// also are checks, or beginnings of ids, that rightly fail with the fault,
	// and why they do.
	also []string
	why  string
	// needs is what the backend has to be set up with, "": nothing.
	needs string
}

// What a backend may have to be set up with.
const (
	NeedsTokens = "tokens" // authentication by bearer token
	NeedsReject = "reject" // a second publisher is refused
	NeedsRest   = "rest"   // nothing else: its check exhausts what an address may do
)

// behaviours are those of all faults by name.
func behaviours() map[string]behaviour {
	all := map[string]behaviour{}
	for _, group := range []map[string]behaviour{
		methodFaults(), postFaults(), offerFaults(), answerFaults(), locationFaults(), patchFaults(), endFaults(),
		corsFaults(), linkFaults(), problemFaults(), mediaFaults(), whepFaults(), eventFaults(), layerFaults(), counterFaults(),
		stunFaults(), extensionFaults(), restartFaults(), headFaults(),
	} {
		maps.Copy(all, group)
	}
	maps.Copy(all, twinFaults(all))
	return all
}

// connecting are the checks of WHIP that begin with media that flows.
func connecting() []string {
	return []string{"WHIP-RTP", "WHIP-ICE", "WHIP-DEL-01", "WHIP-DEL-07", "WHIP-DEL-10", "WHIP-RST-08", "WHIP-RST-09", "WHIP-RST-10", "WHIP-TRK-03", "WHIP-OFFER-16", "WHIP-SIM"}
}

// Excuse is which other checks rightly fail with a fault, as ids or beginnings
// of ids, and why.
func Excuse(name string) (also []string, why string) {
	b := behaviours()[name]
	return b.also, b.why
}

// TouchesMedia tells whether a fault is one of datagrams.
func TouchesMedia(name string) bool { return behaviours()[name].swallow != nil }

// Needs is what the backend of a fault has to be set up with.
func Needs(name string) string { return behaviours()[name].needs }

// Names lists what is implemented.
func Names() []string { return slices.Sorted(maps.Keys(behaviours())) }
