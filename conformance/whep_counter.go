package conformance

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
)

// offerLimit is how long a server's offer is good when it says nothing of it
// (WHEP section 4.3.2).
const offerLimit = 30 * time.Second

// counter is a counter-offer: the 406 to an offer that cannot be served, from a
// player that says it can answer one. Servers that make none are not judged by
// what hangs on it.
func (t *T) counter() *Response {
	var r *Response
	for _, offer := range []string{Offer(vp8Section()), Offer(opusSection("sendonly"), h264Section("sendonly"))} {
		r = t.PostOffer(t.Room.WHEP, offer, header("Prefer", "whep-counter-offer"))
		if r.Status == http.StatusNotAcceptable {
			return r
		}
	}
	t.Skipf("the server makes no counter-offers: %d to a player that would answer one", r.Status)
	return nil
}

// offered is counter for checks of what is in the offer: a 406 without one is
// judged elsewhere.
func (t *T) offered() *Response {
	r := t.counter()
	t.proposed(r)
	return r
}

// proposed is the session of an offer of the server's.
func (t *T) proposed(r *Response) *Session {
	s := &Session{URL: r.Location(), ETag: r.Header.Get("ETag"), Offer: r.Body, Created: r}
	if s.URL == "" || len(describe(r.Body).sections) == 0 {
		t.Skipf("WHEP-CTR-02 or WHEP-OLD-01 does not hold: the %d has no Location or no offer", r.Status)
	}
	return s
}

// answerTo answers an offer of the server's: every section, with fresh
// credentials, as the DTLS client.
func answerTo(offer, direction string) string {
	d := describe(offer)
	ufrag, pwd, fingerprint := randomText(4), randomText(12), randomFingerprint()
	var b strings.Builder
	b.WriteString("v=0\r\no=- 4611686018427387905 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
	for _, group := range d.bundles() {
		b.WriteString("a=group:BUNDLE " + strings.Join(group, " ") + "\r\n")
	}
	for i := range d.sections {
		s := &d.sections[i]
		fmt.Fprintf(&b, "m=%s 9 %s %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\n", s.kind, s.proto, strings.Join(s.formats, " "), s.mid())
		fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:active\r\n", ufrag, pwd, fingerprint)
		if s.kind != "audio" && s.kind != "video" {
			continue
		}
		fmt.Fprintf(&b, "a=rtcp-mux\r\na=%s\r\n", direction)
		for _, line := range s.lines {
			if hasAnyPrefix(line, "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:") {
				b.WriteString(line + "\r\n")
			}
		}
	}
	return b.String()
}

// reply sends an answer to a server's offer.
func (t *T) reply(s *Session, answer string, change ...func(*Request)) *Response {
	r := Request{Method: http.MethodPatch, URL: s.URL, Type: typeSDP, Body: answer}
	for _, c := range change {
		c(&r)
	}
	return t.Do(r)
}

// validUntil is the parameter of that name of a Content-Type; "" without one.
func validUntil(r *Response) (string, error) {
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", fmt.Errorf("conformance: read Content-Type %q: %w", r.Header.Get("Content-Type"), err)
	}
	return parameters["valid-until"], nil
}

