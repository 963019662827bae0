package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// problem is the body of an error.
type problem struct {
	Type, Title, Detail string
	Status              int
	RequestID           string `json:"request_id"`
}

// checkProblem holds every error answer to RFC 9457 and to our own promises.
func checkProblem(t *testing.T, r *http.Request, resp *http.Response, body []byte) problem {
	t.Helper()
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" && !strings.HasPrefix(r.URL.Path, "/readyz") {
		t.Errorf("%s %s: %d with content type %q", r.Method, r.URL.Path, resp.StatusCode, got)
	}
	var p problem
	if r.Method == http.MethodHead {
		if len(body) != 0 {
			t.Errorf("HEAD %s: %d with a body", r.URL.Path, resp.StatusCode)
		}
		return p
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	if p.Status != resp.StatusCode || !slices.Contains(gateway.ProblemNames(), strings.TrimPrefix(p.Type, "/problems/")) || p.Title == "" || p.Detail == "" {
		t.Errorf("%s %s: %d with the problem %+v", r.Method, r.URL.Path, resp.StatusCode, p)
	}
	if p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("%s %s: request id %q in the body, %q in the header", r.Method, r.URL.Path, p.RequestID, resp.Header.Get("X-Request-Id"))
	}
	for _, leak := range []string{"session:", "sfu:", "gateway:", "goroutine", ".go:"} {
		if strings.Contains(p.Detail, leak) {
			t.Errorf("%s %s: the detail %q tells internals", r.Method, r.URL.Path, p.Detail)
		}
	}
	return p
}

