package conformance

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// groupsByHTTP are those that need HTTP alone.
var groupsByHTTP = []string{
	"WHIP-HTTP", "WHIP-POST", "WHIP-OFFER", "WHIP-ANS", "WHIP-LOC", "WHIP-ETAG", "WHIP-PATCH", "WHIP-TRK",
	"WHIP-RST", "WHIP-DEL", "WHIP-CORS", "WHIP-LINK", "WHIP-LB", "WHIP-AUTH", "WHIP-PROB", "WHIP-SIM", "WHIP-EXT",
}

// passing runs the checks by HTTP that wait for no timers against a handler, and
// returns the ids of those that pass.
func passing(t *testing.T, h http.HandlerFunc) []string {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	target := Target{WHIP: server.URL + "/whip/demo", Token: "token", Strict: true}
	for _, c := range Checks() {
		if selected(c.ID, groupsByHTTP) && !c.Patient && c.Stage == Idle {
			target.Only = append(target.Only, c.ID)
		}
	}
	report, err := Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range report.Results {
		if strings.Contains(r.Detail, "the check itself broke") {
			t.Errorf("%s: %s", r.ID, r.Detail)
		}
		if r.Result == Pass {
			list = append(list, r.ID)
		}
	}
	return list
}

// TestYesServer judges a server that agrees to everything and does nothing. What
// passes is what asks for no more than that.
func TestYesServer(t *testing.T) {
	got := passing(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/s/1")
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = w.Write([]byte("yes")) // to HEAD too: net/http leaves it out
	})
	want := []string{
		"WHIP-HTTP-03",
		// Offers that are to be taken.
		"WHIP-POST-01", "WHIP-POST-06", "WHIP-POST-11", "WHIP-POST-15", "WHIP-POST-17",
		"WHIP-OFFER-05", "WHIP-OFFER-06", "WHIP-OFFER-07", "WHIP-OFFER-11", "WHIP-OFFER-20", "WHIP-OFFER-25",
		"WHIP-LOC-03", "WHIP-RST-01", "WHIP-RST-12",
		// Preflights, which any success answers.
		"WHIP-CORS-03", "WHIP-CORS-09",
		// It never redirects, asks nobody for anything and has no extensions.
		"WHIP-LB-02", "WHIP-LB-04", "WHIP-LB-07", "WHIP-AUTH-08", "WHIP-EXT-02",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v to pass, want %v", got, want)
	}
}

