package conformance

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
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
	for _, offer := range []string{Offer(vp8Section("recvonly")), Offer(opusSection("sendonly"), h264Section("sendonly"))} {
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
			What: "The server may refuse an offer and make one of its own",
			Run:  func(t *T) { t.counter() },
		},
		{
			ID: "WHEP-CTR-02", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "A counter-offer is a 406 with an SDP offer and the Location of the session to be",
			Run: func(t *T) {
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
			},
		},
		{
			ID: "WHEP-CTR-03", Section: "WHEP 4.3.2", Level: May, Stage: Live,
			What: "The Content-Type of a counter-offer may say until when it is good",
			Run: func(t *T) {
				if text, err := validUntil(t.offered()); err == nil && text == "" {
					t.Skipf("the counter-offer has no valid-until")
				}
			},
		},
		{
			ID: "WHEP-CTR-04", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "The time until when a counter-offer is good is an HTTP-date to come, in quotes",
			Run: func(t *T) {
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
			},
		},
		{
			ID: "WHEP-CTR-06", Section: "WHEP 4.3.5", Level: Should, Stage: Live,
			What: "The sections of a counter-offer are sendonly",
			Run: func(t *T) {
				offer := describe(t.offered().Body)
				for i := range offer.sections {
					s := &offer.sections[i]
					got := strings.Join(offer.directions(s), " and ")
					if (s.kind == "audio" || s.kind == "video") && got != "sendonly" && (t.Strict() || got != "sendrecv") {
						t.Errorf("section %d: expected sendonly, got %s", i, got)
					}
				}
			},
		},
		{
			ID: "WHEP-CTR-07", Section: "RFC 8842 5.2", Level: Must, Stage: Live,
			What: "A counter-offer leaves the DTLS role to the player",
			Run: func(t *T) {
				offer := describe(t.offered().Body)
				if got := offer.icePart("setup"); got != "actpass" {
					t.Errorf("expected setup:actpass, got %q", got)
				}
			},
		},
		{
			ID: "WHEP-CTR-12", Section: "Sluice", Level: Choice, Stage: Live,
			What: "The 406 and the 204 to its answer have one ETag",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				if !strongTag(s.ETag) {
					t.differsf("expected a strong entity tag on the 406, got %q", s.ETag)
				}
				r := t.reply(s, answerTo(s.Offer, "recvonly"))
				t.Want(r, "204", Is(http.StatusNoContent))
				if got := r.Header.Get("ETag"); got != s.ETag {
					t.differsf("expected the ETag %q on the 204, got %q", s.ETag, got)
				}
			},
		},
		{
			ID: "WHEP-CTR-16", Section: "Sluice", Level: Choice, Stage: Live,
			What: "The links of a 201 stand on the 406, too: its player never sees a 201",
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
			What: "Players take a 406 for a refusal, so that nobody gets one who did not ask for it",
			Run: func(t *T) {
				for _, offer := range []string{
					Offer(vp8Section("recvonly")), Offer(opusSection("sendonly"), h264Section("sendonly")),
					DropLines(PlayOffer(), "a=group"), PlayOffer(), browserOffer("recvonly"),
				} {
					if r := t.PostOffer(t.Room.WHEP, offer); r.Status == http.StatusNotAcceptable {
						t.Errorf("expected another status than 406, got %v", r)
					}
				}
			},
		},
	}
}

// serverTime is the time of a response by the server's own clock.
func serverTime(r *Response) time.Time {
	if at, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}

