package mutant

import (
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

// check tells whether the datagram is a check that comes to a session of WHIP.
func (d *datagram) check() bool { return d.up && d.kind == stunRequest && d.of("WHIP") }

func mediaFaults() map[string]behaviour {
	return map[string]behaviour{
		// As DTLS client the server sees in the ServerHello what the client has.
		"cm-refused": {swallow: func(d *datagram) bool {
			return d.up && d.kind == dtlsRecord && d.of("WHIP") && slices.Equal(srtpProfiles(d.data), []uint16{profileCM80})
		}},
		"checks-unanswered": behaviour{swallow: func(d *datagram) bool {
			return d.check() && !slices.Contains(d.session().know().addresses, d.leg.client)
		}}.excused("their clients name no candidate", connecting()...),
		"consent-unanswered": {swallow: func(d *datagram) bool {
			return d.check() && time.Since(d.session().firstCheck()) > 5*time.Second
		}},
		"dtls10-answered": {swallow: func(d *datagram) bool {
			old := d.up && d.kind == dtlsRecord && oldHello(d.data)
			if old {
				d.leg.toClient(oldAnswer)
			}
			return old
		}},
		"early-hello-lost": behaviour{swallow: func(d *datagram) bool {
			if d.up && d.kind == dtlsRecord && d.session() == nil {
				d.leg.doomed.Store(true)
			}
			return d.kind == dtlsRecord && d.leg.doomed.Load()
		}}.excused("it sends what looks like DTLS before", "WHIP-ICE-06"),
		"junk-ends": {swallow: func(d *datagram) bool {
			if d.up && d.kind == other && len(d.data) > 0 && d.data[0] >= 64 && d.data[0] < 80 { // RFC 7983 section 7
				d.leg.doomed.Store(true)
			}
			return d.leg.doomed.Load()
		}},
		"media-needs-reports": {swallow: func(d *datagram) bool {
			if d.up && d.kind == rtcpPacket && d.data[1] == 200 {
				d.leg.reported.Store(true)
			}
			return d.up && d.kind == rtpPacket && d.of("WHIP") && !d.leg.reported.Load()
		}},
		"no-keepalive": {swallow: func(d *datagram) bool {
			return !d.up && d.kind != dtlsRecord && d.kind != stunResponse && d.of("WHIP")
		}},
	}
}

// stunFaults are those of what a server says to checks, and of checks of its own.
func stunFaults() map[string]behaviour {
	return map[string]behaviour{
		"lite-checks": behaviour{swallow: func(d *datagram) bool {
			if d.check() {
				d.leg.check(d.session().know(), stun.AttrICEControlled)
			}
			return false
		}}.excused("it says that it is lite", "WHIP-ANS-08"),
		"controlling-checks": behaviour{swallow: func(d *datagram) bool {
			if d.check() {
				d.leg.check(d.session().know(), stun.AttrICEControlling)
			}
			return false
		}}.excused("it says that it is lite", "WHIP-ANS-08", "WHIP-ICE-03"),
		"integrity-ignored": {swallow: func(d *datagram) bool {
			if !d.check() || !d.has(stun.AttrMessageIntegrity) {
				return false
			}
			f := d.session().know()
			wrong := d.ufrag() == f.ufrag && !d.genuine(f.pwd)
			if wrong {
				d.forge(f.pwd)
			}
			return wrong
		}},
		"nomination-ignored": behaviour{swallow: func(d *datagram) bool {
			if !d.check() || !d.has(stun.AttrUseCandidate) {
				d.leg.plain.Store(d.leg.plain.Load() || d.check())
				return false
			}
			return !d.leg.plain.Load()
		}}.excused("their clients nominate at once", connecting()...),
		"answers-after-delete": behaviour{swallow: func(d *datagram) bool {
			ended := d.check() && d.session().know().ended
			if ended {
				d.forge(d.session().know().pwd)
			}
			return ended
		}}.excused("it is about the same checks", "WHIP-DEL-01"),
		"role-conflict-unseen": {swallow: func(d *datagram) bool {
			conflict := d.check() && d.has(stun.AttrICEControlled)
			if conflict {
				d.forge(d.session().know().pwd)
			}
			return conflict
		}},
		"foreign-ufrag": {swallow: func(d *datagram) bool {
			foreign := d.up && d.kind == stunRequest && d.leg.relay.find(d.ufrag()) == nil
			if foreign {
				d.forge("")
			}
			return foreign
		}},
		"unknown-attribute": {swallow: func(d *datagram) bool {
			unknown := d.check() && d.has(stun.AttrType(0x7fff))
			if unknown {
				d.forge(d.session().know().pwd)
			}
			return unknown
		}},
	}
}
