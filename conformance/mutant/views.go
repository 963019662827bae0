package mutant

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// viewed tells whether the response is the 201 of a viewer.
func (x *exchange) viewed() bool {
	return x.views(endpoint, http.MethodPost) && x.status == http.StatusCreated
}

// showing is a fault of the answers to viewers.
func showing(f func(*description)) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.viewed() {
			x.editAnswer(f)
		}
	}}
}

// codecProblem is a fault of what is said where no codec is common.
func codecProblem(status int) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.views(endpoint, http.MethodPost) && x.problemIs("sdp-no-common-codec") {
			x.fail(status, "sdp-no-common-codec")
		}
	}}
}

func whepFaults() map[string]behaviour {
	return map[string]behaviour{
		"whep-sendonly-taken": offering("WHEP", func(d *description) bool { return d.swap("a=sendonly", "a=recvonly") },
			func(d *description) { d.swap("a=sendonly", "a=recvonly") }),
		"whep-codec-406": codecProblem(http.StatusNotAcceptable),
		"whep-codec-500": codecProblem(http.StatusInternalServerError),
		"whep-sendrecv": {after: func(x *exchange) {
			if x.viewed() && parse(string(x.body)).has("a=sendrecv") {
				x.editAnswer(func(d *description) { d.swap("a=sendonly", "a=sendrecv") })
			}
		}},
		"whep-no-msid": showing(func(d *description) {
			if last := len(d.media) - 1; last >= 0 {
				d.media[last] = slices.DeleteFunc(d.media[last], func(line string) bool {
					return strings.HasPrefix(line, "a=msid:") || strings.HasPrefix(line, "a=ssrc:") && strings.Contains(line, " msid:")
				})
			}
		}),
		"whep-two-videos": folding("WHEP", anotherVideo, asFirstVideo),
		"whep-no-cname": showing(func(d *description) {
			d.edit(func(line string) string {
				if ssrc, _, ok := strings.Cut(line, " cname:"); ok && strings.HasPrefix(line, "a=ssrc:") {
					return ssrc + " label:none"
				}
				return line
			})
		}),
		"whep-simulcast": showing(func(d *description) {
			for i, m := range d.media {
				if kindOf(m) == "video" {
					d.media[i] = append(m, "a=rid:0 send", "a=rid:1 send", "a=simulcast:send 0;1")
				}
			}
		}),
		"idle-404": {after: func(x *exchange) {
			if x.problemIs("not-live") {
				x.fail(http.StatusNotFound, "not-live")
			}
		}},
		"idle-no-retry-after": {after: func(x *exchange) {
			if x.problemIs("not-live") {
				x.reply.Del("Retry-After")
			}
		}},
		"whep-if-match-ignored": ignoring("WHEP").excused("they use a tag that is over", "WHEP-RST-02", "WHEP-RST-05"),
		"whep-delete-405": behaviour{after: func(x *exchange) {
			if x.views(resource, http.MethodDelete) {
				x.refuse("PATCH, OPTIONS")
			}
		}}.excused("they delete", "WHEP-DEL", "WHEP-EXT-02"),
		"nack-unanswered": {swallow: func(d *datagram) bool {
			// A generic NACK that leads its datagram, RFC 4585 section 6.2.1.
			return d.up && d.kind == rtcpPacket && d.of("WHEP") && d.data[1] == 205 && d.data[0]&0x1f == 1
		}},
		"late-viewer-lost": {swallow: func(d *datagram) bool {
			return d.up && d.of("WHEP") && d.session().firstCheck().Sub(d.session().began) > 15*time.Second
		}},
		"whep-former-credentials":   formerCredentials("WHEP"),
		"whep-refused-restart-ends": refusedRestartEnds("WHEP"),
		"whep-close-unheard":        {swallow: closing(true, "WHEP")},
		"whep-no-close-notify":      {swallow: closing(false, "WHEP")},
		"no-sender-reports": {swallow: func(d *datagram) bool {
			return !d.up && d.kind == rtcpPacket && d.of("WHEP") && d.data[1] == 200
		}},
	}
}

// headFaults are those of what players find out before they offer.
func headFaults() map[string]behaviour {
	isHead := func(x *exchange) bool { return x.views(endpoint, http.MethodHead) }
	return map[string]behaviour{
		"whep-get-405": {after: func(x *exchange) {
			if isHead(x) || x.views(endpoint, http.MethodGet) {
				x.refuse("POST, OPTIONS")
			}
		}},
		"whep-get-type": {after: func(x *exchange) {
			if x.views(endpoint, http.MethodGet) {
				x.reply.Del("Content-Type")
			}
		}},
		"whep-head-body": {after: func(x *exchange) {
			if isHead(x) {
				x.chatter()
			}
		}},
		"whep-head-type": behaviour{after: func(x *exchange) {
			if isHead(x) {
				x.reply.Del("Content-Type")
			}
		}}.excused("it is not like GET any more", "WHEP-HTTP-04"),
		"whep-head-live": {after: func(x *exchange) {
			if _, room, _ := strings.Cut(strings.TrimPrefix(x.url.Path, "/"), "/"); isHead(x) && !x.proxy.live(room) {
				x.fail(http.StatusNotFound, "not-live")
				x.headLength()
			}
		}},
	}
}
