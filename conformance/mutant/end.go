package mutant

import (
	"net/http"
	"strings"
)

// deleting tells whether the request is a DELETE of a session or of what might
// be one, other than a viewer's.
func (x *exchange) deleting() bool {
	return x.place == resource && x.request.Method == http.MethodDelete && x.protocol != "WHEP"
}

// closing picks the close_notify of one side.
func closing(up bool, protocol string) func(*datagram) bool {
	return func(d *datagram) bool {
		return d.up == up && d.kind == dtlsRecord && d.of(protocol) && closes(d.data)
	}
}

func endFaults() map[string]behaviour {
	return map[string]behaviour{
		"delete-204": {after: func(x *exchange) {
			if x.deleting() && x.status == http.StatusOK {
				x.succeed(http.StatusNoContent)
			}
		}},
		"delete-if-match": {before: func(x *exchange) {
			match := x.request.Header.Get("If-Match")
			if x.deleting() && x.session != nil && match != "" && match != "*" && match != x.session.know().shown {
				x.method = http.MethodGet // the session stays
				x.changed = true
			}
		}, after: func(x *exchange) {
			if x.changed {
				x.fail(http.StatusPreconditionFailed, "precondition-failed")
			}
		}},
		"delete-twice-400": {before: func(x *exchange) {
			x.changed = x.deleting() && x.session != nil && x.session.know().ended
		}, after: func(x *exchange) {
			if x.changed {
				x.fail(http.StatusBadRequest, "session-not-found")
			}
		}},
		"delete-unknown-200": {after: func(x *exchange) {
			if x.deleting() && x.status == http.StatusNotFound {
				x.succeed(http.StatusOK)
			}
		}},
		"delete-malformed-400": {after: func(x *exchange) {
			if x.deleting() && x.status == http.StatusNotFound && !strings.Contains(x.url.Path, ".") {
				x.fail(http.StatusBadRequest, "session-not-found")
			}
		}},
		"delete-unlimited": {needs: NeedsRest, after: func(x *exchange) {
			if x.deleting() && x.status == http.StatusTooManyRequests {
				x.fail(http.StatusNotFound, "session-not-found")
			}
		}},
		"posts-unlimited": {needs: NeedsRest, after: func(x *exchange) {
			if x.at(endpoint, http.MethodPost) && (x.status == http.StatusTooManyRequests || x.status == http.StatusServiceUnavailable) {
				x.fail(http.StatusBadRequest, "sdp-malformed")
			}
		}},
		"lost-restart-lives": {after: func(x *exchange) {
			if x.isGet(resource) && x.session != nil && x.status == http.StatusNotFound && !x.session.know().ended {
				x.succeed(http.StatusOK)
				x.headLength()
			}
		}},
		"delete-in-vain": behaviour{before: func(x *exchange) {
			if x.deleting() && x.session != nil {
				x.method = http.MethodGet
			}
		}}.excused("the session is not over", "WHIP-DEL-03"),
		"close-unheard":   {swallow: closing(true, "WHIP")},
		"no-close-notify": {swallow: closing(false, "WHIP")},
	}
}
