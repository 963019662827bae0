package mutant

import (
	"net/http"
	"slices"
	"strings"
)

// patching tells whether the request is the PATCH of a publisher's session.
func (x *exchange) patching() bool { return x.at(resource, http.MethodPatch) }

// satisfy makes the request's If-Match the right one.
func (x *exchange) satisfy() {
	if x.session != nil {
		x.header.Set("If-Match", x.session.know().etag)
	}
}

// ignoring is a fault that takes any If-Match in a protocol.
func ignoring(protocol string) behaviour {
	return behaviour{before: func(x *exchange) {
		if match := x.request.Header.Get("If-Match"); x.place == resource && x.protocol == protocol && match != "" && match != "*" {
			x.satisfy()
		}
	}}
}

// mismatching is a fault that refuses an If-Match that is right.
func mismatching(wrongly func(match string) bool) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.patching() && x.status < 300 && wrongly(x.request.Header.Get("If-Match")) {
			x.fail(http.StatusPreconditionFailed, "precondition-failed")
		}
	}}
}

// restarting is a fault of the response to an ICE restart of a publisher.
func restarting(f func(*exchange)) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.protocol == "WHIP" && x.restarted() {
			f(x)
		}
	}}
}

func patchFaults() map[string]behaviour {
	return map[string]behaviour{
		"patch-any-type": {before: func(x *exchange) {
			if x.patching() {
				x.header.Set("Content-Type", typeFragment)
			}
		}},
		"patch-malformed-204": {after: func(x *exchange) {
			if x.patching() && x.status == http.StatusBadRequest {
				x.succeed(http.StatusNoContent)
			}
		}},
		"if-match-unasked": {before: func(x *exchange) {
			if x.patching() && x.request.Header.Get("If-Match") == "" {
				x.satisfy()
			}
		}},
		"if-match-ignored": ignoring("WHIP").excused("it sends tags that do not match", "WHIP-PATCH-09"),
		"star-refused":     mismatching(func(match string) bool { return match == "*" }).excused("they restart with it", "WHIP-PATCH-04", "WHIP-RST"),
		"list-refused":     mismatching(func(match string) bool { return strings.Contains(match, ",") }),
		"patch-ended-204": behaviour{after: func(x *exchange) {
			if x.patching() && x.status == http.StatusNotFound && x.session != nil {
				x.succeed(http.StatusNoContent)
			}
		}}.excused("it patches a session that is over", "WHIP-DEL-03"),
		"patch-unlimited": {after: func(x *exchange) {
			if x.patching() && x.status == http.StatusTooManyRequests {
				x.reply.Del("Retry-After")
				x.succeed(http.StatusNoContent)
			}
		}},
		"trickle-400": behaviour{after: func(x *exchange) {
			if x.patching() && x.trickled() {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}}.excused("they trickle to see whether a session is intact", "WHIP-CORS-08", "WHIP-ETAG-03", "WHIP-EXT-02", "WHIP-HTTP-02", "WHIP-PATCH", "WHIP-TRK"),
		"etag-on-204": {after: func(x *exchange) {
			if x.patching() && x.trickled() && x.session != nil {
				x.reply.Set("ETag", x.session.know().shown)
			}
		}},
		"session-level-refused": behaviour{after: func(x *exchange) {
			if x.patching() && x.trickled() && valueOf(parse(string(x.body)).session, "a=ice-ufrag:") != "" {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}}.excused("their fragments have the credentials there", "WHIP-CORS-08", "WHIP-ETAG-03", "WHIP-EXT-02", "WHIP-HTTP-02", "WHIP-PATCH", "WHIP-TRK"),
		"duplicate-candidate-400": duplicates().excused("they send one fragment twice", "WHIP-ETAG-03", "WHIP-PATCH-07", "WHIP-PATCH-09", "WHIP-TRK", "WHIP-CORS-08"),
		"bad-candidate-400": {after: func(x *exchange) {
			if x.patching() && x.trickled() && useless(string(x.body)) {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}},
		"end-of-candidates-400": {after: func(x *exchange) {
			if x.patching() && x.trickled() && parse(string(x.body)).has("a=end-of-candidates") {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}},
	}
}

// duplicates is the fault that takes a candidate for an error that it knows.
func duplicates() behaviour {
	return behaviour{before: func(x *exchange) {
		if !x.patching() || x.session == nil {
			return
		}
		known := x.session.know().candidates
		for line := range strings.Lines(x.offer()) {
			v, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:")
			if ok && slices.Contains(known, v) {
				x.changed = true
			}
		}
	}, after: func(x *exchange) {
		if x.changed && x.trickled() {
			x.fail(http.StatusBadRequest, "fragment-malformed")
		}
	}}
}

// formerCredentials answers checks of the generation before a restart.
func formerCredentials(protocol string) behaviour {
	return behaviour{swallow: func(d *datagram) bool {
		if !d.up || d.kind != stunRequest || !d.of(protocol) {
			return false
		}
		f := d.session().know()
		former := f.formerUfrag != "" && d.ufrag() == f.formerUfrag
		if former {
			d.forge(f.formerPwd)
		}
		return former
	}}
}

// restartStopsMedia loses what a publisher sends after a restart.
func restartStopsMedia() behaviour {
	return behaviour{swallow: func(d *datagram) bool {
		return d.up && d.kind == rtpPacket && d.of("WHIP") && d.session().know().formerUfrag != ""
	}}
}

// refusedRestartEnds hears nothing from a publisher any more whose PATCH was refused.
func refusedRestartEnds(protocol string) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.place == resource && x.request.Method == http.MethodPatch && x.session != nil && x.status >= 400 {
			x.session.learn(func(f *facts) { f.cut = true })
		}
	}, swallow: func(d *datagram) bool { return d.up && d.of(protocol) && d.session().know().cut }}
}

// restartFaults are those of ICE restarts.
func restartFaults() map[string]behaviour {
	return map[string]behaviour{
		"restart-204":  restarting(func(x *exchange) { x.succeed(http.StatusNoContent) }).excused("there is no restart", "WHIP-RST", "WHIP-ETAG-03"),
		"restart-type": restarting(func(x *exchange) { x.reply.Set("Content-Type", typeSDP) }),
		"restart-same-ufrag": restarting(func(x *exchange) {
			if x.session != nil {
				f := x.session.know()
				x.editRestart(func(d *description) {
					d.set("a=ice-ufrag:", f.formerUfrag)
					d.set("a=ice-pwd:", f.formerPwd)
				})
			}
		}),
		"restart-no-etag": restarting(func(x *exchange) { x.reply.Del("ETag") }).excused("it is about the same header", "WHIP-ETAG-03"),
		"restart-no-candidates": restarting(func(x *exchange) {
			x.editRestart(func(d *description) { d.drop("a=candidate:") })
		}),
		"restart-ice-options": restarting(func(x *exchange) {
			x.editRestart(func(d *description) { d.set("a=ice-options:", "trickle") })
		}),
		"restart-lf": restarting(func(x *exchange) {
			x.text = []byte(strings.ReplaceAll(string(x.text), "\r\n", "\n"))
		}),
		"former-credentials":   formerCredentials("WHIP"),
		"restart-stops-media":  restartStopsMedia(),
		"refused-restart-ends": refusedRestartEnds("WHIP"),
	}
}
