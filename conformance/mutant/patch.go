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
		"if-match-ignored": ignoring("WHIP"),
		"star-refused":     mismatching(func(match string) bool { return match == "*" }),
		"list-refused":     mismatching(func(match string) bool { return strings.Contains(match, ",") }),
		"patch-ended-204": {after: func(x *exchange) {
			if x.patching() && x.status == http.StatusNotFound && x.session != nil {
				x.succeed(http.StatusNoContent)
			}
		}},
		"patch-unlimited": {after: func(x *exchange) {
			if x.patching() && x.status == http.StatusTooManyRequests {
				x.reply.Del("Retry-After")
				x.succeed(http.StatusNoContent)
			}
		}},
		"trickle-400": {after: func(x *exchange) {
			if x.patching() && x.trickled() {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}},
		"etag-on-204": {after: func(x *exchange) {
			if x.patching() && x.trickled() && x.session != nil {
				x.reply.Set("ETag", x.session.know().shown)
			}
		}},
		"session-level-refused": {after: func(x *exchange) {
			if x.patching() && x.trickled() && valueOf(parse(string(x.body)).session, "a=ice-ufrag:") != "" {
				x.fail(http.StatusBadRequest, "fragment-malformed")
			}
		}},
		"duplicate-candidate-400": duplicates(),
		"restart-204":             restarting(func(x *exchange) { x.succeed(http.StatusNoContent) }),
		"restart-type":            restarting(func(x *exchange) { x.reply.Set("Content-Type", typeSDP) }),
		"restart-same-ufrag": restarting(func(x *exchange) {
			if x.session != nil {
				f := x.session.know()
				x.editRestart(func(d *description) {
					d.set("a=ice-ufrag:", f.formerUfrag)
					d.set("a=ice-pwd:", f.formerPwd)
				})
			}
		}),
		"restart-no-etag": restarting(func(x *exchange) { x.reply.Del("ETag") }),
		"restart-no-candidates": restarting(func(x *exchange) {
			x.editRestart(func(d *description) { d.drop("a=candidate:") })
		}),
		"restart-ice-options": restarting(func(x *exchange) {
			x.editRestart(func(d *description) { d.set("a=ice-options:", "trickle") })
		}),
		"restart-lf": restarting(func(x *exchange) {
			x.text = []byte(strings.ReplaceAll(string(x.text), "\r\n", "\n"))
		}),
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
