package gateway_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// ask sends JSON with a token.
func (n node) ask(t *testing.T, method, path, token, body string, headers ...string) answer {
	t.Helper()
	return n.do(t, method, path, append(append(bearerOf(token), "Content-Type", "application/json"), headers...), body)
}

// TestRevocationEndsMedia takes a viewer's token back while it plays.
func TestRevocationEndsMedia(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	vp8 := codecNamed(t, "VP8")
	gatewaytest.Publish(t, n.URL(), "demo?token=publish-key", 30, vp8)
	eventually(t, "the room is live", func() bool {
		return strings.Contains(n.ask(t, "GET", "/v1/rooms/demo", "admin-key-1", "").Body, `"live":true`)
	})
	claims := may("ann", "demo", auth.Subscribe)
	claims.ID = "one"
	token := mint(t, claims)
	claims.ID = "two"
	stays := gatewaytest.View(t, n.URL(), "demo?token="+mint(t, claims), vp8)
	goes := gatewaytest.View(t, n.URL(), "demo?token="+token, vp8)
	nextFrame(t, goes)
	session := pathOf(t, goes.Session.Location())
	at := time.Now()
	if resp := n.ask(t, "POST", "/v1/revocations", "all-admin-key", `{"token_id":"one"}`); resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
	}
	if cause := n.causeOf(t, session); cause != "token-revoked" {
		t.Errorf("the session has the cause %q, want token-revoked", cause)
	}
	for f := nextFrame(t, stays); f.At.Before(at.Add(1500 * time.Millisecond)); f = nextFrame(t, stays) {
	}
	var last time.Time
	for len(goes.Frames) > 0 {
		last = (<-goes.Frames).At
	}
	t.Logf("the last frame came %v after the revocation", last.Sub(at))
	if last.Sub(at) > time.Second {
		t.Errorf("its last frame came %v after the revocation", last.Sub(at))
	}
	resp, err := n.Client.Post(n.URL()+"/whep/demo?token="+token, "application/sdp", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // the status says it
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the same token again: got %d, want 401", resp.StatusCode)
	}
}

// TestWhoIsKickedStaysOut: the token of a person is over in the room, and there
// alone; the key of an encoder is not.
func TestWhoIsKickedStaysOut(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	claims := may("ann", "*", auth.Publish)
	token := mint(t, claims)
	sdp := offer(t, webrtc.RTPTransceiverDirectionSendonly)
	kick := func(session string) {
		t.Helper()
		id := strings.TrimPrefix(session, "/s/")
		if resp := n.ask(t, "DELETE", "/v1/rooms/demo/sessions/"+id, "moderate-key", ""); resp.StatusCode != http.StatusNoContent {
			t.Fatalf("kick: got %d %s", resp.StatusCode, resp.Body)
		}
	}
	session, _ := n.post(t, "/whip/demo", token, sdp)
	second, _ := n.post(t, "/whip/demo/second", token, sdp)
	elsewhere, _ := n.post(t, "/whip/other", token, sdp)
	kick(session)
	for path, want := range map[string]string{session: "kicked", second: "token-revoked", elsewhere: ""} {
		if got := n.causeOf(t, path); got != want {
			t.Errorf("%s: got the cause %q, want %q", path, got, want)
		}
	}
	again := n.do(t, "POST", "/whip/demo", append(bearerOf(token), "Content-Type", "application/sdp"), sdp)
	if again.StatusCode != http.StatusUnauthorized || !strings.Contains(again.Body, "/problems/token-revoked") {
		t.Errorf("the kicked one again: got %d %s, want 401 token-revoked", again.StatusCode, again.Body)
	}
	if resp := n.do(t, "POST", elsewhere+"/refresh", bearerOf(token), ""); resp.StatusCode != http.StatusOK {
		t.Errorf("in another room: got %d %s", resp.StatusCode, resp.Body)
	}
	newer, _ := n.post(t, "/whip/demo", mint(t, claims), sdp) // whoever gives tokens has decided so
	kick(newer)
	key, _ := n.post(t, "/whip/demo", "publish-key", sdp)
	kick(key)
	if n.causeOf(t, key) != "kicked" {
		t.Error("the encoder was not kicked")
	}
	n.post(t, "/whip/demo", "publish-key", sdp)
}

