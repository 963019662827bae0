package conformance

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// whipSessionChecks judge what a 201 says of its session: its URL and its tag.
func whipSessionChecks() []Check {
	location, etag := rows("WHIP-LOC"), rows("WHIP-ETAG")
	return []Check{
		location(1, "RFC 9725 5", Should, "session URLs cannot be guessed", checkUnguessable),
		location(2, "Sluice", Choice, "Location is an absolute URL without a query", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			if got := s.Created.Header.Get("Location"); !regexp.MustCompile(`^https?://[^?#/]+/[^?#]+$`).MatchString(got) {
				t.Errorf("expected an absolute URL without a query in Location, got %q", got)
			}
		}),
		location(3, "Sluice", Choice, "Location does not follow the Host and the forwarding fields of a request", checkForgedHost),
		etag(1, "RFC 9725 4.3.1", Must, "201 carries an ETag where ICE restarts are supported", checkETag(restartOf)),
		etag(2, "RFC 9725 4.3.1", Must, "the ETag is a strong entity tag", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			if s.ETag == "" {
				t.Skipf("201 has no ETag")
			}
			t.wantStrong(s.Created)
		}),
		etag(3, "RFC 9725 4.3.1", Must, "a restart changes the ETag and nothing else does", checkTagChanges),
		etag(4, "RFC 9725 4.3.2", Must, "201 carries an ETag where trickle ICE is supported", checkETag(TrickleOf)),
		etag(5, "Sluice", Choice, "the ETag says nothing of the session and never comes back", checkOpaque),
	}
}

func restartOf(offer string) string { return RestartOf(offer) }

func checkUnguessable(t *T) {
	t.wantUnguessable(func() *Session { return t.Open(t.Room.WHIP, PublishOffer()) })
}

// wantUnguessable wants URLs with enough in them that nobody can foretell.
func (t *T) wantUnguessable(open func() *Session) {
	var urls []string
	for range sessionsCompared {
		s := open()
		urls = append(urls, s.URL)
		t.Delete(s)
	}
	if bits := entropy(urls); bits < 122 {
		t.Errorf("expected session URLs of 122 random bits at least, got about %d, as in %s", bits, urls[0])
	}
}

// checkForgedHost: a server behind a name of its own may also refuse such requests.
func checkForgedHost(t *T) {
	const evil = "evil.conformance.invalid"
	fields := map[string]string{
		"Host": evil, "X-Forwarded-Host": evil, "Forwarded": "host=" + evil + ";proto=gopher", "X-Forwarded-Server": evil,
	}
	judged := 0
	for name, value := range fields {
		r := t.PostOffer(t.Room.WHIP, PublishOffer(), header(name, value))
		if r.Status != http.StatusCreated {
			continue
		}
		judged++
		if got := r.Header.Get("Location"); strings.Contains(got, evil) || strings.HasPrefix(got, "gopher:") {
			t.Errorf("expected a Location that does not follow %s, got %q", name, got)
			// Not to be deleted there, but where it came from.
			if u, err := url.Parse(got); err == nil {
				at := r.Request
				at.URL, at.Method = strings.TrimSuffix(originOf(t.Room.WHIP), "/")+u.Path, http.MethodDelete
				_, _ = t.Try(Request{Method: at.Method, URL: at.URL}) // it ends by itself otherwise
			}
		}
	}
	if judged == 0 {
		t.Skipf("the server refuses requests for other hosts")
	}
}

// originOf is scheme and host of a URL.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// checkETag wants a tag in the 201 of servers that take a kind of fragment.
func checkETag(fragment func(offer string) string) func(*T) {
	return func(t *T) {
		s := t.Open(t.Room.WHIP, PublishOffer())
		if s.ETag != "" {
			return
		}
		if r := t.Patch(s, fragment(s.Offer), "*"); !Success(r.Status) {
			t.Skipf("the server does not support it: %v", r)
		}
		t.Errorf("expected an ETag in the 201, got none")
	}
}

var strongForm = regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`)

func (t *T) wantStrong(r *Response) {
	if got := r.Header.Get("ETag"); !strongForm.MatchString(got) {
		t.Errorf("expected a strong entity tag in quotes on the %d to %s, got %q", r.Status, r.Request.Method, got)
	}
}

func checkTagChanges(t *T) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	if s.ETag == "" {
		t.Skipf("201 has no ETag")
	}
	t.WantIntact(s)
	t.WantIntact(s) // the trickle before has not changed the tag
	t.Do(Request{Method: http.MethodGet, URL: s.URL})
	t.WantIntact(s)
	r := t.Patch(s, RestartOf(s.Offer), s.ETag)
	if r.Status != http.StatusOK {
		t.Skipf("the server does not restart: %v", r)
	}
	if got := r.Header.Get("ETag"); got == s.ETag || got == "" {
		t.Errorf("expected another ETag after a restart, got %q after %q", got, s.ETag)
	}
}

func checkOpaque(t *T) {
	offer := PublishOffer()
	first := t.Open(t.Room.WHIP, offer)
	t.Delete(first)
	second := t.Open(t.Room.WHIP, offer)
	if first.ETag == "" {
		t.Skipf("201 has no ETag")
	}
	if first.ETag == second.ETag {
		t.Errorf("expected each session to have an ETag of its own, got %s for two of the same offer", first.ETag)
	}
	for _, text := range []string{offer, first.Answer} {
		d := describe(text)
		for _, part := range []string{d.icePart("ice-ufrag"), d.icePart("ice-pwd")} {
			if part != "" && strings.Contains(first.ETag, part) {
				t.Errorf("expected an ETag that says nothing, got %s, with ICE credentials in it", first.ETag)
			}
		}
	}
}
