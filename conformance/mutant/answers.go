package mutant

import (
	"slices"
	"strings"
)

// answering is a fault of the answers to publishers.
func answering(f func(*description)) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.created() {
			x.editAnswer(f)
		}
	}}
}

// dropping is a fault that leaves lines out of the answers to publishers.
func dropping(prefixes ...string) behaviour {
	return answering(func(d *description) { d.drop(prefixes...) })
}

// excused adds the checks that rightly fail with a fault.
func (b behaviour) excused(why string, also ...string) behaviour {
	b.also, b.why = also, why
	return b
}

// beforeCandidate puts a line before the first candidate.
func beforeCandidate(d *description, line func(first string) string) {
	for i, m := range d.media {
		if at := slices.IndexFunc(m, func(l string) bool { return strings.HasPrefix(l, "a=candidate:") }); at >= 0 {
			d.media[i] = slices.Insert(m, at, line(m[at]))
			return
		}
	}
}

// sameUfrag answers all sessions with one ufrag of the server. The relay tells
// them apart by that of the client, so that they work all the same.
func sameUfrag() behaviour {
	const shared = "sharedUfrag"
	return behaviour{
		after: func(x *exchange) {
			if !x.created() && !x.restarted() {
				return
			}
			d := parse(string(x.text))
			d.set("a=ice-ufrag:", shared)
			x.text = []byte(d.String())
			if x.session != nil {
				x.session.learn(func(f *facts) { f.shownUfrag = shared })
				x.proxy.relay.knowRemote(x.session)
			}
		},
		swallow: func(d *datagram) bool {
			server, client, _ := strings.Cut(d.username(), ":")
			if !d.up || d.kind != stunRequest || server != shared {
				return false
			}
			if s := d.leg.relay.find(client); s != nil {
				d.leg.session.Store(s)
				if f := s.know(); d.genuine(f.pwd) {
					d.rewrite(f.ufrag+":"+client, f.pwd)
				}
			}
			return true
		},
	}
}

func answerFaults() map[string]behaviour {
	return map[string]behaviour{
		"no-sections": answering(func(d *description) { d.media = nil }).
			excused("there is nothing to judge or to connect to", append(connecting(), "WHIP-ANS", "WHIP-OFFER")...),
		"mids-swapped":     answering(swapMids),
		"answer-sendrecv":  answering(func(d *description) { d.swap("a=recvonly", "a=sendrecv") }),
		"answer-unbundled": dropping("a=group:BUNDLE ").excused("it is about the same line", "WHIP-OFFER-08"),
		"bundle-first-only": answering(func(d *description) {
			if mids := d.mids(); len(mids) > 1 {
				d.set("a=group:BUNDLE ", mids[0])
			}
		}).excused("it is about the same line", "WHIP-ANS-04"),
		"section-refused": answering(func(d *description) {
			if last := len(d.media) - 1; last > 0 {
				fields := strings.Fields(d.media[last][0])
				fields[1] = "0"
				d.media[last][0] = strings.Join(fields, " ")
			}
		}).excused("what is refused is in no group", "WHIP-ANS-04", "WHIP-OFFER-08"),
		"answer-no-mux": dropping("a=rtcp-mux"),
		"no-mux-only":   dropping("a=rtcp-mux-only"),
		"answer-actpass": answering(func(d *description) { d.set("a=setup:", "actpass") }).
			excused("both sides wait for the other, or both begin", connecting()...),
		"lite-unsaid":          dropping("a=ice-lite").excused("a server that is not lite has to check, and its restarts say that it is", "WHIP-ICE-01", "WHIP-TRK-03", "WHIP-RST-06"),
		"no-candidates":        dropping("a=candidate:").excused("nobody can connect", connecting()...),
		"no-end-of-candidates": dropping("a=end-of-candidates"),
		"no-ice-options":       dropping("a=ice-options:").excused("its restarts have them", "WHIP-RST-06"),
		"tcp-first": answering(func(d *description) {
			beforeCandidate(d, func(string) string {
				return "a=candidate:9 1 tcp 1671430143 127.0.0.1 9 typ host tcptype passive"
			})
		}),
		"component-2": answering(func(d *description) {
			beforeCandidate(d, func(first string) string {
				fields := strings.Fields(first)
				fields[1] = "2"
				return strings.Join(fields, " ")
			})
		}),
		"answer-large": answering(func(d *description) {
			d.add(slices.Repeat([]string{"a=x-padding:" + strings.Repeat("x", 200)}, 45)...)
		}),
		"foreign-payload-type": answering(func(d *description) {
			for i, m := range d.media {
				d.media[i] = append(m, "a=rtpmap:77 foreign/90000")
				d.media[i][0] += " 77"
			}
		}),
		"feedback-added": answering(func(d *description) {
			for i, m := range d.media {
				if list := formats(m); len(list) > 0 {
					d.media[i] = append(m, "a=rtcp-fb:"+list[0]+" ack ccfb")
				}
			}
		}),
		"rsize-added": answering(func(d *description) {
			d.drop("a=rtcp-rsize")
			d.add("a=rtcp-rsize")
		}),
		"answer-lf": {after: func(x *exchange) {
			if x.created() {
				x.text = []byte(strings.ReplaceAll(string(x.text), "\r\n", "\n"))
			}
		}},
		"same-credentials": sameUfrag().excused("restarts have the same one, too", "WHIP-RST-03"),
	}
}

// swapMids exchanges the mids of the first two sections.
func swapMids(d *description) {
	mids := d.mids()
	if len(mids) < 2 {
		return
	}
	for i, mid := range []string{mids[1], mids[0]} {
		for j, line := range d.media[i] {
			if strings.HasPrefix(line, "a=mid:") {
				d.media[i][j] = "a=mid:" + mid
			}
		}
	}
}

// knowRemote makes a session known by the ufrag of its client.
func (r *relay) knowRemote(s *session) {
	f := s.know()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byUfrag[f.remoteUfrag] = s
}