func TestAnswers(t *testing.T) {
	n := start(t)
	sdp := []string{"Content-Type", "application/sdp"}
	long := strings.Repeat("r", 65)
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		body               string
		status             int
		problem            string
		header, value      string // to be found in the answer
	}{
		{name: "WHIP probe", method: "GET", path: "/whip/demo", status: 204, header: "Accept-Post", value: "application/sdp"},
		{name: "WHIP probe of a publication", method: "HEAD", path: "/whip/demo/cam-2", status: 204},
		{name: "WHEP probe", method: "GET", path: "/whep/demo", status: 200, header: "Content-Type", value: "application/sdp"},
		{name: "WHEP probe by HEAD", method: "HEAD", path: "/whep/other", status: 200, header: "Content-Type", value: "application/sdp"},
		{name: "longest name", method: "GET", path: "/whip/" + long[:64], status: 204},

		{name: "nothing there", method: "GET", path: "/nothing", status: 404, problem: "not-found"},
		{name: "slash at the end", method: "POST", path: "/whip/demo/", headers: sdp, status: 404, problem: "not-found"},
		{name: "two slashes", method: "POST", path: "/whip//main", headers: sdp, status: 404, problem: "not-found"},
		{name: "upper case", method: "POST", path: "/WHIP/demo", headers: sdp, status: 404, problem: "not-found"},
		{name: "no session", method: "OPTIONS", path: "/s//status", status: 404, problem: "not-found"},
		{name: "no file", method: "OPTIONS", path: "/assets/", status: 404, problem: "not-found"},
		{name: "escaped slash", method: "POST", path: "/whip/a%2Fb", headers: sdp, status: 404, problem: "not-found"},
		{name: "escaped slash in a room", method: "GET", path: "/v1/rooms/a%2fsessions", status: 404, problem: "not-found"},
		{name: "leading dot", method: "GET", path: "/whep/.hidden", status: 404, problem: "not-found"},
		{name: "space", method: "GET", path: "/whep/a%20b", status: 404, problem: "not-found"},
		{name: "name too long", method: "GET", path: "/whep/" + long, status: 404, problem: "not-found"},
		{name: "bad publication", method: "POST", path: "/whip/demo/a~b", headers: sdp, status: 404, problem: "not-found"},
		{name: "too deep", method: "POST", path: "/whip/a/b/c", headers: sdp, status: 404, problem: "not-found"},
		{name: "bad page", method: "GET", path: "/play/a~b", status: 404, problem: "not-found"},
		{name: "HEAD of nothing", method: "HEAD", path: "/nothing", status: 404},

		{name: "PUT on an endpoint", method: "PUT", path: "/whip/demo", status: 405, problem: "method-not-allowed", header: "Allow", value: "GET, HEAD, OPTIONS, POST"},
		{name: "DELETE on an endpoint", method: "DELETE", path: "/whep/demo", status: 405, problem: "method-not-allowed", header: "Allow", value: "GET, HEAD, OPTIONS, POST"},
		{name: "POST on a session", method: "POST", path: "/s/n.x", status: 405, problem: "method-not-allowed", header: "Allow", value: "DELETE, GET, HEAD, OPTIONS, PATCH"},
		{name: "a method of nobody", method: "BREW", path: "/whip/demo", status: 405, problem: "method-not-allowed"},

		{name: "WHIP with the wrong type", method: "POST", path: "/whip/demo", headers: []string{"Content-Type", "text/plain"}, body: "v=0", status: 415, problem: "media-type", header: "Accept-Post", value: "application/sdp"},
		{name: "WHIP without a type", method: "POST", path: "/whip/demo", body: "v=0", status: 415, problem: "media-type"},
		{name: "WHIP with no SDP", method: "POST", path: "/whip/demo", headers: sdp, body: "hello", status: 400, problem: "sdp-malformed"},
		{name: "WHIP with nothing", method: "POST", path: "/whip/demo", headers: sdp, status: 400, problem: "sdp-malformed"},
		{name: "WHEP with no SDP", method: "POST", path: "/whep/demo", headers: sdp, body: "hello", status: 422, problem: "sdp-malformed"},
		{name: "WHIP with too much", method: "POST", path: "/whip/demo", headers: sdp, body: strings.Repeat("a", 2<<20), status: 413, problem: "too-large"},

		{name: "no session", method: "GET", path: "/s/n.none", status: 404, problem: "session-not-found"},
		{name: "no session to delete", method: "DELETE", path: "/s/n.none", status: 404, problem: "session-not-found"},
		{name: "no session to patch", method: "PATCH", path: "/s/n.none", headers: []string{"Content-Type", "application/trickle-ice-sdpfrag", "If-Match", "*"}, body: "a=ice-ufrag:x", status: 404, problem: "session-not-found"},

		{name: "health", method: "GET", path: "/healthz", status: 200},
		{name: "readiness", method: "GET", path: "/readyz", status: 200},
		{name: "the document", method: "GET", path: "/openapi.yaml", status: 200, header: "Content-Type", value: "application/yaml"},
		{name: "the list of rooms", method: "GET", path: "/", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
		{name: "the player", method: "GET", path: "/play/demo", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
		{name: "the player without a room", method: "GET", path: "/play", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
		{name: "the publisher without a room", method: "GET", path: "/publish", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
		{name: "the call without a room", method: "GET", path: "/meet", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
		{name: "no page of that name", method: "GET", path: "/watch", status: 404, problem: "not-found"},
		{name: "the publisher", method: "HEAD", path: "/publish/demo", status: 200},
		{name: "the call", method: "GET", path: "/meet/demo", status: 200, header: "Content-Type", value: "text/html; charset=utf-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := n.do(t, tc.method, tc.path, tc.headers, tc.body)
			body := resp.Body
			if resp.StatusCode != tc.status {
				t.Fatalf("got %d %s, want %d", resp.StatusCode, body, tc.status)
			}
			if tc.problem != "" && !strings.Contains(body, `"/problems/`+tc.problem+`"`) {
				t.Errorf("got %s, want the problem %s", body, tc.problem)
			}
			if tc.header != "" && resp.Header.Get(tc.header) != tc.value {
				t.Errorf("%s is %q, want %q", tc.header, resp.Header.Get(tc.header), tc.value)
			}
			if resp.StatusCode == http.StatusNoContent && body != "" {
				t.Errorf("204 with the body %q", body)
			}
		})
	}
	if rooms := n.Rooms().List(); len(rooms) != 0 {
		t.Errorf("refused requests left rooms: %v", rooms)
	}
	if sessions := n.Sessions().List(); len(sessions) != 0 {
		t.Errorf("refused requests left %d sessions", len(sessions))
	}
}

// TestProbesTellNothing compares the probes of rooms that are and are not.
func TestProbesTellNothing(t *testing.T) {
	n := start(t, withTokens(t))
	if _, err := n.Rooms().Create("there", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"/whip/", "/whep/"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			there, absent := n.do(t, method, prefix+"there", nil, ""), n.do(t, method, prefix+"absent", nil, "")
			for _, h := range []http.Header{there.Header, absent.Header} {
				h.Del("Date")
				h.Del("X-Request-Id")
			}
			a, err := json.Marshal(there.Header)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(absent.Header)
			if err != nil {
				t.Fatal(err)
			}
			if there.StatusCode != absent.StatusCode || string(a) != string(b) {
				t.Errorf("%s %s tells whether a room exists: %d %s, %d %s", method, prefix, there.StatusCode, a, absent.StatusCode, b)
			}
		}
	}
}

// TestPreflight asks as a browser does: without a token, on every route.
func TestPreflight(t *testing.T) {
	n := start(t, withTokens(t))
	for _, path := range []string{
		"/whip/demo", "/whip/demo/main", "/whep/demo", "/whep/demo/main", "/s/n.none",
		"/v1/rooms", "/v1/rooms/demo", "/v1/rooms/demo/sessions", "/v1/rooms/demo/sessions/n.none", "/v1/rooms/demo/publications",
	} {
		for _, origin := range []string{"https://example.com", "null"} {
			resp := n.do(t, "OPTIONS", path, []string{
				"Origin", origin, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "authorization,content-type,if-match",
			}, "")
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: got %d, want 200", path, resp.StatusCode)
			}
			if resp.Header.Get("Link") != "" {
				t.Errorf("%s: Link on a preflight", path)
			}
			allowed := strings.Split(resp.Header.Get("Access-Control-Allow-Headers"), ", ")
			for _, name := range []string{"Authorization", "Content-Type", "If-Match", "If-None-Match", "ETag", "Link"} {
				if !slices.Contains(allowed, name) {
					t.Errorf("%s: %s may not be sent", path, name)
				}
			}
			if got := resp.Header.Get("Access-Control-Allow-Methods"); got != "OPTIONS, GET, HEAD, POST, PATCH, DELETE" {
				t.Errorf("%s: the methods are %q", path, got)
			}
			exposed := strings.Split(resp.Header.Get("Access-Control-Expose-Headers"), ", ")
			for _, name := range []string{"Location", "ETag", "Link", "Accept-Patch", "Accept-Post", "Retry-After", "WWW-Authenticate", "Access-Control-Allow-Methods"} {
				if !slices.Contains(exposed, name) {
					t.Errorf("%s: %s is not exposed", path, name)
				}
			}
		}
	}
	if got := n.do(t, "OPTIONS", "/whip/demo", nil, "").Header.Get("Accept-Post"); got != "application/sdp" {
		t.Errorf("Accept-Post is %q", got)
	}
}
