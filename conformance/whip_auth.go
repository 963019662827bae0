package conformance

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// whipAuthChecks judge who is let in. Without a token there is nobody to be kept
// out, and most of them are skipped.
func whipAuthChecks() []Check {
	row := rows("WHIP-AUTH")
	return []Check{
		row(1, "RFC 9725 4.7", Must, "a bearer token is taken", func(t *T) {
			t.closedToStrangers()
			t.wantTaken("a valid token", PublishOffer())
		}),
		row(2, "RFC 9725 4.7.1", Must, "a request without a token is 401 with a Bearer challenge", func(t *T) {
			r := t.closedToStrangers()
			t.Want(r, "401 without a token", Is(http.StatusUnauthorized))
			t.wantChallenge(r, "")
		}),
		row(3, "RFC 6750 3.1", Should, "a token that is unknown is invalid_token, one for another room insufficient_scope", checkTokenErrors),
		row(4, "RFC 9110 11.1", Must, "the scheme compares without case", func(t *T) {
			t.closedToStrangers()
			for _, scheme := range []string{"bearer", "BEARER", "bEaReR"} {
				t.wantTaken("the scheme "+scheme, PublishOffer(), header("Authorization", scheme+" "+t.Token()))
			}
		}),
		row(6, "RFC 9725 4.7.1", Choice, "a session URL needs no token, and refuses a wrong one", checkSessionToken),
		row(7, "RFC 9725 4.7.1", Client, "a token may stand in the URL", checkTokenInURL),
		row(8, "Sluice", Choice, "what scripts send in place of a token counts as none", checkNoToken),
		row(9, "RFC 8725", Must, "a forged JWT is refused", checkForgedTokens),
		row(10, "Sluice", Choice, "who asks is looked at before what is asked", checkAuthFirst),
	}
}

// closedToStrangers is the answer to an offer without a token. Servers that take
// it let everybody in.
func (t *T) closedToStrangers() *Response {
	if t.Token() == "" {
		t.Skipf("no token was given: the endpoint is open to everybody")
	}
	r := t.PostOffer(t.Room.WHIP, PublishOffer(), anonymous)
	if r.Status == http.StatusCreated {
		t.Skipf("the endpoint is open to publishers without a token")
	}
	if !ClientError(r.Status) {
		t.Fatalf("expected 4xx without a token, got %v", r)
	}
	return r
}

// wantChallenge wants a Bearer challenge, with an error where one is named.
func (t *T) wantChallenge(r *Response, wanted string) {
	for _, c := range r.Header.Values("WWW-Authenticate") {
		scheme, params, _ := strings.Cut(c, " ")
		if strings.EqualFold(scheme, "Bearer") && (wanted == "" || strings.Contains(params, `error="`+wanted+`"`)) {
			return
		}
	}
	if wanted != "" {
		wanted = ` error="` + wanted + `"`
	}
	t.Errorf("expected WWW-Authenticate: Bearer%s on the %d, got %q", wanted, r.Status, r.Header.Values("WWW-Authenticate"))
}

func checkTokenErrors(t *T) {
	t.closedToStrangers()
	bad := t.PostOffer(t.Room.WHIP, PublishOffer(), header("Authorization", "Bearer "+randomText(16)))
	if t.Want(bad, "401 to an unknown token", Is(http.StatusUnauthorized)) {
		t.wantChallenge(bad, "invalid_token")
	}
	elsewhere := t.PostOffer(t.suite.target.room("x"+randomText(6)).WHIP, PublishOffer())
	switch elsewhere.Status {
	case http.StatusCreated, http.StatusNotFound: // the token is for all rooms, or tells nothing of others
	case http.StatusForbidden:
		t.wantChallenge(elsewhere, "insufficient_scope")
	default:
		t.Errorf("expected 403 to a token for another room, got %v", elsewhere)
	}
}

