package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
)

const tokenFile = `
publish-key    demo     publish
watch-key-1    demo     subscribe
listen-key-1   demo     subscribe
record-key-1   demo     record
other-room-key other    publish,subscribe,moderate,admin
moderate-key   demo     moderate
admin-key-1    demo     admin
all-admin-key  *        admin
`

// withTokens configures authentication with tokenFile.
func withTokens(t *testing.T) func(*gateway.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(tokenFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *gateway.Config) { c.AuthTokenFile, c.Open = path, false }
}

// grantOf says which token each route of the router needs. A route that is not
// here fails the test: nobody can forget to guard a new one.
var grantOf = map[string]string{
	"POST /whip/:room":                         "publish-key",
	"POST /whip/:room/:publication":            "publish-key",
	"POST /whep/:room":                         "watch-key-1",
	"POST /whep/:room/:publication":            "watch-key-1",
	"GET /v1/rooms/:room/events":               "listen-key-1",
	"HEAD /v1/rooms/:room/events":              "listen-key-1",
	"GET /v1/rooms/:room/messages":             "listen-key-1",
	"HEAD /v1/rooms/:room/messages":            "listen-key-1",
	"POST /v1/rooms/:room/messages":            "listen-key-1",
	"GET /v1/revocations":                      "admin-key-1",
	"HEAD /v1/revocations":                     "admin-key-1",
	"POST /v1/revocations":                     "all-admin-key",
	"DELETE /v1/revocations/:id":               "admin-key-1",
	"GET /v1/rooms":                            "admin-key-1",
	"HEAD /v1/rooms":                           "admin-key-1",
	"POST /v1/rooms":                           "all-admin-key",
	"GET /v1/rooms/:room":                      "admin-key-1",
	"HEAD /v1/rooms/:room":                     "admin-key-1",
	"PATCH /v1/rooms/:room":                    "admin-key-1",
	"DELETE /v1/rooms/:room":                   "admin-key-1",
	"GET /v1/rooms/:room/sessions":             "admin-key-1",
	"HEAD /v1/rooms/:room/sessions":            "admin-key-1",
	"DELETE /v1/rooms/:room/sessions/:session": "moderate-key",
	"GET /v1/rooms/:room/publications":         "admin-key-1",
	"HEAD /v1/rooms/:room/publications":        "admin-key-1",
	"GET /s/:session/events":                   "",
	"HEAD /s/:session/events":                  "",
	"POST /s/:session/events":                  "",
	"GET /s/:session/events/:stream":           "",
	"HEAD /s/:session/events/:stream":          "",
	"DELETE /s/:session/events/:stream":        "",
	"POST /s/:session/layer":                   "",
	"DELETE /s/:session/layer":                 "",
	"GET /s/:session":                          "", // a capability: see TestSessionURL
	"POST /s/:session/refresh":                 "", // see TestRefresh
	"GET /s/:session/status":                   "",
	"HEAD /s/:session/status":                  "",
	"HEAD /s/:session":                         "",
	"PATCH /s/:session":                        "",
	"DELETE /s/:session":                       "",
	"GET /whip/:room":                          "", // tells nothing: see TestProbesTellNothing
	"HEAD /whip/:room":                         "",
	"GET /whip/:room/:publication":             "",
	"HEAD /whip/:room/:publication":            "",
	"GET /whep/:room":                          "",
	"HEAD /whep/:room":                         "",
	"GET /whep/:room/:publication":             "",
	"HEAD /whep/:room/:publication":            "",
	"GET /healthz":                             "", // the same for everybody
	"HEAD /healthz":                            "",
	"GET /readyz":                              "",
	"HEAD /readyz":                             "",
	"GET /openapi.yaml":                        "",
	"HEAD /openapi.yaml":                       "",
	"GET /problems/:name":                      "",
	"HEAD /problems/:name":                     "",
	"GET /":                                    "",
	"HEAD /":                                   "",
	"GET /play":                                "",
	"HEAD /play":                               "",
	"GET /publish":                             "",
	"HEAD /publish":                            "",
	"GET /meet":                                "",
	"HEAD /meet":                               "",
	"GET /play/:room":                          "",
	"HEAD /play/:room":                         "",
	"GET /publish/:room":                       "",
	"HEAD /publish/:room":                      "",
	"GET /meet/:room":                          "",
	"HEAD /meet/:room":                         "",
	"GET /assets/*path":                        "",
	"HEAD /assets/*path":                       "",

	"GET /v1/rooms/:room/sessions/:session":           "admin-key-1",
	"HEAD /v1/rooms/:room/sessions/:session":          "admin-key-1",
	"GET /v1/rooms/:room/publications/:publication":   "admin-key-1",
	"HEAD /v1/rooms/:room/publications/:publication":  "admin-key-1",
	"PATCH /v1/rooms/:room/publications/:publication": "moderate-key",
	"POST /v1/rooms/:room/join":                       "", // see TestJoinRules

	"GET /v1/webhooks":                      "all-admin-key",
	"HEAD /v1/webhooks":                     "all-admin-key",
	"GET /v1/webhooks/dead":                 "all-admin-key",
	"HEAD /v1/webhooks/dead":                "all-admin-key",
	"POST /v1/webhooks/dead/:letter/replay": "all-admin-key",
	"POST /v1/webhooks/replay":              "all-admin-key",
	"POST /v1/webhooks/test":                "all-admin-key",
	"GET /admin":                            "", // the page asks for a token itself
	"HEAD /admin":                           "",
}

