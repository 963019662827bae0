package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// whipHTTPChecks are those of the endpoint's and the session's methods.
func whipHTTPChecks() []Check {
	row := rows("WHIP-HTTP")
	return []Check{
		row(1, "RFC 9725 4.1", Must, "GET on the endpoint is a success without content",
			func(t *T) { t.wantEmptySuccess(t.Room.WHIP) }),
		row(2, "RFC 9725 4.1", Must, "GET on a living session is a success without content", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			t.wantEmptySuccess(s.URL)
			t.WantIntact(s)
		}),
		row(3, "RFC 9110 9.3.2", Must, "HEAD answers as GET does, without content", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			t.wantHeadAsGet(t.Room.WHIP)
			t.wantHeadAsGet(s.URL)
		}),
		row(4, "RFC 9110 15.5.6", Must, "405 names the methods that there are", checkAllow),
		row(5, "Sluice", Choice, "methods that a resource does not know are 405", checkMethods),
		row(7, "RFC 9725 5", Must, "HTTPS is used outside of laboratories", func(t *T) { t.wantHTTPS(t.Room.WHIP) }),
		row(8, "Sluice", Choice, "HTTP/1.1 and HTTP/2 work, with field names in any case and a space before each value", checkVersions),
		row(9, "Sluice", Choice, "responses with ICE credentials are not to be stored", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			restarted := t.Patch(s, RestartOf(s.Offer), "*")
			for _, r := range []*Response{s.Created, restarted} {
				if got := r.Header.Get("Cache-Control"); r.Status < 300 && !strings.Contains(got, "no-store") {
					t.Errorf("expected Cache-Control: no-store on the %d to %s, got %q", r.Status, r.Request.Method, got)
				}
			}
		}),
	}
}

// rows makes the checks of one group.
func rows(group string) func(n int, section string, level Level, what string, run func(*T)) Check {
	return func(n int, section string, level Level, what string, run func(*T)) Check {
		return Check{ID: fmt.Sprintf("%s-%02d", group, n), Section: section, Level: level, What: what, Run: run}
	}
}

// wantEmptySuccess wants 2xx and no content to GET.
func (t *T) wantEmptySuccess(at string) {
	r := t.Do(Request{Method: http.MethodGet, URL: at})
	t.Want(r, "2xx", Success)
	if r.Body != "" {
		t.Errorf("expected no content, got %d bytes", len(r.Body))
	}
}

// wantHeadAsGet wants the status and the fields of GET for HEAD, except those
// that a server may leave out, and no content.
func (t *T) wantHeadAsGet(at string) {
	get, head := t.Do(Request{Method: http.MethodGet, URL: at}), t.Do(Request{Method: http.MethodHead, URL: at})
	if head.Status != get.Status {
		t.Errorf("expected %d to HEAD as to GET, got %d", get.Status, head.Status)
	}
	names := func(r *Response) []string {
		h := maps.Clone(r.Header)
		for _, own := range []string{"Content-Length", "Transfer-Encoding", "Date", "Connection", "Vary"} {
			delete(h, own)
		}
		return slices.Sorted(maps.Keys(h))
	}
	if h, g := names(head), names(get); !slices.Equal(h, g) {
		t.Errorf("expected the fields %v to HEAD as to GET, got %v", g, h)
	}
	_, body := t.raw(at, func(u *url.URL) string { return t.rawHead(http.MethodHead, u, "Connection: close") })
	if body != "" {
		t.Errorf("expected no content to HEAD, got %d bytes", len(body))
	}
}

// misplaced are requests with methods that endpoints and sessions do not have.
func (t *T) misplaced() (requests []Request, session *Session) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	for _, m := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		requests = append(requests, Request{Method: m, URL: t.Room.WHIP})
	}
	return append(requests, Request{Method: http.MethodPut, URL: s.URL},
		Request{Method: http.MethodPost, URL: s.URL, Type: typeSDP, Body: PublishOffer()}), s
}

