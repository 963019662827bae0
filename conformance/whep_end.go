package conformance

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// whepEndChecks are those of the end of a viewer's session and of what browsers
// ask before requests.
func whepEndChecks() []Check {
	return []Check{
		{
			ID: "WHEP-DEL-01", Section: "WHEP 4.4", Level: Must, Stage: Live,
			What: "DELETE ends the session",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				t.WantChoice(t.Delete(s), http.StatusOK, "2xx", Success)
				r := t.Patch(s, TrickleOf(s.Offer), "*")
				if !unsupported(r) { // else of living sessions, too
					t.Want(r, "404 or 410 to PATCH of a session that is over", Is(http.StatusNotFound, http.StatusGone))
				}
			},
		},
		{
			ID: "WHEP-DEL-02", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "If-Match on DELETE is not looked at",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				r := t.Do(Request{Method: http.MethodDelete, URL: s.URL}.With("If-Match", `"nope"`))
				if r.Status == http.StatusMethodNotAllowed {
					t.Skipf("the server has no DELETE: %v", r)
				}
				t.WantChoice(r, http.StatusOK, "2xx", Success)
			},
		},
		{
			ID: "WHEP-DEL-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "DELETE may be said twice, and is 404 for sessions that never were",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				unknown := Is(http.StatusNotFound, http.StatusGone)
				t.WantChoice(t.Delete(s), http.StatusOK, "2xx", Success)
				t.WantChoice(t.Delete(s), http.StatusOK, "200 or 404 to a second DELETE", func(c int) bool { return Success(c) || unknown(c) })
				r := t.Delete(&Session{URL: guess(s.URL)})
				t.WantChoice(r, http.StatusNotFound, "404 to a session that never was", unknown)
				r = t.Delete(&Session{URL: s.URL[:strings.LastIndexByte(s.URL, '/')+1] + "x"})
				t.WantChoice(r, http.StatusNotFound, "404 to an id of another form", unknown)
			},
		},
		{
			ID: "WHEP-DEL-07", Section: "WHEP 4.4", Level: Must, Stage: Live,
			What: "pages of other origins may open, change and end sessions, and are told before without a token",
			Run:  whepCORS,
		},
		{
			ID: "WHEP-LB-01", Section: "WHEP 4.7", Level: MustNot, Stage: Live,
			What: "no request is redirected with 301 or 302",
			Run:  whepNoPermanentRedirect,
		},
	}
}

func whepCORS(t *T) {
	s := t.watch(PlayOffer(), header("Origin", origin))
	open := t.preflight(t.Room.WHEP, http.MethodPost, "authorization,content-type", origin)
	t.wantPreflight(open, http.MethodPost, "content-type")
	if !unsupported(t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))) {
		t.wantPreflight(t.preflight(s.URL, http.MethodPatch, "authorization,content-type,if-match", origin), http.MethodPatch, "content-type", "if-match")
	}
	t.wantPreflight(t.preflight(s.URL, http.MethodDelete, "authorization", origin), http.MethodDelete)
	t.wantReadable(s.Created, origin)
	refused := t.ask(t.Room.WHEP, "x", typed("text/plain"), header("Origin", origin))
	t.wantReadable(refused, origin)
	if t.Strict() {
		t.wantListed(s.Created, "Access-Control-Expose-Headers", "Location", "ETag")
		t.Want(open, "200", Is(http.StatusOK))
		t.wantListed(open, "Accept-Post", typeSDP)
	}
}

func whepNoPermanentRedirect(t *T) {
	s := t.watch(PlayOffer())
	u, err := url.Parse(t.Room.WHEP)
	if err != nil {
		t.Fatalf("expected a URL, got %q", t.Room.WHEP)
	}
	slash, upper, twice := *u, *u, *u
	slash.Path += "/"
	upper.Path = path.Join(path.Dir(path.Dir(u.Path)), strings.ToUpper(path.Base(path.Dir(u.Path))), path.Base(u.Path))
	twice.Path = strings.Replace(u.Path, "/", "//", 1)
	for _, at := range []string{u.String(), slash.String(), upper.String(), twice.String()} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodOptions} {
			t.wantNoRedirect(method, at)
		}
	}
	for _, at := range []string{s.URL, s.URL + "/"} {
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
			t.wantNoRedirect(method, at)
		}
	}
}

func (t *T) wantNoRedirect(method, at string) {
	r := Request{Method: method, URL: at}
	switch method {
	case http.MethodPost:
		r.Type, r.Body = typeSDP, PlayOffer()
	case http.MethodPatch:
		r.Type, r.Body = typeFragment, TrickleOf(PlayOffer())
	}
	resp := t.Do(r)
	if resp.Status == http.StatusMovedPermanently || resp.Status == http.StatusFound {
		t.Errorf("expected no 301 or 302, got %v at %s", resp, at)
	}
	if session := resp.Location(); resp.Status == http.StatusCreated && session != "" {
		t.Do(Request{Method: http.MethodDelete, URL: session})
	}
}
