package mutant

import (
	"net/http"
	"strings"
)

// countering is a fault of counter-offers.
func countering(f func(*exchange)) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.views(endpoint, http.MethodPost) && x.status == http.StatusNotAcceptable {
			f(x)
		}
	}}
}

// answeringPatch tells whether the request is the answer to an offer of the server's.
func (x *exchange) answeringPatch() bool {
	return x.views(resource, http.MethodPatch) && x.mediaType() == typeSDP
}

func counterFaults() map[string]behaviour {
	return map[string]behaviour{
		"counter-type": countering(func(x *exchange) { x.reply.Set("Content-Type", "text/plain") }).
			excused("the time of its validity stands there", "WHEP-CTR-04"),
		"counter-date": countering(func(x *exchange) {
			x.reply.Set("Content-Type", typeSDP+`; valid-until="tomorrow"`)
		}).excused("nobody can tell for how long it is good", "WHEP-CTR-05"),
		"counter-active": countering(func(x *exchange) {
			d := parse(string(x.text))
			d.set("a=setup:", "active")
			x.text = []byte(d.String())
		}),
		"counter-recvonly": countering(func(x *exchange) {
			d := parse(string(x.text))
			d.swap("a=sendonly", "a=recvonly")
			x.text = []byte(d.String())
		}),
		"counter-malformed-204": behaviour{after: func(x *exchange) {
			if x.answeringPatch() && x.status >= 400 && !strings.HasPrefix(string(x.body), "v=0\r\no=") {
				x.succeed(http.StatusNoContent)
			}
		}}.excused("it sends SDP that is none", "WHEP-PATCH-01"),
		"counter-forever": {after: func(x *exchange) {
			if x.answeringPatch() && x.status == http.StatusNotFound && x.session != nil {
				x.succeed(http.StatusNoContent)
			}
		}},
		"counter-answer-400": {after: func(x *exchange) {
			if x.answeringPatch() && x.status == http.StatusNoContent {
				x.fail(http.StatusBadRequest, "sdp-malformed")
			}
		}, also: []string{"WHEP-CTR"}, why: "they answer, too"},
		"unasked-answer-204": {after: func(x *exchange) {
			if x.answeringPatch() && x.status >= 400 {
				x.succeed(http.StatusNoContent)
			}
		}, also: []string{"WHEP-PATCH-01", "WHEP-CTR-05", "WHEP-CTR-09"}, why: "they send SDP that must not be taken"},
	}
}
