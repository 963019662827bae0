package mutant

import (
	"net/http"
	"strings"
	"time"
)

// created tells whether the response is the 201 of a publisher.
func (x *exchange) created() bool {
	return x.at(endpoint, http.MethodPost) && x.status == http.StatusCreated
}

// cannedOffer is an offer that a publisher might make.
const cannedOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:canned01\r\na=ice-pwd:cannedcannedcannedcanned\r\n" +
	"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n" +
	"a=setup:actpass\r\na=rtcp-mux\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n"

const limit = 64 << 10 // of an offer

func postFaults() map[string]behaviour {
	post := func(x *exchange) bool { return x.at(endpoint, http.MethodPost) }
	asSDP := func(x *exchange) { x.header.Set("Content-Type", typeSDP) }
	asText := func(x *exchange) { x.header.Set("Content-Type", "text/plain") }
	const lacking = "they send malformed offers, such as lack ICE or DTLS parameters"
	return map[string]behaviour{
		"created-200": {after: func(x *exchange) {
			if x.created() {
				x.status = http.StatusOK
			}
		}, also: []string{"WHIP", "WHEP"}, why: "no check takes the session for created"},
		"answer-type": {after: func(x *exchange) {
			if x.created() {
				x.reply.Set("Content-Type", "text/plain")
			}
		}},
		"answer-bom": behaviour{after: func(x *exchange) {
			if x.created() {
				x.text = append([]byte("\ufeff"), x.text...)
			}
		}}.excused("no line of SDP begins so", "WHIP-ANS-19"),
		"no-location": {after: func(x *exchange) {
			if x.created() {
				x.reply.Del("Location")
			}
		}, also: []string{"WHIP", "WHEP"}, why: "no session can be reached"},
		"any-type": {before: func(x *exchange) {
			if post(x) {
				asSDP(x)
			}
		}},
		"type-code-400": {after: func(x *exchange) {
			if post(x) && x.status == http.StatusUnsupportedMediaType {
				x.fail(http.StatusBadRequest, "media-type")
			}
		}},
		"type-case": {before: func(x *exchange) {
			if post(x) && x.mediaType() == typeSDP && !strings.HasPrefix(x.request.Header.Get("Content-Type"), typeSDP) {
				asText(x)
			}
		}},
		"type-parameter": {before: func(x *exchange) {
			if post(x) && strings.Contains(x.request.Header.Get("Content-Type"), ";") {
				asText(x)
			}
		}},
		"type-missing": {before: func(x *exchange) {
			if post(x) && x.mediaType() == "" {
				asSDP(x)
			}
		}},
		"malformed-closed": behaviour{after: func(x *exchange) {
			x.quit = post(x) && x.problemIs("sdp-malformed")
		}}.excused(lacking, "WHIP-OFFER-16", "WHIP-OFFER-18", "WHIP-CORS-04", "WHIP-PROB-02"),
		"malformed-201": behaviour{after: func(x *exchange) {
			if post(x) && x.problemIs("sdp-malformed") {
				x.again(cannedOffer)
			}
		}}.excused(lacking, "WHIP-OFFER-16", "WHIP-OFFER-18", "WHIP-CORS-04", "WHIP-PROB-02"),
		"empty-406": {after: func(x *exchange) {
			if post(x) && len(x.body) == 0 && x.status == http.StatusBadRequest {
				x.fail(http.StatusNotAcceptable, "sdp-malformed")
			}
		}},
		"oversize-404": {after: func(x *exchange) {
			if post(x) && x.status == http.StatusRequestEntityTooLarge {
				x.fail(http.StatusNotFound, "not-found")
			}
		}},
		"oversize-taken": {before: func(x *exchange) {
			if post(x) && len(x.offer()) > limit {
				x.send(cannedOffer)
			}
		}},
		"slow": behaviour{before: func(x *exchange) {
			if post(x) {
				x.quit = x.proxy.wait(2*time.Second) != nil
			}
		}}.excused("it opens a hundred sessions, which takes too long", "WHIP-ANS-20"),
	}
}