// whepCounterChecks are those of the form of a counter-offer.
func whepCounterChecks() []Check {
	return []Check{
		{
			ID: "WHEP-CTR-01", Section: "WHEP 4.3", Level: May, Stage: Live,
			What: "the server may refuse an offer and make one of its own",
			Run:  func(t *T) { t.counter() },
		},
		{
			ID: "WHEP-CTR-02", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "a counter-offer is a 406 with an SDP offer and the Location of the session to be",
			Run:  counterForm,
		},
		{
			ID: "WHEP-CTR-03", Section: "WHEP 4.3.2", Level: May, Stage: Live,
			What: "the Content-Type of a counter-offer may say until when it is good",
			Run: func(t *T) {
				if text, err := validUntil(t.offered()); err == nil && text == "" {
					t.Skipf("the counter-offer has no valid-until")
				}
			},
		},
		{
			ID: "WHEP-CTR-04", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "the time until when a counter-offer is good is an HTTP-date to come, in quotes",
			Run:  counterDate,
		},
		{
			ID: "WHEP-CTR-06", Section: "WHEP 4.3.5", Level: Should, Stage: Live,
			What: "the sections of a counter-offer are sendonly",
			Run:  counterDirection,
		},
		{
			ID: "WHEP-CTR-07", Section: "RFC 8842 5.2", Level: Must, Stage: Live,
			What: "a counter-offer leaves the DTLS role to the player",
			Run: func(t *T) {
				offer := describe(t.offered().Body)
				if got := offer.icePart("setup"); got != "actpass" {
					t.Errorf("expected setup:actpass, got %q", got)
				}
			},
		},
		{
			ID: "WHEP-CTR-12", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the 406 and the 204 to its answer have one ETag",
			Run:  counterTags,
		},
		{
			ID: "WHEP-CTR-16", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the links of a 201 stand on the 406, too: its player never sees a 201",
			Run: func(t *T) {
				r := t.offered()
				for _, l := range t.watch(PlayOffer()).Created.Links() {
					if len(l.Rel) > 0 && len(r.linksOf(l.Rel[0])) == 0 {
						t.differsf("expected a link of the type %s on the 406, got none", l.Rel[0])
					}
				}
			},
		},
		{
			ID: "WHEP-CTR-17", Section: "WHEP 4.3.3", Level: Client, Stage: Live,
			What: "players take a 406 for a refusal, so that nobody gets one who did not ask for it",
			Run:  counterUnasked,
		},
	}
}

func counterForm(t *T) {
	r := t.counter()
	if got := r.Header.Get("Content-Type"); mediaType(got) != typeSDP {
		t.Errorf("expected Content-Type %s, got %q", typeSDP, got)
	}
	if r.Location() == "" {
		t.Errorf("expected a Location, got none")
	}
	t.wrong(describe(r.Body).grammarFaults())
	if len(describe(r.Body).sections) == 0 {
		t.Errorf("expected an offer with sections, got none")
	}
}

func counterDate(t *T) {
	r := t.offered()
	text, err := validUntil(r)
	switch until, dateErr := http.ParseTime(text); {
	case err != nil:
		t.Errorf("expected a Content-Type that can be read, got %v", err)
	case text == "":
		t.Skipf("the counter-offer has no valid-until")
	case dateErr != nil:
		t.Errorf("expected an HTTP-date, got %q", text)
	case until.Before(serverTime(r)):
		t.Errorf("expected a time to come, got %s at %v", text, r.Header.Get("Date"))
	}
}

func counterDirection(t *T) {
	offer := describe(t.offered().Body)
	for i := range offer.sections {
		s := &offer.sections[i]
		got := strings.Join(offer.directions(s), " and ")
		if (s.kind == "audio" || s.kind == "video") && got != "sendonly" && (t.Strict() || got != "sendrecv") {
			t.Errorf("section %d: expected sendonly, got %s", i, got)
		}
	}
}

func counterTags(t *T) {
	s := t.proposed(t.counter())
	if !strongForm.MatchString(s.ETag) {
		t.differsf("expected a strong entity tag on the 406, got %q", s.ETag)
	}
	r := t.reply(s, answerTo(s.Offer, "recvonly"))
	t.Want(r, "204", Is(http.StatusNoContent))
	if got := r.Header.Get("ETag"); got != s.ETag {
		t.differsf("expected the ETag %q on the 204, got %q", s.ETag, got)
	}
}

func counterUnasked(t *T) {
	for _, offer := range []string{
		Offer(vp8Section()), Offer(opusSection("sendonly"), h264Section("sendonly")),
		DropLines(PlayOffer(), "a=group"), PlayOffer(), browserOffer("recvonly"),
	} {
		if r := t.PostOffer(t.Room.WHEP, offer); r.Status == http.StatusNotAcceptable {
			t.Errorf("expected another status than 406, got %v", r)
		}
	}
}

// serverTime is the time of a response by the server's own clock.
func serverTime(r *Response) time.Time {
	if at, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}