// TestWhoIsKickedStaysOutAfterARefresh: no token that the session had lets anybody
// return.
func TestWhoIsKickedStaysOutAfterARefresh(t *testing.T) {
	n := start(t, withKeys(t))
	claims := may("ann", "demo", auth.Publish)
	first, second, third := mint(t, claims), mint(t, claims), mint(t, claims)
	session, _ := n.post(t, "/whip/demo", first, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	for _, token := range []string{second, third} {
		if resp := n.do(t, "POST", session+"/refresh", bearerOf(token), ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("refresh: got %d %s", resp.StatusCode, resp.Body)
		}
	}
	id := strings.TrimPrefix(session, "/s/")
	if resp := n.ask(t, "DELETE", "/v1/rooms/demo/sessions/"+id, "moderate-key", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("kick: got %d %s", resp.StatusCode, resp.Body)
	}
	for name, token := range map[string]string{"the first": first, "the second": second, "the third": third} {
		if p := n.knock(t, "/whip/demo", token); p != "token-revoked" {
			t.Errorf("%s token: got %q, want token-revoked", name, p)
		}
	}
}

// TestRevokedKeysStayRevoked: a token without an end is not good again after a
// day. Somebody who is known by another name can be let in by a new token.
func TestRevokedKeysStayRevoked(t *testing.T) {
	local, service := start(t, withKeys(t)), newJudge(t)
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte(hookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	asking := start(t, withKeys(t), func(c *gateway.Config) { c.AuthWebhook, c.AuthWebhookSecretFile = service.URL, secrets })
	for _, tc := range []struct {
		n       node
		body    string
		endless bool
	}{
		{local, `{"identity":"key-0123456789abcdef"}`, true},
		{local, `{"token_id":"tok-0123456789abcdef"}`, true},
		{local, `{"identity":"key-0123456789abcdef","expires":"2099-01-02T03:04:05Z"}`, false},
		{local, `{"token_id":"x"}`, false},
		{local, `{"identity":"ann"}`, false},
		{local, `{"room":"demo"}`, false},
		{asking, `{"token_id":"x"}`, true},
		{asking, `{"identity":"ann"}`, false},
		{asking, `{"room":"demo"}`, false},
	} {
		resp := tc.n.ask(t, "POST", "/v1/revocations", "all-admin-key", tc.body)
		if resp.StatusCode != http.StatusCreated || strings.Contains(resp.Body, `"expires":null`) != tc.endless {
			t.Errorf("%s: got %d %s, want one that ends: %t", tc.body, resp.StatusCode, resp.Body, !tc.endless)
		}
	}
}

func TestRevocationsAreListed(t *testing.T) {
	n := start(t, withKeys(t))
	for _, tc := range []struct {
		token, body, want string
		status            int
	}{
		{"all-admin-key", `{"token_id":"x"}`, `"token_id":"x"`, 201},
		{"all-admin-key", `{"identity":"ann"}`, `"before":"`, 201},
		{"admin-key-1", `{"identity":"ann","room":"demo","before":"2026-01-02T03:04:05.678Z"}`, `"before":"2026-01-02T03:04:05.678Z"`, 201},
		{"admin-key-1", `{"room":"demo","expires":"2099-01-02T03:04:05Z"}`, `"expires":"2099-01-02T03:04:05.000Z"`, 201},
		{"admin-key-1", `{"identity":"ann"}`, "insufficient-scope", 403},
		{"admin-key-1", `{"room":"other"}`, "insufficient-scope", 403},
		{"moderate-key", `{"room":"demo"}`, "insufficient-scope", 403},
		{"all-admin-key", `{}`, "field-invalid", 422},
		{"all-admin-key", `{"room":".."}`, "field-invalid", 422},
		{"all-admin-key", `{"token_id":"` + strings.Repeat("x", 257) + `"}`, "field-invalid", 422},
		{"all-admin-key", `{"identity":"ann","expires":"2020-01-01T00:00:00Z"}`, "field-invalid", 422},
		{"all-admin-key", `{"identity":"ann","before":"9999-12-31T12:00:00Z"}`, "field-invalid", 422}, // a day later has no form in JSON
		{"all-admin-key", `{"identity":"ann","before":"0000-01-01T00:00:00+01:00"}`, "field-invalid", 422},
		{"all-admin-key", `{"identity":"ann","expires":"9999-12-31T23:59:59-01:00"}`, "field-invalid", 422},
		{"all-admin-key", `{"identity":7}`, "json-malformed", 400},
	} {
		resp := n.ask(t, "POST", "/v1/revocations", tc.token, tc.body)
		if resp.StatusCode != tc.status || !strings.Contains(resp.Body, tc.want) {
			t.Errorf("%s %s: got %d %s, want %d %s", tc.token, tc.body, resp.StatusCode, resp.Body, tc.status, tc.want)
		}
	}
	for token, want := range map[string]int{"all-admin-key": 4, "admin-key-1": 2, "other-room-key": 0} {
		var page struct{ Items []struct{ ID string } }
		resp := n.ask(t, "GET", "/v1/revocations", token, "")
		if err := json.Unmarshal([]byte(resp.Body), &page); err != nil || len(page.Items) != want {
			t.Errorf("%s sees %s, want %d", token, resp.Body, want)
		}
	}
	once := func() string {
		return n.ask(t, "POST", "/v1/revocations", "all-admin-key", `{"identity":"bob"}`, "Idempotency-Key", "k1").Body
	}
	if first := once(); first != once() {
		t.Error("the same request made two revocations")
	}
}

// TestRevocationsOutliveTheNode stops a node and starts another on its data.
func TestRevocationsOutliveTheNode(t *testing.T) {
	data, keys := t.TempDir(), withKeys(t)
	token := mint(t, may("ann", "demo", auth.Admin))
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusUnauthorized} {
		n := start(t, keys, func(c *gateway.Config) { c.Data = data })
		if resp := n.ask(t, "GET", "/v1/rooms", token, ""); resp.StatusCode != want {
			t.Errorf("start %d: got %d %s, want %d", i+1, resp.StatusCode, resp.Body, want)
		}
		if i == 0 {
			if resp := n.ask(t, "POST", "/v1/revocations", "all-admin-key", `{"identity":"ann"}`); resp.StatusCode != http.StatusCreated {
				t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
			}
			if resp := n.ask(t, "GET", "/v1/rooms", token, ""); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("at once: got %d %s", resp.StatusCode, resp.Body)
			}
		}
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// revoke takes tokens back, and returns the path of the revocation.
func (n node) revoke(t *testing.T, token, body string) string {
	t.Helper()
	resp := n.ask(t, "POST", "/v1/revocations", token, body)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: got %d %s", body, resp.StatusCode, resp.Body)
	}
	return "/v1/revocations/" + decode[struct{ ID string }](t, resp).ID
}

// TestRevocationsAreUndone: tokens are good again at once, as far as nothing else is
// said about them, and after a restart, too.
func TestRevocationsAreUndone(t *testing.T) {
	data, keys := t.TempDir(), withKeys(t)
	here := func(c *gateway.Config) { c.Data = data }
	claims := may("ann", "demo", auth.Publish)
	claims.ID = "one"
	token := mint(t, claims)
	n := start(t, keys, here)
	session, _ := n.post(t, "/whip/demo", token, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	knows := func(when, want string) {
		t.Helper()
		if p := n.knock(t, "/whip/demo", token); p != want {
			t.Errorf("%s: got %q, want %q", when, p, want)
		}
	}
	good := n.knock(t, "/whip/demo", token) // an offer that nobody takes
	byID := n.revoke(t, "all-admin-key", `{"token_id":"one"}`)
	byName := n.revoke(t, "all-admin-key", `{"identity":"ann"}`)
	knows("revoked twice", "token-revoked")
	undo := func(path string) {
		t.Helper()
		resp := n.ask(t, "DELETE", path, "all-admin-key", "")
		if resp.StatusCode != http.StatusNoContent || resp.Body != "" {
			t.Errorf("got %d %s, want 204 and nothing", resp.StatusCode, resp.Body)
		}
		again := n.ask(t, "DELETE", path, "all-admin-key", "")
		if p := problemName(t, again); again.StatusCode != http.StatusNotFound || p != "revocation-not-found" {
			t.Errorf("again: got %d %q, want 404 revocation-not-found", again.StatusCode, p)
		}
	}
	undo(byName)
	knows("one of two undone", "token-revoked")
	undo(byID)
	knows("both undone", good)
	if cause := n.causeOf(t, session); cause != "token-revoked" {
		t.Errorf("the session that was ended has the cause %q", cause)
	}
	n.revoke(t, "all-admin-key", `{"identity":"bob"}`)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, keys, here)
	knows("after a restart", good)
	n.post(t, "/whip/demo", token, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	if list := n.ask(t, "GET", "/v1/revocations", "all-admin-key", "").Body; strings.Count(list, `"id"`) != 1 || !strings.Contains(list, `"bob"`) {
		t.Errorf("got %s, want the other one alone", list)
	}
}

// TestWhoMayUndoARevocation: whoever could have made it. Others are told the same
// of one that is there as of one that is not.
func TestWhoMayUndoARevocation(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	barred := may("eve", "*", auth.Admin)
	barred.ID = "eve-1"
	eve := mint(t, barred)
	everywhere := n.revoke(t, "all-admin-key", `{"token_id":"x"}`)
	inDemo := n.revoke(t, "all-admin-key", `{"token_id":"x","room":"demo"}`)
	inOther := n.revoke(t, "all-admin-key", `{"token_id":"x","room":"other"}`)
	ofEve := n.revoke(t, "all-admin-key", `{"token_id":"eve-1","room":"demo"}`)
	none := "/v1/revocations/v0"
	for _, tc := range []struct {
		token, path, problem string
	}{
		{"", everywhere, "unauthorized"},
		{"", none, "unauthorized"},
		{"moderate-key", inDemo, "insufficient-scope"},
		{"moderate-key", none, "insufficient-scope"},
		{"admin-key-1", everywhere, "revocation-not-found"},
		{"admin-key-1", inOther, "revocation-not-found"},
		{"admin-key-1", none, "revocation-not-found"},
		{eve, ofEve, "revocation-not-found"}, // who is kept out of the room does not let itself in
		{eve, inDemo, "revocation-not-found"},
		{"all-admin-key", none, "revocation-not-found"},
		{"admin-key-1", inDemo, ""},
		{eve, inOther, ""},
		{"all-admin-key", everywhere, ""},
		{"admin-key-1", ofEve, ""}, // made by somebody who administers all rooms
	} {
		resp := n.ask(t, "DELETE", tc.path, tc.token, "")
		if got := problemName(t, resp); got != tc.problem {
			t.Errorf("%s by %q: got %d %q, want %q", tc.path, tc.token, resp.StatusCode, got, tc.problem)
		}
	}
	if list := n.ask(t, "GET", "/v1/revocations", "all-admin-key", "").Body; strings.Contains(list, `"id"`) {
		t.Errorf("left: %s", list)
	}
}

// TestLockedRoomsKeepNewcomersOut lets those who are in do what they like.
func TestLockedRoomsKeepNewcomersOut(t *testing.T) {
	n := start(t, withKeys(t))
	sdp := offer(t, webrtc.RTPTransceiverDirectionSendonly)
	ann, bob := mint(t, may("ann", "demo", auth.Publish)), mint(t, may("bob", "demo", auth.Publish))
	if resp := n.ask(t, "POST", "/v1/rooms", "all-admin-key", `{"name":"demo"}`); resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
	}
	first, _ := n.post(t, "/whip/demo/ann", ann, sdp)
	if resp := n.ask(t, "PATCH", "/v1/rooms/demo", "admin-key-1", `{"locked":true}`); resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
	}
	post := func(name, token string) answer {
		return n.do(t, "POST", "/whip/demo/"+name, append(bearerOf(token), "Content-Type", "application/sdp"), sdp)
	}
	if resp := post("bob", bob); resp.StatusCode != http.StatusForbidden || !strings.Contains(resp.Body, "/problems/room-locked") {
		t.Errorf("a newcomer: got %d %s, want 403 room-locked", resp.StatusCode, resp.Body)
	}
	resp := post("ann-screen", ann)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("who is in: got %d %s, want 201", resp.StatusCode, resp.Body)
	}
	for _, session := range []string{first, pathOf(t, resp.Header.Get("Location"))} {
		n.do(t, "DELETE", session, nil, "")
	}
	if resp := post("ann", ann); resp.StatusCode != http.StatusForbidden {
		t.Errorf("who has left: got %d %s, want 403", resp.StatusCode, resp.Body)
	}
	if resp := post("host", mint(t, may("host", "demo", auth.Publish, auth.Moderate))); resp.StatusCode != http.StatusCreated {
		t.Errorf("who moderates: got %d %s, want 201", resp.StatusCode, resp.Body)
	}
}
