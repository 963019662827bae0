package gateway_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/auth"
)

// allowedBy says what each token of grantOf stands for: any of the grants is
// enough, in the room or, where rooms is "*", only for all rooms.
var allowedBy = map[string]struct {
	rooms  auth.Pattern
	grants []auth.Grant
}{
	"publish-key":   {"demo", []auth.Grant{auth.Publish}},
	"watch-key-1":   {"demo", []auth.Grant{auth.Subscribe}},
	"listen-key-1":  {"demo", []auth.Grant{auth.Subscribe, auth.Publish, auth.Moderate, auth.Admin}},
	"record-key-1":  {"demo", []auth.Grant{auth.Record}},
	"moderate-key":  {"demo", []auth.Grant{auth.Moderate}},
	"admin-key-1":   {"demo", []auth.Grant{auth.Admin}},
	"all-admin-key": {"*", []auth.Grant{auth.Admin}},
}

// moreGrants are those that are enough on a route besides; what they allow there
// is less.
var moreGrants = map[string]auth.Grant{
	"PATCH /v1/rooms/:room": auth.Moderate, // the lock and the program
}

var allGrants = []auth.Grant{auth.Publish, auth.Subscribe, auth.Record, auth.Moderate, auth.Admin}

// manyRooms are routes that answer whoever may do something in any room.
func manyRooms(route string) bool {
	return strings.HasSuffix(route, " /v1/rooms") || strings.Contains(route, " /v1/revocations")
}

// expectation is what a route answers to a token.
type expectation struct {
	name, token, problem string // problem "": not refused for who asks
}

// TestRouteTable tries every route of the router with every kind of JWT. Who adds
// a route says in grantOf, and here in allowedBy, who may use it.
func TestRouteTable(t *testing.T) {
	t.Parallel()
	const batch = 15 // routes; an address may fail so often
	var routes []string
	n := start(t, withKeys(t))
	for _, route := range n.Routes() {
		if !strings.HasPrefix(route, http.MethodOptions) && grantOf[route] != "" {
			routes = append(routes, route)
		}
	}
	for some := range slices.Chunk(routes, batch) {
		n := start(t, withKeys(t))
		revoked := may("eve", "*", allGrants...)
		if resp := n.ask(t, "POST", "/v1/revocations", "all-admin-key", `{"identity":"eve"}`); resp.StatusCode != http.StatusCreated {
			t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
		}
		revoked.Issued = time.Now().Add(-time.Minute)
		over := mint(t, revoked)
		for _, route := range some {
			need, known := allowedBy[grantOf[route]]
			if !known {
				t.Errorf("%s: say in allowedBy what %s stands for", route, grantOf[route])
				continue
			}
			table := append(timely(t, need.rooms), expectation{"a revoked one", over, "token-revoked"})
			if !manyRooms(route) {
				table = append(table, expectation{"another room", mint(t, may("ann", "other", allGrants...)), "insufficient-scope"})
			}
			for _, grant := range allGrants {
				want := expectation{"the grant " + string(grant), mint(t, may("ann", string(need.rooms), grant)), "insufficient-scope"}
				if slices.Contains(need.grants, grant) || moreGrants[route] == grant {
					want.problem = ""
				}
				table = append(table, want)
			}
			for _, want := range table {
				n.expect(t, route, want)
			}
		}
	}
}

// timely are tokens that would allow everything, but not now.
func timely(t *testing.T, rooms auth.Pattern) []expectation {
	t.Helper()
	all := func(changes ...any) string {
		return sign(t, claimsFor("admin", append([]any{"rooms", []auth.Pattern{rooms}, "can", allGrants}, changes...)...))
	}
	return []expectation{
		{"none", "", "unauthorized"},
		{"a malformed one", "a.b.c", "invalid-token"},
		{"an unknown one", "wrong-token", "invalid-token"},
		{"an expired one", all("iat", time.Now().Add(-time.Hour).Unix(), "exp", time.Now().Add(-time.Second).Unix()), "token-expired"},
		{"one of later", all("nbf", time.Now().Add(time.Hour).Unix()), "token-not-yet-valid"},
	}
}

var parameter = regexp.MustCompile(`:\w+`)