func checkSessionToken(t *T) {
	t.closedToStrangers()
	s := t.Open(t.Room.WHIP, PublishOffer())
	wrong := header("Authorization", "Bearer "+randomText(16))
	for _, q := range []Request{
		{Method: http.MethodDelete, URL: s.URL},
		Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", or(s.ETag, "*")),
	} {
		wrong(&q)
		t.Want(t.Do(q), "401 or 403 to a wrong token", Is(http.StatusUnauthorized, http.StatusForbidden))
	}
	t.WantIntact(s)
	r := t.Do(Request{Method: http.MethodDelete, URL: s.URL, Anonymous: true})
	if t.Strict() {
		t.Want(r, "200 to DELETE without a token", Is(http.StatusOK))
	} else {
		t.Want(r, "2xx, 401 or 403 to DELETE without a token", func(s int) bool { return Success(s) || s == 401 || s == 403 })
	}
}

func checkTokenInURL(t *T) {
	t.closedToStrangers()
	u, err := url.Parse(t.Room.WHIP)
	if err != nil {
		t.Fatalf("%s is no URL: %v", t.Room.WHIP, err)
	}
	u.RawQuery = url.Values{"token": {t.Token()}}.Encode()
	r := t.PostOffer(u.String(), PublishOffer(), anonymous)
	if Is(http.StatusUnauthorized, http.StatusForbidden)(r.Status) {
		t.Skipf("the server takes tokens in the Authorization field alone")
	}
	t.Want(r, "201 to a token in the URL", Is(http.StatusCreated))
	if at := r.Header.Get("Location"); strings.Contains(at, t.Token()) {
		t.Errorf("expected a Location without the token, got it there")
	}
}

// checkNoToken wants the same answer as to nothing at all.
func checkNoToken(t *T) {
	open := t.ask(t.Room.WHIP, PublishOffer(), anonymous)
	t.Want(open, "201 or 4xx without a token", func(s int) bool { return s == http.StatusCreated || ClientError(s) })
	for _, value := range []string{"Bearer undefined", "Bearer null", "Bearer "} {
		r := t.ask(t.Room.WHIP, PublishOffer(), anonymous, header("Authorization", value))
		if t.Want(r, "the answer as to no token, "+http.StatusText(open.Status)+", to "+value, Is(open.Status)); r.Status == http.StatusUnauthorized {
			for _, c := range r.Header.Values("WWW-Authenticate") {
				if t.Strict() && strings.Contains(c, "error=") {
					t.Errorf("expected no error in the challenge to %q, got %q", value, c)
				}
			}
		}
	}
}

// checkForgedTokens applies to servers whose token is a JWT.
func checkForgedTokens(t *T) {
	t.closedToStrangers()
	parts := strings.Split(t.Token(), ".")
	if len(parts) != 3 {
		t.Skipf("the token is no JWT")
	}
	t.wantTaken("the token itself", PublishOffer())
	encode := base64.RawURLEncoding.EncodeToString
	for name, token := range map[string]string{
		"alg none":             encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".",
		"alg NONE":             encode([]byte(`{"alg":"NONE"}`)) + "." + parts[1] + ".",
		"no signature":         parts[0] + "." + parts[1] + ".",
		"another signature":    parts[0] + "." + parts[1] + "." + encode([]byte(randomText(16))),
		"another content":      parts[0] + "." + encode([]byte(`{"room":"*","publish":true,"exp":9999999999}`)) + "." + parts[2],
		"a key of its own":     encode([]byte(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`)) + "." + parts[1] + "." + parts[2],
		"two signatures in it": t.Token() + "." + parts[2],
	} {
		r := t.ask(t.Room.WHIP, PublishOffer(), header("Authorization", "Bearer "+token))
		t.Want(r, "401 or 403 to a JWT with "+name, Is(http.StatusUnauthorized, http.StatusForbidden))
	}
}

func checkAuthFirst(t *T) {
	strangers := t.closedToStrangers()
	for name, q := range map[string]Request{
		"a malformed offer":  {Body: "hello", Type: typeSDP},
		"another media type": {Body: PublishOffer(), Type: "text/plain"},
		"a large offer":      {Body: PublishOffer() + strings.Repeat("a=x-filler\r\n", 12<<10), Type: typeSDP},
	} {
		q.Method, q.URL, q.Anonymous = http.MethodPost, t.Room.WHIP, true
		t.Want(t.Do(q), "the answer as to a right offer without a token to "+name, Is(strangers.Status))
	}
}