// TestNoServer judges a server that refuses everything: nothing can be said for it.
func TestNoServer(t *testing.T) {
	got := passing(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	if len(got) > 0 {
		t.Errorf("got %v to pass, want none", got)
	}
}

// TestBoundless judges a server without bounds: the checks of the last stage must
// tell.
func TestBoundless(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			w.Header().Set("Location", "/s/"+randomText(16))
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(http.StatusCreated)
		case http.MethodPatch:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	for id, want := range map[string]Outcome{
		"WHIP-LB-09": Skip, "WHIP-LB-10": Skip, "WHIP-LB-12": Fail, "WHIP-PATCH-14": Fail, "WHIP-DEL-11": Fail,
	} {
		report, err := Run(t.Context(), Target{WHIP: server.URL + "/whip/demo", Only: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		if got := report.Results[0]; got.Result != want {
			t.Errorf("%s: got %s %q, want %s", id, got.Result, got.Detail, want)
		}
	}
}

// TestLayerFaults reads answers to offers of layers.
func TestLayerFaults(t *testing.T) {
	offered := []string{"h", "m", "l"}
	for name, tc := range map[string]struct {
		lines []string
		right bool
	}{
		"all":             {[]string{"a=rid:h recv", "a=rid:m recv", "a=rid:l recv", "a=simulcast:recv h;m;l"}, true},
		"some":            {[]string{"a=rid:h recv", "a=simulcast:recv h"}, true},
		"alternatives":    {[]string{"a=rid:h recv", "a=rid:m recv", "a=rid:l recv", "a=simulcast:recv h,m;~l"}, true},
		"renamed":         {[]string{"a=rid:x recv", "a=simulcast:recv x"}, false},
		"twice":           {[]string{"a=rid:h recv", "a=simulcast:recv h;h"}, false},
		"wrong direction": {[]string{"a=rid:h recv", "a=simulcast:send h"}, false},
		"rid of a sender": {[]string{"a=rid:h send", "a=simulcast:recv h"}, false},
		"no rid line":     {[]string{"a=rid:h recv", "a=simulcast:recv h;m"}, false},
		"rid not named":   {[]string{"a=rid:h recv", "a=rid:m recv", "a=simulcast:recv h"}, false},
		"two lines":       {[]string{"a=rid:h recv", "a=simulcast:recv h", "a=simulcast:recv h"}, false},
		"nothing":         {nil, false},
	} {
		if got := layerFaults(&section{lines: tc.lines}, offered); len(got) == 0 != tc.right {
			t.Errorf("%s: got %q, want it right: %v", name, got, tc.right)
		}
	}
}

// TestGuess keeps the form of a session URL and changes its secret.
func TestGuess(t *testing.T) {
	const at = "http://127.0.0.1:8080/s/n1.abcdefghijklmnopqrstuvwxyz"
	got := guess(at)
	if got == at || len(got) != len(at) || !strings.HasPrefix(got, at[:len(at)-16]) || strings.ContainsAny(got[len(at)-16:], "./") {
		t.Errorf("got %s for %s", got, at)
	}
	for range 200 { // short ones must not be hit by chance
		if got := guess("http://127.0.0.1/s/1"); got == "http://127.0.0.1/s/1" || !strings.HasPrefix(got, "http://127.0.0.1/s/") {
			t.Fatalf("got %s, want another session", got)
		}
	}
	if got := malformedSession(at); got != "http://127.0.0.1:8080/s/not%20a%20session~" {
		t.Errorf("got %s", got)
	}
}

// TestMistakesAreWrong wants each mistake to differ from a right request in one way
// and to have a name of its own.
func TestMistakesAreWrong(t *testing.T) {
	run := &T{Room: Room{WHIP: "http://127.0.0.1/whip/demo"}}
	s := &Session{URL: "http://127.0.0.1/s/n.abcdefghijklmnopqrstuvwxyz", ETag: `"1"`, Offer: PublishOffer()}
	names, problems := map[string]bool{}, map[string]bool{}
	for _, m := range mistakes() {
		if names[m.name] || problems[m.problem] {
			t.Errorf("%s, %s: there twice", m.name, m.problem)
		}
		names[m.name], problems[m.problem] = true, true
		if r := m.request(run, s); r.Method == http.MethodPost && r.Type == typeSDP && r.Body == PublishOffer() {
			t.Errorf("%s: nothing is wrong with it", m.name)
		}
	}
}

// TestLinkForms tells the forms of Link lines that simple clients can split.
func TestLinkForms(t *testing.T) {
	for line, want := range map[string]bool{
		`<stun:example.org:3478>; rel="ice-server"`: true,
		`<turn:example.org:3478?transport=udp>; rel="ice-server"; username="1:a"; credential="x="; credential-type="password"`: true,
		`<turn:example.org:3478>; rel="ice-server"; username="a\"b"; credential="x"`:                                           false,
		`<turn:example.org:3478>; rel="ice-server"; username="a,b"; credential="x"`:                                            false,
		`<turn:example.org:3478>; rel=ice-server`:                                                                              false,
		`<stun:a:1>; rel="ice-server", <stun:b:1>; rel="ice-server"`:                                                           false,
	} {
		if got := plainLink.MatchString(line); got != want {
			t.Errorf("%s: got %v, want %v", line, got, want)
		}
	}
	for uri, want := range map[string]bool{
		"stun:example.org": true, "turns:[::1]:5349?transport=tcp": true, "turn:192.0.2.1:3478?transport=udp": true,
		"turn://example.org": false, "turn:user@example.org": false, "http://example.org": false, "turn:a?transport=sctp": false,
	} {
		if got := iceURI.MatchString(uri); got != want {
			t.Errorf("%s: got %v, want %v", uri, got, want)
		}
	}
	if got := withoutSecrets(`<turn:a>; username="u"; credential="c"`); strings.Contains(got, `"u"`) || strings.Contains(got, `"c"`) {
		t.Errorf("got %s", got)
	}
}
