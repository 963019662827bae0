package session

import (
	"maps"
	"sync/atomic"

	"github.com/sluicemedia/sluice/egress"
)

// handshakeCounters count viewers' DTLS handshakes.
type handshakeCounters struct{ started, done, failed atomic.Uint64 }

// Stats are the counters of a Table since it was made, and its gauges.
type Stats struct {
	Sessions   map[Role]map[string]int   // living, by state
	Troubled   map[Role]map[Cause]int    // living, by what is wrong with them
	Ended      map[Role]map[Cause]uint64 // by cause
	Handshakes HandshakeStats
	Checks     map[string]uint64 // viewers' connectivity checks, by verdict
	Drops      map[string]uint64 // datagrams thrown away, by reason
	Egress     egress.PlaneStats // what viewers were sent
}

// HandshakeStats count viewers' DTLS handshakes.
type HandshakeStats struct {
	Started, Done, Failed uint64
	UnderWay, Waiting     int // now
}

// Stats returns a copy of the counters.
func (t *Table) Stats() Stats {
	st := Stats{
		Egress:   t.plane.Stats(),
		Sessions: map[Role]map[string]int{RolePublisher: {}, RoleViewer: {}},
		Troubled: map[Role]map[Cause]int{RolePublisher: {}, RoleViewer: {}},
		Ended:    map[Role]map[Cause]uint64{RolePublisher: {}, RoleViewer: {}},
		Handshakes: HandshakeStats{
			Started: t.handshakes.started.Load(), Done: t.handshakes.done.Load(),
			Failed: t.handshakes.failed.Load(),
		},
		Checks: make(map[string]uint64, verdicts),
		Drops:  make(map[string]uint64, drops),
	}
	st.Handshakes.UnderWay, st.Handshakes.Waiting = t.lobby.counts()
	for v, name := range [verdicts]string{
		checkAccepted: "accepted", checkNominated: "nominated", checkIntegrity: "integrity",
		checkMalformed: "malformed", checkRoleConflict: "role_conflict", checkUnknown: "unknown_attribute",
	} {
		st.Checks[name] = t.mux.count.checks[v].Load()
	}
	for d, name := range [drops]string{
		dropUnknownUfrag: "unknown_ufrag", dropUnknownAddress: "unknown_address", dropMalformed: "malformed_stun",
		dropKind: "unknown_protocol", dropQueue: "queue_full", dropMedia: "media_from_viewer",
		dropRTCP: "rtcp_refused", dropDTLS: "dtls_refused", dropJoins: "too_many_handshakes",
	} {
		st.Drops[name] = t.mux.count.drops[d].Load()
	}
	for _, s := range t.List() {
		state, cause := s.shown()
		st.Sessions[s.role][state]++
		if cause != "" && state != stateEnded.String() {
			st.Troubled[s.role][cause]++
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for role, causes := range t.causes {
		maps.Copy(st.Ended[role], causes)
	}
	return st
}