// whepCounterAnswerChecks are those of the answer to a counter-offer.
func whepCounterAnswerChecks() []Check {
	return []Check{
		{
			ID: "WHEP-CTR-05", Section: "WHEP 4.3.2", Level: Must, Stage: Live, Patient: true,
			What: "A counter-offer is good until the time that it says, or for 30 s, and not for longer",
			Run:  counterLasts,
		},
		{
			ID: "WHEP-CTR-09", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "A malformed answer is 4xx, and another may follow",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				for _, bad := range []string{"hello", "v=0\r\n"} {
					t.WantChoice(t.reply(s, bad), http.StatusBadRequest, "4xx", ClientError)
				}
				t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "a right answer afterwards: 204", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-10", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "An SDP answer where no offer of the server's is open is 4xx",
			Run: func(t *T) {
				plain := t.watch(PlayOffer())
				r := t.reply(plain, answerTo(plain.Answer, "recvonly"))
				t.WantChoice(r, http.StatusUnsupportedMediaType, "in a session of the player's offer: 4xx", ClientError)
				s := t.proposedOrNone()
				if s == nil {
					return
				}
				answer := answerTo(s.Offer, "recvonly")
				t.Want(t.reply(s, answer), "204", Is(http.StatusNoContent))
				t.Want(t.reply(s, answer), "the answer again: 4xx", ClientError)
			},
		},
		{
			ID: "WHEP-CTR-11", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "The answer of a player is recvonly, and another one is refused",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				for _, direction := range []string{"sendonly", "inactive"} {
					t.WantChoice(t.reply(s, answerTo(s.Offer, direction)), http.StatusUnprocessableEntity, direction+": 4xx", ClientError)
				}
				t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "recvonly afterwards: 204", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-13", Section: "Sluice", Level: Choice, Stage: Live,
			What: "The answer needs no If-Match, and one that is sent has to match",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				if s.ETag == "" {
					t.Skipf("the 406 has no ETag")
				}
				answer := answerTo(s.Offer, "recvonly")
				if r := t.reply(s, answer, header("If-Match", `"nope"`)); r.Status != http.StatusPreconditionFailed {
					t.differsf("another tag: expected 412, got %v", r)
				}
				t.Want(t.reply(s, answer, header("If-Match", s.ETag)), "the tag of the 406: 204", Is(http.StatusNoContent))
				other := t.proposed(t.counter())
				t.Want(t.reply(other, answerTo(other.Offer, "recvonly")), "no If-Match: 204", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-14", Section: "Sluice", Level: Choice, Stage: Live,
			What: "A trickle before the answer is 409",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				answer := answerTo(s.Offer, "recvonly")
				r := t.Patch(s, TrickleOf(answer), or(s.ETag, "*"))
				t.WantChoice(r, http.StatusConflict, "4xx", ClientError)
				t.Want(t.reply(s, answer), "the answer afterwards: 204", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-15", Section: "Sluice", Level: Choice, Stage: Live, Patient: true,
			What: "A counter-offer without an answer is forgotten",
			Run: func(t *T) {
				r := t.counter()
				s := t.proposed(r)
				t.Sleep(t.goodFor(r) + 5*time.Second)
				t.wantForgotten(s)
			},
		},
	}
}

// proposedOrNone is the session of a counter-offer; nil when the server makes none.
func (t *T) proposedOrNone() *Session {
	r := t.PostOffer(t.Room.WHEP, Offer(vp8Section("recvonly")), header("Prefer", "whep-counter-offer"))
	if r.Status != http.StatusNotAcceptable {
		return nil
	}
	return t.proposed(r)
}

// goodFor is how long a counter-offer is good from now on.
func (t *T) goodFor(r *Response) time.Duration {
	limit := offerLimit
	if text, err := validUntil(r); err == nil && text != "" {
		until, err := http.ParseTime(text)
		if err != nil {
			t.Skipf("WHEP-CTR-04 does not hold: %q is no HTTP-date", text)
		}
		limit = until.Sub(serverTime(r))
	}
	if limit > 100*time.Second {
		t.Skipf("the counter-offer is good for %v, which is longer than this suite waits", limit)
	}
	return limit
}

func counterLasts(t *T) {
	early, late := t.counter(), t.counter()
	sooner, later := t.proposed(early), t.proposed(late)
	limit := t.goodFor(early)
	t.Sleep(limit - 2*time.Second)
	t.Want(t.reply(sooner, answerTo(sooner.Offer, "recvonly")), "2 s before the end: 204", Is(http.StatusNoContent))
	t.Sleep(5 * time.Second)
	t.Want(t.reply(later, answerTo(later.Offer, "recvonly")), "3 s after the end: 4xx", ClientError)
}

// wantForgotten wants a session that is no more.
func (t *T) wantForgotten(s *Session) {
	gone := Is(http.StatusNotFound, http.StatusGone)
	t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "an answer: 404 or 410", gone)
	t.Want(t.Do(Request{Method: http.MethodGet, URL: s.URL}), "GET of the session: 404 or 410", gone)
}

// whepOldChecks are those of the first drafts, in which the server offered.
func whepOldChecks() []Check {
	return []Check{
		{
			ID: "WHEP-OLD-01", Section: "Sluice", Level: Choice, Stage: Live,
			What: "An empty POST is 4xx, or 201 with an offer of the server's, its Location and ETag",
			Run: func(t *T) {
				for _, mediaType := range []string{typeSDP, ""} {
					r := t.emptyPOST(mediaType)
					if r.Status != http.StatusCreated {
						t.Want(r, "4xx, or 201 with an offer", ClientError)
						continue
					}
					if r.Location() == "" || r.Header.Get("ETag") == "" {
						t.Errorf("expected Location and ETag on the 201, got %q and %q", r.Location(), r.Header.Get("ETag"))
					}
					if got := describe(r.Body).icePart("setup"); got != "actpass" {
						t.Errorf("expected an offer with setup:actpass, got %q", got)
					}
				}
			},
		},
		{
			ID: "WHEP-OLD-02", Section: "Sluice", Level: Choice, Stage: Live,
			What: "The answer to the server's offer is taken by PATCH",
			Run: func(t *T) {
				s := t.old()
				t.WantChoice(t.reply(s, answerTo(s.Offer, "recvonly"), header("If-Match", or(s.ETag, "*"))),
					http.StatusNoContent, "200 or 204", Is(http.StatusOK, http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-OLD-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "That PATCH needs neither If-Match nor a token",
			Run: func(t *T) {
				s := t.old()
				t.WantChoice(t.reply(s, answerTo(s.Offer, "recvonly"), anonymous),
					http.StatusNoContent, "200 or 204", Is(http.StatusOK, http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-OLD-04", Section: "Sluice", Level: Choice, Stage: Live, Patient: true,
			What: "A session whose offer nobody answers is forgotten after 30 s",
			Run: func(t *T) {
				s := t.old()
				t.Sleep(offerLimit + 5*time.Second)
				t.wantForgotten(s)
			},
		},
	}
}

// emptyPOST asks for an offer as the first drafts had it.
func (t *T) emptyPOST(mediaType string) *Response {
	return t.PostOffer(t.Room.WHEP, "", typed(mediaType))
}

// old is a session with an offer of the server's.
func (t *T) old() *Session {
	var refusals []string
	for _, mediaType := range []string{typeSDP, ""} {
		r := t.emptyPOST(mediaType)
		if r.Status == http.StatusCreated {
			return t.proposed(r)
		}
		refusals = append(refusals, fmt.Sprint(r.Status))
	}
	t.Skipf("the server takes no empty POST: %s", strings.Join(slices.Compact(refusals), ", "))
	return nil
}