func checkAllow(t *T) {
	requests, s := t.misplaced()
	some := false
	for _, q := range requests {
		r := t.Do(q)
		if r.Status != http.StatusMethodNotAllowed {
			continue
		}
		some = true
		where, whole, needed := "the endpoint", []string{"GET", "HEAD", "OPTIONS", "POST"}, []string{"POST"}
		if q.URL == s.URL {
			where, whole, needed = "a session", []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}, []string{"DELETE"}
		}
		var got []string
		for m := range strings.SplitSeq(strings.Join(r.Header.Values("Allow"), ","), ",") {
			if m = strings.TrimSpace(m); m != "" {
				got = append(got, m)
			}
		}
		slices.Sort(got)
		switch {
		case t.Strict() && !slices.Equal(got, whole):
			t.Errorf("expected Allow to list %v on the 405 to %s on %s, got %v", whole, q.Method, where, got)
		case !slices.Contains(got, needed[0]) || slices.Contains(got, q.Method):
			t.Errorf("expected Allow with %s and without %s on the 405 to %[2]s on %s, got %v", needed[0], q.Method, where, got)
		}
	}
	if !some {
		t.Skipf("the server never answers 405")
	}
}

func checkMethods(t *T) {
	requests, s := t.misplaced()
	for _, q := range requests {
		t.WantChoice(t.Do(q), http.StatusMethodNotAllowed, "405 or 501", Is(http.StatusMethodNotAllowed, http.StatusNotImplemented))
	}
	t.WantIntact(s)
}

// checkVersions speaks each version of HTTP that browsers and encoders speak.
func checkVersions(t *T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		r, err := t.postBy(version)
		switch {
		case err != nil && version == "HTTP/2.0" && !t.Strict() && strings.HasPrefix(t.Room.WHIP, "http:"):
			// Without TLS only proxies speak it, and not all of them.
		case err != nil:
			t.Errorf("expected 201 over %s, got %v", version, err)
		case r.Status != http.StatusCreated || r.Proto != version:
			t.Errorf("expected 201 over %s, got %v over %s", version, r, r.Proto)
		}
	}
	offer := PublishOffer()
	head, body := t.raw(t.Room.WHIP, func(u *url.URL) string {
		return t.rawHead(http.MethodPost, u, "cOnTeNt-tYpE: application/sdp", "CONTENT-LENGTH: "+strconv.Itoa(len(offer)),
			"connection: close") + offer
	})
	lines := strings.Split(head, "\r\n")
	if !strings.HasPrefix(lines[0], "HTTP/1.1 201") {
		t.Errorf("expected 201 with field names in odd case, got %s %.200s", lines[0], body)
	}
	for _, line := range lines[1:] {
		if !fieldForm.MatchString(line) {
			t.Errorf("expected a field as a name, a colon, a space and a value, got %q", line)
		}
		if name, value, _ := strings.Cut(line, ": "); strings.EqualFold(name, "Location") {
			t.discard(&Response{Request: Request{URL: t.Room.WHIP}, Status: http.StatusCreated, Header: http.Header{"Location": {value}}})
		}
	}
}

var fieldForm = regexp.MustCompile(`^[!#$%&'*+\-.^_|~0-9A-Za-z]+: \S.*$`)

// postBy opens a session over one version of HTTP.
func (t *T) postBy(version string) (*Response, error) {
	client := t.suite.target.newClient()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the suite's transport is %T", client.Transport)
	}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(version == "HTTP/1.1")
	transport.Protocols.SetHTTP2(version == "HTTP/2.0")
	transport.Protocols.SetUnencryptedHTTP2(version == "HTTP/2.0")
	transport.ForceAttemptHTTP2 = version == "HTTP/2.0"
	defer client.CloseIdleConnections()
	r, err := send(t.ctx, client, Request{Method: http.MethodPost, URL: t.Room.WHIP, Type: typeSDP, Body: PublishOffer()}, t.Token())
	if err == nil {
		t.discard(r)
	}
	return r, err
}