// expect sends a request whose body nobody would take.
func (n node) expect(t *testing.T, route string, want expectation) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer(":room", "demo", ":publication", "main").Replace(path)
	if want.problem == "" && strings.HasSuffix(path, "/events") {
		method = http.MethodHead // the stream has no end
	}
	resp := n.do(t, method, parameter.ReplaceAllString(path, "none"), append(bearerOf(want.token), "Content-Type", "text/plain"), "x")
	status := map[string]int{"": 0, "insufficient-scope": http.StatusForbidden}[want.problem]
	if want.problem != "" && status == 0 {
		status = http.StatusUnauthorized
	}
	switch refused := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden; {
	case want.problem == "" && refused, resp.StatusCode == http.StatusTooManyRequests:
		t.Errorf("%s with %s: got %d %s, want it to be let in", route, want.name, resp.StatusCode, resp.Body)
	case want.problem != "" && resp.StatusCode != status:
		t.Errorf("%s with %s: got %d %s, want %d", route, want.name, resp.StatusCode, resp.Body, status)
	case want.problem != "" && method != http.MethodHead && !strings.Contains(resp.Body, `"/problems/`+want.problem+`"`):
		t.Errorf("%s with %s: got %s, want %s", route, want.name, resp.Body, want.problem)
	}
}

// TestSessionRouteTable: a session URL needs no token, and takes no wrong one.
func TestSessionRouteTable(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	session, _ := n.post(t, "/whip/demo", mint(t, may("ann", "demo", auth.Publish)), offer(t, webrtc.RTPTransceiverDirectionSendonly))
	table := append(timely(t, "demo")[1:],
		expectation{"another room", mint(t, may("ann", "other", allGrants...)), "insufficient-scope"},
		expectation{"another grant", mint(t, may("ann", "demo", auth.Subscribe, auth.Moderate)), "insufficient-scope"})
	tried := 0
	for _, route := range n.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.HasPrefix(path, "/s/:session") || method == http.MethodOptions {
			continue
		}
		tried++
		at := method + " " + strings.Replace(path, "/s/:session", session, 1)
		for _, want := range table {
			n.expect(t, at, want)
		}
		switch {
		case strings.HasSuffix(path, "/refresh"):
			n.expect(t, at, expectation{"none", "", "unauthorized"})
		case method != http.MethodDelete || path != "/s/:session":
			n.expect(t, at, expectation{"none", "", ""})
		}
	}
	if tried < 10 {
		t.Errorf("only %d routes of sessions were tried", tried)
	}
	if resp := n.do(t, "DELETE", session, nil, ""); resp.StatusCode != http.StatusOK || n.causeOf(t, session) != "deleted" {
		t.Errorf("the session did not live to its end: got %d, cause %q", resp.StatusCode, n.causeOf(t, session))
	}
}

// TestNoRouteTellsOfRooms compares what strangers are told, on every route, of a
// room that is there with what they are told of one that is not.
func TestNoRouteTellsOfRooms(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	for _, body := range []string{`{"name":"house-1","password":"correct horse","wait":true}`, `{"name":"demo"}`} {
		if resp := n.ask(t, "POST", "/v1/rooms", "all-admin-key", body); resp.StatusCode != http.StatusCreated {
			t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
		}
	}
	tokens := map[string]string{"": "", "for another room": mint(t, may("ann", "demo", allGrants...)), "without grants": mint(t, may("ann", "house-1"))}
	tried := 0
	for _, route := range n.Routes() {
		method, pattern, _ := strings.Cut(route, " ")
		if !strings.Contains(pattern, ":room") {
			continue
		}
		tried++
		for name, token := range tokens {
			said := func(room string) (answer, string) {
				path := parameter.ReplaceAllString(strings.Replace(pattern, ":room", room, 1), "none")
				body := ""
				if strings.HasSuffix(pattern, "/join") {
					body = `{"identity":"ann","password":"wrong horse"}`
				}
				resp := n.ask(t, method, path, token, body)
				for _, own := range []string{"X-Request-Id", "Date", "Retry-After"} {
					resp.Header.Del(own)
				}
				resp.Body = strings.ReplaceAll(resp.Body, room, "ROOM")
				return resp, regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(resp.Body, "")
			}
			there, text := said("house-1")
			absent, other := said("house-2")
			if there.StatusCode != absent.StatusCode || text != other || !maps.EqualFunc(there.Header, absent.Header, slices.Equal) {
				t.Errorf("%s with a token %s: got %d %v %s for a room, and %d %v %s for none", route, name,
					there.StatusCode, there.Header, text, absent.StatusCode, absent.Header, other)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d routes were tried", tried)
	}
}
