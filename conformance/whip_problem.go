package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// mistake is a request that is wrong in one way.
type mistake struct {
	name    string
	problem string // what Sluice calls it
	request func(t *T, s *Session) Request
}

// mistakes are all that can be made without knowing the server. None harms the
// session.
func mistakes() []mistake {
	post := func(name, problem string, offer func() string, change ...func(*Request)) mistake {
		return mistake{name, problem, func(t *T, _ *Session) Request {
			r := Request{Method: http.MethodPost, URL: t.Room.WHIP, Type: typeSDP, Body: offer()}
			for _, c := range change {
				c(&r)
			}
			return r
		}}
	}
	patch := func(name, problem, tag string, change ...func(*Request)) mistake {
		return mistake{name, problem, func(_ *T, s *Session) Request {
			r := Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}
			if tag != "" {
				r = r.With("If-Match", tag)
			}
			for _, c := range change {
				c(&r)
			}
			return r
		}}
	}
	directed := func(d string) func() string {
		return func() string { return Offer(opusSection(d), h264Section(d)) }
	}
	return []mistake{
		post("a malformed offer", "sdp-malformed", func() string { return "hello" }),
		post("an offer that receives", "sdp-direction", directed("recvonly")),
		post("two video sections", "sdp-too-many-tracks", func() string {
			second := h264Section("sendonly")
			second.MID = "2"
			return Offer(opusSection("sendonly"), h264Section("sendonly"), second)
		}),
		post("two streams", "sdp-multiple-streams", func() string {
			return inSection(PublishOffer(), 1, func(s string) string { return Edit(s, "a=msid:stream ", "a=msid:another ") })
		}),
		post("no common codec", "sdp-no-common-codec", func() string {
			return Offer(Media{Kind: "video", MID: "0", Direction: "sendonly", Formats: "96", Codecs: "a=rtpmap:96 THEORA/90000\r\n"})
		}),
		post("no BUNDLE", "sdp-no-bundle", func() string { return DropLines(PublishOffer(), "a=group:") }),
		post("no rtcp-mux", "sdp-no-rtcp-mux", func() string { return DropLines(PublishOffer(), "a=rtcp-mux") }),
		post("holdconn", "dtls-setup", func() string { return Edit(PublishOffer(), "a=setup:actpass", "a=setup:holdconn") }),
		post("another media type", "media-type", PublishOffer, typed("text/plain")),
		post("a large offer", "too-large", func() string { return PublishOffer() + strings.Repeat("a=x-filler\r\n", 12<<10) }),
		patch("no If-Match", "precondition-missing", ""),
		patch("a wrong If-Match", "precondition-failed", `"nope"`),
		patch("an unknown session", "session-not-found", "*", func(r *Request) { r.URL = guess(r.URL) }),
		{"a method that is not there", "method-not-allowed", func(t *T, _ *Session) Request {
			return Request{Method: http.MethodPut, URL: t.Room.WHIP}
		}},
	}
}

// problem is the body of an error by RFC 9457.
type problem struct {
	Type   *string `json:"type"`
	Title  *string `json:"title"`
	Status *int    `json:"status"`
	Detail *string `json:"detail"`
}

// problemOf reads the problem of an error; ok is false when it has none.
func problemOf(r *Response) (p problem, ok bool) {
	if mediaType(r.Header.Get("Content-Type")) != typeProblem {
		return p, false
	}
	return p, json.Unmarshal([]byte(r.Body), &p) == nil
}

// refusals are the errors that came of all mistakes, by name.
func (t *T) refusals() map[string]*Response {
	s := t.Open(t.Room.WHIP, PublishOffer())
	list := map[string]*Response{}
	for _, m := range mistakes() {
		r := t.Do(m.request(t, s))
		t.discard(r)
		if r.Status >= 400 {
			list[m.name] = r
		}
	}
	return list
}

// problems are the refusals that carry a problem; the check is skipped without any.
func (t *T) problems() map[string]*Response {
	list := t.refusals()
	for name, r := range list {
		if mediaType(r.Header.Get("Content-Type")) != typeProblem {
			delete(list, name)
		}
	}
	if len(list) == 0 {
		t.Skipf("no error of the server carries application/problem+json")
	}
	return list
}

