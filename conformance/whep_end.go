package conformance

import (
	"net/http"
	"net/url"
	"path"
	"slices"
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
					t.Want(r, "PATCH afterwards: 404 or 410", Is(http.StatusNotFound, http.StatusGone))
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
				t.WantChoice(t.Delete(s), http.StatusOK, "again: 200 or 404", func(c int) bool { return Success(c) || unknown(c) })
				r := t.Delete(&Session{URL: stranger(s.URL)})
				t.WantChoice(r, http.StatusNotFound, "a session that never was: 404", unknown)
				r = t.Delete(&Session{URL: s.URL[:strings.LastIndexByte(s.URL, '/')+1] + "x"})
				t.WantChoice(r, http.StatusNotFound, "an id of another form: 404", unknown)
			},
		},
		{
			ID: "WHEP-DEL-07", Section: "WHEP 4.4", Level: Must, Stage: Live,
			What: "Pages of other origins may open, change and end sessions, and are told before without a token",
			Run:  whepCORS,
		},
		{
			ID: "WHEP-LB-01", Section: "WHEP 4.7", Level: MustNot, Stage: Live,
			What: "No request is redirected with 301 or 302",
			Run:  whepNoPermanentRedirect,
		},
	}
}

// stranger is the URL of a session that never was: of the same form as another,
// with the last characters turned within their kind.
func stranger(session string) string {
	b := []byte(session)
	for i, turned := len(b)-1, 0; i > 0 && b[i] != '/' && turned < 8; i-- {
		for _, kind := range []string{"0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ"} {
			if n := strings.IndexByte(kind, b[i]); n >= 0 {
				b[i] = kind[(n+1)%len(kind)]
				turned++
				break
			}
		}
	}
	return string(b)
}

// preflight makes a request for options the one that browsers send by themselves.
func preflight(method, fields string) func(*Request) {
	return func(r *Request) {
		r.Anonymous = true
		*r = r.With("Origin", "https://player.example").
			With("Access-Control-Request-Method", method).With("Access-Control-Request-Headers", fields)
	}
}

func whepCORS(t *T) {
	s := t.watch(PlayOffer(), header("Origin", "https://player.example"))
	open := t.options(t.Room.WHEP, preflight(http.MethodPost, "authorization,content-type"))
	for name, r := range map[string]*Response{
		"POST":   open,
		"PATCH":  t.options(s.URL, preflight(http.MethodPatch, "authorization,content-type,if-match")),
		"DELETE": t.options(s.URL, preflight(http.MethodDelete, "authorization")),
	} {
		if !t.Want(r, "preflight of "+name+": 2xx", Success) {
			continue
		}
		t.wantAllowed(r)
		methods := fieldList(r.Header, "Access-Control-Allow-Methods")
		simple := name == http.MethodPost // by the standard of browsers it needs no leave
		if !simple && !slices.Contains(methods, "*") && !slices.Contains(methods, strings.ToLower(name)) {
			t.Errorf("expected Access-Control-Allow-Methods to list %s, got %q", name, methods)
		}
		// A star does not stand for Authorization.
		t.wantListed(r, "Access-Control-Allow-Headers", "Authorization")
	}
	t.wantAllowed(s.Created)
	t.wantListed(s.Created, "Access-Control-Expose-Headers", "Location")
	if s.ETag != "" {
		t.wantListed(s.Created, "Access-Control-Expose-Headers", "ETag")
	}
	refused := t.Do(Request{Method: http.MethodPost, URL: t.Room.WHEP, Type: "text/plain", Body: "x"}.With("Origin", "https://player.example"))
	t.wantAllowed(refused)
	if t.Strict() {
		t.Want(open, "200", Is(http.StatusOK))
		t.wantListed(open, "Accept-Post", typeSDP)
	}
}

// wantAllowed wants a response that pages of other origins may read.
func (t *T) wantAllowed(r *Response) {
	if got := r.Header.Get("Access-Control-Allow-Origin"); got != "*" && got != "https://player.example" {
		t.Errorf("%v: expected Access-Control-Allow-Origin, got %q", r, got)
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