// TestEveryRouteIsGuarded tries every route with every kind of bearer.
func TestEveryRouteIsGuarded(t *testing.T) {
	n, wrong := start(t, withTokens(t)), 0
	for _, route := range n.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if wrong > 250 { // an address may get 300 wrong at once
			n, wrong = start(t, withTokens(t)), 0
		}
		if method == http.MethodOptions {
			continue // see TestPreflight
		}
		need, known := grantOf[route]
		if !known {
			t.Errorf("%s: say in grantOf who may use it", route)
			continue
		}
		if need == "" {
			continue
		}
		path = strings.NewReplacer(":room", "demo", ":publication", "main", ":session", "n.none").Replace(path)
		for _, tc := range []struct {
			name, header      string
			status            int
			problem, wantAuth string
		}{
			{"nothing", "", 401, "unauthorized", `Bearer realm="sluice"`},
			{"undefined", "Bearer undefined", 401, "unauthorized", `Bearer realm="sluice"`},
			{"null", "Bearer null", 401, "unauthorized", `Bearer realm="sluice"`},
			{"an empty token", "Bearer ", 401, "unauthorized", `Bearer realm="sluice"`},
			{"Basic", "Basic YTpi", 401, "invalid-token", `Bearer realm="sluice", error="invalid_token"`},
			{"a wrong token", "Bearer wrong-token", 401, "invalid-token", `Bearer realm="sluice", error="invalid_token"`},
			{"other rooms' token", "Bearer other-room-key", 403, "insufficient-scope", `Bearer realm="sluice", error="insufficient_scope"`},
			{"other grants' token", "Bearer " + otherGrant(need), 403, "insufficient-scope", `Bearer realm="sluice", error="insufficient_scope"`},
		} {
			if manyRooms(route) && tc.name == "other rooms' token" {
				continue // it is a list of, and a way to make, rooms of its own
			}
			// A body that would be refused, too: the token comes first.
			wrong++
			resp := n.do(t, method, path, []string{"Authorization", tc.header, "Content-Type", "text/plain"}, strings.Repeat("x", 1<<20))
			body := resp.Body
			if resp.StatusCode != tc.status || method != "HEAD" && !strings.Contains(body, "/problems/"+tc.problem) {
				t.Errorf("%s with %s: got %d %s, want %d %s", route, tc.name, resp.StatusCode, body, tc.status, tc.problem)
			}
			if got := resp.Header.Get("WWW-Authenticate"); got != tc.wantAuth {
				t.Errorf("%s with %s: WWW-Authenticate is %q, want %q", route, tc.name, got, tc.wantAuth)
			}
		}
		if route == "GET /v1/rooms/:room/events" {
			method = http.MethodHead // the stream has no end
		}
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
			resp := n.do(t, method, path, []string{"Authorization", scheme + need}, "")
			if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
				t.Errorf("%s with %q and the right token: got %d", route, scheme, resp.StatusCode)
			}
		}
	}
}

// otherGrant is a token for the room demo that lacks the grant of need.
func otherGrant(need string) string {
	switch need {
	case "watch-key-1":
		return "publish-key" // publishing is not watching
	case "listen-key-1":
		return "record-key-1" // everybody else in a room may listen
	default:
		return "watch-key-1"
	}
}

func TestOpenNodeIgnoresAuthorization(t *testing.T) {
	n := start(t)
	for _, header := range []string{"Bearer anything", "Basic YTpi", "nonsense", "Bearer undefined"} {
		resp := n.do(t, "GET", "/v1/rooms", []string{"Authorization", header}, "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%q: got %d, want 200", header, resp.StatusCode)
		}
	}
}

func TestRoomsAreShownToTheirAdministrators(t *testing.T) {
	n := start(t, withTokens(t))
	for _, name := range []string{"demo", "other", "third"} {
		if resp := n.do(t, "POST", "/v1/rooms", []string{"Authorization", "Bearer all-admin-key", "Content-Type", "application/json"}, `{"name":"`+name+`"}`); resp.StatusCode != http.StatusCreated {
			t.Fatalf("%s: got %d", name, resp.StatusCode)
		}
	}
	for token, want := range map[string]int{"admin-key-1": 1, "other-room-key": 1, "all-admin-key": 3} {
		body := n.do(t, "GET", "/v1/rooms", []string{"Authorization", "Bearer " + token}, "").Body
		if got := strings.Count(body, `"name"`); got != want {
			t.Errorf("%s sees %d rooms, want %d: %s", token, got, want, body)
		}
	}
	resp := n.do(t, "POST", "/v1/rooms", []string{"Authorization", "Bearer admin-key-1", "Content-Type", "application/json"}, `{"name":"mine"}`)
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a room outside of the grant: got %d, want 403", resp.StatusCode)
	}
}

// TestExistenceIsNotRevealed compares what strangers are told of rooms that
// are and are not.
func TestExistenceIsNotRevealed(t *testing.T) {
	n := start(t, withTokens(t))
	if resp := n.do(t, "POST", "/v1/rooms", []string{"Authorization", "Bearer all-admin-key", "Content-Type", "application/json"}, `{"name":"third"}`); resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %d", resp.StatusCode)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		there := n.do(t, method, "/v1/rooms/third", []string{"Authorization", "Bearer admin-key-1"}, "")
		absent := n.do(t, method, "/v1/rooms/fourth", []string{"Authorization", "Bearer admin-key-1"}, "")
		if there.StatusCode != http.StatusForbidden || absent.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d for a room, %d for none, want 403 for both", method, there.StatusCode, absent.StatusCode)
		}
	}
}