// whipProblemChecks judge what errors say.
func whipProblemChecks() []Check {
	row := rows("WHIP-PROB")
	return []Check{
		row(1, "RFC 9725 4.1", May, "every error is application/problem+json", func(t *T) {
			list := t.refusals()
			if len(list) == 0 {
				t.Skipf("the server refused nothing")
			}
			if !t.Strict() {
				list = t.problems() // a server without any is within its rights
			}
			for name, r := range list {
				if _, ok := problemOf(r); !ok {
					t.Errorf("expected application/problem+json on the %d to %s, got %q", r.Status, name, r.Header.Get("Content-Type"))
				}
			}
		}),
		row(2, "RFC 9457 3", Must, "a problem has the response's status, a URI for its type, and texts", checkProblemForm),
		row(3, "Sluice", Choice, "each cause has a problem type of its own", checkProblemTypes),
		row(4, "Sluice", Choice, "problems tell nothing of the server's inside", checkNoInternals),
		row(5, "RFC 9110 9.3.2", Must, "an error to HEAD has no content", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			head, body := t.raw(s.URL, func(*url.URL) string {
				u, _ := url.Parse(guess(s.URL)) // of the same form as a URL that could be read
				return t.rawHead(http.MethodHead, u, "Connection: close")
			})
			if line, _, _ := strings.Cut(head, "\r\n"); !strings.Contains(line, " 4") && !strings.Contains(line, " 5") {
				t.Skipf("HEAD of an unknown session is no error: %s", line)
			}
			if body != "" {
				t.Errorf("expected no content to HEAD, got %d bytes", len(body))
			}
		}),
	}
}

func checkProblemForm(t *T) {
	for name, r := range t.problems() {
		p, ok := problemOf(r)
		if !ok {
			t.Errorf("%s: expected a JSON object with type, title, status and detail, got %.200s", name, r.Body)
			continue
		}
		if p.Status != nil && *p.Status != r.Status {
			t.Errorf("%s: expected status %d in the problem as in the response, got %d", name, r.Status, *p.Status)
		}
		if p.Type != nil {
			if u, err := url.Parse(*p.Type); err != nil || *p.Type == "" {
				t.Errorf("%s: expected a URI for the type, got %q", name, *p.Type)
			} else if base, err := url.Parse(r.Request.URL); err == nil && t.Strict() {
				page := t.Do(Request{Method: http.MethodGet, URL: base.ResolveReference(u).String()})
				t.Want(page, "2xx to the type of "+name+" at "+*p.Type, Success)
			}
		}
		if t.Strict() && (p.Status == nil || p.Type == nil || p.Title == nil || *p.Title == "" || p.Detail == nil || *p.Detail == "") {
			t.Errorf("%s: expected type, title, status and detail, got %s", name, r.Body)
		}
	}
}

func checkProblemTypes(t *T) {
	seen := map[string]string{}
	list := t.problems()
	for _, m := range mistakes() {
		r, refused := list[m.name]
		if !refused {
			continue
		}
		p, ok := problemOf(r)
		if !ok || p.Type == nil {
			t.Errorf("%s: expected a problem type, got %.200s", m.name, r.Body)
			continue
		}
		if other, twice := seen[*p.Type]; twice {
			t.differsf("expected types of their own for %s and %s, got %q for both", other, m.name, *p.Type)
		}
		seen[*p.Type] = m.name
		if got := path.Base(*p.Type); t.Strict() && got != m.problem {
			t.Errorf("%s: expected the problem %s, got %s", m.name, m.problem, got)
		}
	}
}

// internals is what only a careless server lets out.
var internals = regexp.MustCompile(`(?i)goroutine \d|\.(go|py|rs|js|cpp|java):\d+|0x[0-9a-f]{8}|panic|stack ?trace|traceback|/(home|root|usr|var|src)/|\b\d{1,3}(\.\d{1,3}){3}\b`)

func checkNoInternals(t *T) {
	for name, r := range t.problems() {
		if found := internals.FindString(r.Body); found != "" {
			t.Errorf("%s: expected nothing of the server's inside, got %q", name, found)
		}
		if token := t.Token(); token != "" && strings.Contains(r.Body, token) {
			t.Errorf("%s: expected no token in a problem, got it", name)
		}
	}
}
