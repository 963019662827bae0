package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway"
)

// welcome is what the tests look at of the answer to a join.
type welcome struct {
	Token, Identity, Name, WHIP, Program, Events, Messages string
	Expires                                                time.Time
	WHEP                                                   []struct{ Publication, URL string }
	ICEServers                                             []struct {
		URLs                 []string
		Username, Credential string
	} `json:"ice_servers"`
}

// bearing are the headers of a JSON request with a token.
func bearing(token string) []string {
	if token == "" {
		return asJSON
	}
	return append([]string{"Authorization", "Bearer " + token}, asJSON...)
}

func (n node) create(t *testing.T, token, body string) {
	t.Helper()
	if a := n.do(t, "POST", "/v1/rooms", bearing(token), body); a.StatusCode != http.StatusCreated {
		t.Fatalf("make the room %s: got %d %s", body, a.StatusCode, a.Body)
	}
}

// join joins a room and must get in.
func (n node) join(t *testing.T, room, token, body string) welcome {
	t.Helper()
	a := n.do(t, "POST", "/v1/rooms/"+room+"/join", bearing(token), body)
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("join %s with %s: got %d %s", room, body, a.StatusCode, a.Body)
	}
	return decode[welcome](t, a)
}

// knock sends an offer of nothing: whoever may begin a session is told that it
// is none. It returns the problem.
func (n node) knock(t *testing.T, path, token string) string {
	t.Helper()
	headers := []string{"Content-Type", "application/sdp"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return problemName(t, n.do(t, "POST", path, headers, "v=0\r\n"))
}

func problemName(t *testing.T, a answer) string {
	t.Helper()
	if a.StatusCode < 400 {
		return ""
	}
	return strings.TrimPrefix(decode[problem](t, a).Type, "/problems/")
}

// TestJoinRules is the table of who may join, with and without authentication.
func TestJoinRules(t *testing.T) {
	const (
		members = `{"name":"members","members":["anna"]}`
		guests  = `{"name":"guests","members":["anna"],"password":"correct horse"}`
		plain   = `{"name":"plain"}`
		demo    = `{"name":"demo"}`
	)
	nodes := map[bool]node{true: start(t, withTokens(t)), false: start(t)}
	for configured, n := range nodes {
		admin := ""
		if configured {
			admin = "all-admin-key"
		}
		for _, body := range []string{members, guests, plain, demo} {
			n.create(t, admin, body)
		}
	}
	for _, tc := range []struct {
		configured bool
		room       string
		token      string
		body       string
		want       string // problem; "" none
	}{
		{true, "guests", "", `{"identity":"anna"}`, ""},
		{true, "guests", "", `{"identity":"anna","password":"wrong"}`, ""}, // a member is asked for none
		{true, "guests", "", `{"identity":"bob","password":"correct horse"}`, ""},
		{true, "guests", "", `{"identity":"bob","password":"Correct horse"}`, "join-refused"},
		{true, "guests", "", `{"identity":"bob"}`, "join-refused"},
		{true, "guests", "", `{"identity":"bob","password":""}`, "join-refused"},
		{true, "guests", "", `{"password":"correct horse"}`, "join-refused"},
		{true, "members", "", `{"identity":"anna"}`, ""},
		{true, "members", "", `{"identity":"Anna"}`, "join-refused"},
		{true, "members", "", `{"identity":"bob","password":"correct horse"}`, "join-refused"},
		{true, "plain", "", `{"identity":"bob"}`, "join-refused"},
		{true, "plain", "", `{"identity":"bob","password":"x"}`, "join-refused"},
		{true, "nothing", "", `{"identity":"bob"}`, "join-refused"},
		{true, "nothing", "", `{"identity":"bob","password":"x"}`, "join-refused"},
		{true, "demo", "watch-key-1", `{"identity":"bob"}`, ""},
		{true, "demo", "publish-key", `{"identity":"bob"}`, ""},
		{true, "demo", "publish-key", `{"identity":"bob","password":"wrong"}`, ""},
		{true, "demo", "publish-key", `{}`, ""},
		{true, "demo", "moderate-key", `{"identity":"bob"}`, "join-refused"},
		{true, "demo", "other-room-key", `{"identity":"bob"}`, "join-refused"},
		{true, "demo", "no-such-key", `{"identity":"bob"}`, "invalid-token"},

		{false, "guests", "", `{"identity":"anna"}`, ""},
		{false, "guests", "", `{"identity":"bob","password":"correct horse"}`, ""},
		{false, "guests", "", `{"identity":"bob","password":"wrong"}`, "join-refused"},
		{false, "guests", "dummy", `{"identity":"bob"}`, "join-refused"},
		{false, "members", "", `{"identity":"bob"}`, ""},
		{false, "plain", "dummy", `{"identity":"bob"}`, ""},
		{false, "nothing", "", `{"identity":"bob"}`, ""},
		{false, "plain", "", `{"identity":"bob","password":"superfluous"}`, ""},
		{false, "plain", "", `{}`, "field-invalid"},
	} {
		t.Run(fmt.Sprintf("%t %s %s %s", tc.configured, tc.room, tc.token, tc.body), func(t *testing.T) {
			n := nodes[tc.configured]
			a := n.do(t, "POST", "/v1/rooms/"+tc.room+"/join", bearing(tc.token), tc.body)
			if got := problemName(t, a); got != tc.want {
				t.Errorf("got %d %s, want %q", a.StatusCode, a.Body, tc.want)
			}
		})
	}
}

// TestJoinTellsNothing: whether a room exists cannot be told from how a join is
// refused.
func TestJoinTellsNothing(t *testing.T) {
	n := start(t, withTokens(t))
	n.create(t, "all-admin-key", `{"name":"there","password":"correct horse","members":["anna"],"locked":true}`)
	type refusal struct {
		status int
		problem
		headers string
	}
	seen := map[string]refusal{}
	for _, room := range []string{"there", "not-there"} {
		for _, body := range []string{`{"identity":"bob"}`, `{"identity":"bob","password":"wrong"}`, `{}`} {
			a := n.do(t, "POST", "/v1/rooms/"+room+"/join", asJSON, body)
			p := decode[problem](t, a)
			p.RequestID = ""
			var names []string
			for name := range a.Header {
				names = append(names, name)
			}
			got := refusal{a.StatusCode, p, fmt.Sprint(len(names))}
			if first, known := seen[body]; known && first != got {
				t.Errorf("%s: got %+v where there is no room, and %+v where there is one", body, got, first)
			}
			seen[body] = got
		}
	}
}

func TestJoinAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ice")
	if err := os.WriteFile(file, []byte("stun:stun.example.org:3478\nturn:turn.example.org secret=swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, func(c *gateway.Config) { c.ICEServersFile = file })
	n.create(t, "", `{"name":"demo","password":"correct horse"}`)
	got := n.join(t, "demo", "", `{"identity":"bob","name":"Bob","password":"correct horse"}`)
	base := n.URL()
	for name, pair := range map[string][2]string{
		"identity": {got.Identity, "bob"},
		"name":     {got.Name, "Bob"},
		"whip":     {got.WHIP, base + "/whip/demo/bob"},
		"program":  {got.Program, base + "/whep/demo"},
		"events":   {strings.Split(got.Events, "?")[0], base + "/v1/rooms/demo/events"},
		"messages": {got.Messages, base + "/v1/rooms/demo/messages"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
		}
	}
	if life := time.Until(got.Expires); life < 11*time.Hour || life > 12*time.Hour {
		t.Errorf("the token is good for %v, want 12 h", life)
	}
	if len(got.WHEP) != 0 {
		t.Errorf("on air: %+v, want nothing", got.WHEP)
	}
	servers := map[string]bool{}
	for _, s := range got.ICEServers {
		servers[s.URLs[0]] = s.Username != "" && s.Credential != ""
	}
	if login, known := servers["stun:stun.example.org:3478"]; !known || login {
		t.Errorf("got the ICE servers %+v", got.ICEServers)
	}
	if login := servers["turn:turn.example.org?transport=udp"]; !login {
		t.Errorf("got the ICE servers %+v, want a login for TURN", got.ICEServers)
	}
}

// TestPublicationsOfParticipants: several can be in a call, whatever they are
// called, and nobody becomes the program by being called main.
func TestPublicationsOfParticipants(t *testing.T) {
	n := start(t)
	seen := map[string]string{}
	for _, identity := range []string{"bob", "Bob", "main", "anna@example.org", "anna@example.com", ".dot", "a/b", "Łukasz", strings.Repeat("x", 65)} {
		first := n.join(t, "demo", "", fmt.Sprintf(`{"identity":%q}`, identity)).WHIP
		if second := n.join(t, "demo", "", fmt.Sprintf(`{"identity":%q}`, identity)).WHIP; second != first {
			t.Errorf("%s publishes at %s, and then at %s", identity, first, second)
		}
		if other, taken := seen[first]; taken {
			t.Errorf("%s and %s publish both at %s", identity, other, first)
		}
		seen[first] = identity
		if strings.HasSuffix(first, "/main") {
			t.Errorf("%s publishes as main", identity)
		}
		if got := n.knock(t, strings.TrimPrefix(first, n.URL()), ""); got != took {
			t.Errorf("%s cannot publish at %s: %s", identity, first, got)
		}
	}
}

// TestRoomTokens: what a join gives is good for the room, for publishing and
// playing, and for nothing else.
func TestRoomTokens(t *testing.T) {
	for name, option := range map[string]func(*gateway.Config){"configured": withTokens(t), "open": func(*gateway.Config) {}} {
		t.Run(name, func(t *testing.T) {
			n, admin := start(t, option), "all-admin-key"
			if name == "open" {
				admin = ""
			}
			for _, room := range []string{"demo", "other"} {
				n.create(t, admin, `{"name":"`+room+`","password":"correct horse"}`)
			}
			token := n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`).Token
			for _, tc := range []struct{ path, token, want string }{
				{"/whip/demo/bob", token, took},
				{"/whip/demo", token, took},
				{"/whep/demo", token, took},
				{"/whip/demo", "", "unauthorized"},
				{"/whep/demo", "", "unauthorized"},
				{"/whip/demo", "dummy-token", "invalid-token"},
				{"/whip/demo", token[:len(token)-4] + "AAAA", "invalid-token"},
			} {
				if got := n.knock(t, tc.path, tc.token); got != tc.want {
					t.Errorf("%s with %.10q: got %q, want %q", tc.path, tc.token, got, tc.want)
				}
			}
			if got := n.knock(t, "/whip/other", token); got != "insufficient-scope" && got != "invalid-token" {
				t.Errorf("another room: got %q", got)
			}
			if name == "open" {
				return
			}
			for _, route := range []string{"GET /v1/rooms", "GET /v1/rooms/demo", "DELETE /v1/rooms/demo", "GET /v1/rooms/demo/sessions", "DELETE /v1/rooms/demo/sessions/n.x", "PATCH /v1/rooms/demo"} {
				method, path, _ := strings.Cut(route, " ")
				if a := n.do(t, method, path, bearing(token), `{}`); a.StatusCode != http.StatusForbidden {
					t.Errorf("%s: got %d, want 403", route, a.StatusCode)
				}
			}
		})
	}
}

// TestTokensOfTokens: whoever joins with a token gets no more, and for no
// longer, than that allows.
func TestTokensOfTokens(t *testing.T) {
	n := start(t, withTokens(t))
	n.create(t, "all-admin-key", `{"name":"demo"}`)
	got := n.join(t, "demo", "watch-key-1", `{"identity":"bob"}`)
	if p := n.knock(t, "/whep/demo", got.Token); p != took {
		t.Errorf("play: got %s", p)
	}
	if p := n.knock(t, "/whip/demo/bob", got.Token); p != "insufficient-scope" {
		t.Errorf("publish with what a viewer's key gave: got %q, want insufficient-scope", p)
	}
	if a := n.do(t, "POST", "/v1/rooms/demo/join", bearing(got.Token), `{}`); a.StatusCode == http.StatusCreated {
		t.Error("a token that came of another was renewed without that")
	}
}

// TestRenewal: a token is renewed for as long as its bearer could still join as
// before.
func TestRenewal(t *testing.T) {
	n := start(t, withTokens(t))
	n.create(t, "all-admin-key", `{"name":"demo","password":"correct horse","members":["anna"]}`)
	change := func(body string) {
		t.Helper()
		if a := n.do(t, "PATCH", "/v1/rooms/demo", bearing("all-admin-key"), body); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %d %s", body, a.StatusCode, a.Body)
		}
	}
	renew := func(token, body string) string {
		t.Helper()
		return problemName(t, n.do(t, "POST", "/v1/rooms/demo/join", bearing(token), body))
	}
	anna := n.join(t, "demo", "", `{"identity":"anna"}`)
	bob := n.join(t, "demo", "", `{"identity":"bob","name":"Bob","password":"correct horse"}`)
	again := n.join(t, "demo", bob.Token, `{}`)
	if again.Identity != "bob" || again.Name != "Bob" || again.Token == bob.Token {
		t.Errorf("got %+v, want a new token of the same identity and name", again)
	}
	if p := n.knock(t, "/whip/demo/bob", again.Token); p != took {
		t.Errorf("publish with the new token: got %s", p)
	}
	if p := renew(bob.Token, `{"identity":"anna2"}`); p == "" {
		t.Error("a token was renewed for somebody else")
	}
	change(`{"locked":true}`)
	if p := renew(bob.Token, `{}`); p != "" {
		t.Errorf("in a locked room: got %s: who is in stays", p)
	}
	change(`{"locked":false,"password":"battery staple"}`)
	if p := renew(bob.Token, `{}`); p == "" {
		t.Error("a token was renewed after the password had changed")
	}
	if p := renew(anna.Token, `{}`); p != "" {
		t.Errorf("the token of a member: got %s", p)
	}
	change(`{"members":[]}`)
	if p := renew(anna.Token, `{}`); p == "" {
		t.Error("the token of a former member was renewed")
	}
}

// TestTokensEndWithTheirRoom: a token is of no use in a later room of the same
// name.
func TestTokensEndWithTheirRoom(t *testing.T) {
	n := start(t, withTokens(t))
	const body = `{"name":"demo","password":"correct horse"}`
	n.create(t, "all-admin-key", body)
	token := n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`).Token
	if a := n.do(t, "DELETE", "/v1/rooms/demo", bearing("all-admin-key"), ""); a.StatusCode != http.StatusNoContent {
		t.Fatalf("got %d", a.StatusCode)
	}
	if p := n.knock(t, "/whip/demo/bob", token); p != "token-expired" {
		t.Errorf("in no room: got %q, want token-expired", p)
	}
	n.create(t, "all-admin-key", body)
	if p := n.knock(t, "/whip/demo/bob", token); p != "token-expired" {
		t.Errorf("got %q, want token-expired", p)
	}
	if p := problemName(t, n.do(t, "POST", "/v1/rooms/demo/join", bearing(token), `{}`)); p == "" {
		t.Error("the token was renewed")
	}
}

// TestTokensOfAnyNameAreNotPastAPassword: on an open node everybody gets a token
// for a room that is not there. It is none for the room that is made later with a
// password.
func TestTokensOfAnyNameAreNotPastAPassword(t *testing.T) {
	n := start(t)
	early := n.join(t, "demo", "", `{"identity":"mallory"}`)
	n.create(t, "", `{"name":"demo","password":"correct horse"}`)
	if p := n.knock(t, "/whip/demo/mallory", early.Token); p != "token-expired" {
		t.Errorf("publish: got %q, want token-expired", p)
	}
	for path, token := range map[string]string{strings.TrimPrefix(early.Events, n.URL()): "", "/v1/rooms/demo/events": early.Token, "/v1/rooms/demo/messages": early.Token} {
		if a := n.do(t, "HEAD", path, bearing(token), ""); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d, want 401", path, a.StatusCode)
		}
	}
	open := n.join(t, "other", "", `{"identity":"bob"}`)
	n.create(t, "", `{"name":"other","wait":true}`)
	right := n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`)
	for room, token := range map[string]string{"other": open.Token, "demo": right.Token} {
		if a := n.do(t, "GET", "/v1/rooms/"+room+"/messages", bearing(token), ""); a.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", room, a.StatusCode, a.Body)
		}
	}
}

// TestLock: nobody begins a session or joins in a locked room but its
// moderators.
func TestLock(t *testing.T) {
	n := start(t, withTokens(t))
	n.create(t, "all-admin-key", `{"name":"demo","password":"correct horse","members":["anna"]}`)
	bob := n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`).Token
	if a := n.do(t, "PATCH", "/v1/rooms/demo", bearing("moderate-key"), `{"locked":true}`); a.StatusCode != http.StatusOK || !decode[room](t, a).Locked {
		t.Fatalf("lock: got %d %s", a.StatusCode, a.Body)
	}
	for _, tc := range []struct{ path, token, want string }{
		{"/whip/demo/bob", bob, "room-locked"},
		{"/whep/demo", bob, "room-locked"},
		{"/whip/demo", "publish-key", "room-locked"},
		{"/whep/demo", "watch-key-1", "room-locked"},
		{"/whip/demo", "", "unauthorized"},
		{"/whip/demo", "watch-key-1", "insufficient-scope"},
	} {
		if got := n.knock(t, tc.path, tc.token); got != tc.want {
			t.Errorf("%s with %.12q: got %q, want %q", tc.path, tc.token, got, tc.want)
		}
	}
	for body, want := range map[string]string{
		`{"identity":"anna"}`:                           "room-locked",
		`{"identity":"eve","password":"correct horse"}`: "room-locked",
		`{"identity":"eve","password":"wrong"}`:         "join-refused",
	} {
		if got := problemName(t, n.do(t, "POST", "/v1/rooms/demo/join", asJSON, body)); got != want {
			t.Errorf("join with %s: got %q, want %q", body, got, want)
		}
	}
	if a := n.do(t, "PATCH", "/v1/rooms/demo", bearing("moderate-key"), `{"locked":false,"wait":true}`); a.StatusCode != http.StatusForbidden {
		t.Errorf("a moderator changed what only administrators may: %d", a.StatusCode)
	}
	if a := n.do(t, "PATCH", "/v1/rooms/demo", bearing("moderate-key"), `{"locked":false}`); a.StatusCode != http.StatusOK {
		t.Fatalf("unlock: got %d", a.StatusCode)
	}
	if got := n.knock(t, "/whip/demo/bob", bob); got != took {
		t.Errorf("after it was unlocked: got %q", got)
	}
}

// TestLockWithoutAuthentication: where everybody may do everything, the lock is
// for all.
func TestLockWithoutAuthentication(t *testing.T) {
	n := start(t)
	n.create(t, "", `{"name":"demo","locked":true}`)
	for _, path := range []string{"/whip/demo", "/whep/demo"} {
		if got := n.knock(t, path, ""); got != "room-locked" {
			t.Errorf("%s: got %q, want room-locked", path, got)
		}
	}
	if got := problemName(t, n.do(t, "POST", "/v1/rooms/demo/join", asJSON, `{"identity":"bob"}`)); got != "room-locked" {
		t.Errorf("join: got %q, want room-locked", got)
	}
}

// TestPasswordGuesses: after five wrong ones the right one is refused, too, or
// else it could be found by going on.
func TestPasswordGuesses(t *testing.T) {
	n := start(t)
	for _, room := range []string{"demo", "other"} {
		n.create(t, "", `{"name":"`+room+`","password":"correct horse"}`)
	}
	guess := func(room, password string) string {
		t.Helper()
		return problemName(t, n.do(t, "POST", "/v1/rooms/"+room+"/join", asJSON, `{"identity":"bob","password":"`+password+`"}`))
	}
	for range 20 { // who is right is not counted
		if got := guess("demo", "correct horse"); got != "" {
			t.Fatalf("the right password: got %q", got)
		}
	}
	for i := range 5 {
		if got := guess("demo", "wrong"); got != "join-refused" {
			t.Errorf("guess %d: got %q, want join-refused", i, got)
		}
	}
	for _, password := range []string{"wrong", "correct horse"} {
		if got := guess("demo", password); got != "too-many-passwords" {
			t.Errorf("after five guesses, %s: got %q, want too-many-passwords", password, got)
		}
	}
	if got := guess("other", "correct horse"); got != "" {
		t.Errorf("another room: got %q", got)
	}
}
