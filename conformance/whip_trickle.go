package conformance

import (
	"fmt"
	"net/http"
	"strings"
)

// whipTrickleChecks judge trickle ICE as far as HTTP shows it.
func whipTrickleChecks() []Check {
	row := rows("WHIP-TRK")
	return []Check{
		row(1, "RFC 9725 4.3.2", Must, "new candidates are answered with 204 and no content", func(t *T) {
			s := t.takesTrickle()
			r := t.wantTrickled(s, "new candidates", TrickleOf(s.Offer))
			if r.Body != "" {
				t.Errorf("expected no content, got %d bytes", len(r.Body))
			}
		}),
		row(2, "RFC 9725 4.3.2", MustNot, "the 204 to a trickle has no ETag", func(t *T) {
			s := t.takesTrickle()
			if got := t.wantTrickled(s, "new candidates", TrickleOf(s.Offer)).Header.Get("ETag"); got != "" {
				t.Errorf("expected no ETag, got %s", got)
			}
		}),
		row(4, "RFC 8840 4.4", Must, "credentials stand at session level or in the section", func(t *T) {
			s := t.takesTrickle()
			ufrag, pwd := sdpLine(s.Offer, "a=ice-ufrag:"), sdpLine(s.Offer, "a=ice-pwd:")
			t.wantTrickled(s, "credentials at session level", Fragment(ufrag, pwd, "0", hostCandidate))
			t.wantTrickled(s, "credentials in the section",
				"m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=ice-ufrag:"+ufrag+"\r\na=ice-pwd:"+pwd+"\r\n"+hostCandidate)
		}),
		row(5, "RFC 8840", Choice, "a pseudo media line goes by its mid, whatever else it says", func(t *T) {
			s := t.takesTrickle()
			for _, line := range []string{"m=audio 9 RTP/AVP 0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "m=audio 9 UDP/TLS/RTP/SAVPF 0"} {
				for _, mid := range []string{"0", "1"} {
					t.wantTrickled(s, line+" with mid "+mid,
						Edit(t.fragmentOf(s, mid, hostCandidate), "m=audio 9 UDP/TLS/RTP/SAVPF 0", line))
				}
			}
		}),
		row(6, "RFC 9725 4.3.2", Client, "a fragment may name sections beside the first", func(t *T) {
			s := t.takesTrickle()
			t.wantTrickled(s, "both sections", t.fragmentOf(s, "0", hostCandidate)+"m=video 9 RTP/AVP 0\r\na=mid:1\r\n"+hostCandidate)
			t.wantTrickled(s, "the first section", t.fragmentOf(s, "0", hostCandidate))
		}),
		row(7, "RFC 8840", Choice, "an unknown mid is 400, a missing one that of the only section", func(t *T) {
			s := t.takesTrickle()
			r := t.Patch(s, t.fragmentOf(s, "nobody", hostCandidate), or(s.ETag, "*"))
			t.WantChoice(r, http.StatusBadRequest, "400 or 422 to an unknown mid", unprocessable)
			one := t.Open(t.Room.WHIP, Offer(opusSection("sendonly")))
			t.wantTrickled(one, "no mid with one section", DropLines(t.fragmentOf(one, "0", hostCandidate), "a=mid:"))
		}),
		row(8, "RFC 8838", Must, "the end of candidates is taken at session and section level, more than once", func(t *T) {
			s := t.takesTrickle()
			atSession := strings.Replace(t.fragmentOf(s, "0", ""), "m=", "a=end-of-candidates\r\nm=", 1)
			inSection := t.fragmentOf(s, "0", "a=end-of-candidates\r\n") // after the first, candidates would be a fault of ours
			for _, body := range []string{atSession, inSection, atSession, inSection} {
				t.wantTrickled(s, "end-of-candidates", body)
			}
		}),
		row(9, "RFC 8838 14", Must, "candidates that are known already do no harm", func(t *T) {
			s := t.takesTrickle()
			for range 2 {
				t.wantTrickled(s, "a candidate that is known", t.fragmentOf(s, "0", hostCandidate))
			}
			t.wantTrickled(s, "a candidate twice", t.fragmentOf(s, "0", hostCandidate+hostCandidate))
		}),
		row(10, "Sluice", Choice, "a candidate of another generation is dropped", func(t *T) {
			s := t.takesTrickle()
			t.wantTrickled(s, "a candidate with another ufrag",
				t.fragmentOf(s, "0", strings.TrimSuffix(hostCandidate, "\r\n")+" ufrag XXXX\r\n"))
		}),
		row(11, "Sluice", Choice, "candidates of other components are ignored", func(t *T) {
			s := t.takesTrickle()
			for _, component := range []string{"0", "2"} {
				t.wantTrickled(s, "a candidate of component "+component,
					t.fragmentOf(s, "0", strings.Replace(hostCandidate, ":1 1 ", ":1 "+component+" ", 1)))
			}
		}),
		row(12, "Sluice", Choice, "a great many candidates are taken, as far as they are wanted", checkManyCandidates),
	}
}

const hostCandidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host\r\n"

// takesTrickle opens a session with a server that takes trickled candidates.
func (t *T) takesTrickle() *Session {
	s := t.Open(t.Room.WHIP, PublishOffer())
	r := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))
	if unknownKind(r.Status) {
		t.Skipf("the server takes no trickle: %v", r)
	}
	return s
}

// fragmentOf is a fragment with a session's credentials.
func (t *T) fragmentOf(s *Session, mid, candidates string) string {
	return Fragment(sdpLine(s.Offer, "a=ice-ufrag:"), sdpLine(s.Offer, "a=ice-pwd:"), mid, candidates)
}

// wantTrickled wants 204.
func (t *T) wantTrickled(s *Session, name, body string) *Response {
	r := t.Patch(s, body, or(s.ETag, "*"))
	t.Want(r, "204 to "+name, Is(http.StatusNoContent))
	return r
}

// checkManyCandidates: names among them are of a domain that cannot be.
func checkManyCandidates(t *T) {
	s := t.takesTrickle()
	var b strings.Builder
	for n := range 500 {
		address := fmt.Sprintf("10.%d.%d.1", n/250, n%250)
		if n%50 == 49 {
			address = fmt.Sprintf("host-%d.conformance.invalid", n)
		}
		fmt.Fprintf(&b, "a=candidate:%d 1 udp 2130706431 %s %d typ host\r\n", n+1, address, 10000+n)
	}
	t.wantTrickled(s, "500 candidates", t.fragmentOf(s, "0", b.String()))
	t.WantIntact(s)
}
