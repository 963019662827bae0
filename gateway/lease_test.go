package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/url"
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

const keyFile = "a secret that no test gives to anybody else"

// withKeys configures the tokens of tokenFile and a secret that signs others.
func withKeys(t *testing.T) func(*gateway.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(keyFile+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := withTokens(t)
	return func(c *gateway.Config) {
		tokens(c)
		c.AuthKeyFile, c.AuthAllowQuery = path, true
	}
}

// mint makes a token; c without an end gets one in an hour.
func mint(t *testing.T, c auth.Claims) string {
	t.Helper()
	keys, err := auth.ParseKeys([]byte(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(time.Hour)
	}
	token, err := keys.Mint(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func may(identity, room string, can ...auth.Grant) auth.Claims {
	return auth.Claims{Identity: identity, Rooms: []auth.Pattern{auth.Pattern(room)}, Can: can}
}

func bearerOf(token string) []string { return []string{"Authorization", "Bearer " + token} }

// causeOf is why a session ended, "" while it lives.
func (n node) causeOf(t *testing.T, session string) string {
	t.Helper()
	var status struct {
		State string
		Cause *string
	}
	resp := n.do(t, "GET", session+"/status", nil, "")
	if err := json.Unmarshal([]byte(resp.Body), &status); err != nil {
		t.Fatalf("%v: %s", err, resp.Body)
	}
	if status.State != "ended" || status.Cause == nil {
		return ""
	}
	return *status.Cause
}

func pathOf(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// TestMediaEndsWithTheToken lets two viewers come with tokens of three seconds.
// One refreshes: it misses no frame. The other gets none from a second after
// the end on.
func TestMediaEndsWithTheToken(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	vp8 := codecNamed(t, "VP8")
	gatewaytest.Publish(t, n.URL(), "demo?token=publish-key", 30, vp8)
	eventually(t, "the room is live", func() bool {
		return strings.Contains(n.do(t, "GET", "/v1/rooms/demo", bearerOf("admin-key-1"), "").Body, `"live":true`)
	})
	claims := may("ann", "demo", auth.Subscribe)
	claims.Expires = time.Now().Add(4 * time.Second).Truncate(time.Second)
	stays := gatewaytest.View(t, n.URL(), "demo?token="+mint(t, claims), vp8)
	goes := gatewaytest.View(t, n.URL(), "demo?token="+mint(t, claims), vp8)
	first := nextFrame(t, stays)
	nextFrame(t, goes)
	leaver := pathOf(t, goes.Session.Location())
	resp := n.do(t, "POST", pathOf(t, stays.Session.Location())+"/refresh", bearerOf(mint(t, may("ann", "demo", auth.Subscribe))), "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("refresh: got %d %s", resp.StatusCode, resp.Body)
	}

	next := first.Number + 1
	for f := first; f.At.Before(claims.Expires.Add(2 * time.Second)); next++ {
		if f = nextFrame(t, stays); f.Number != next {
			t.Fatalf("the one who refreshed got frame %d in place of %d", f.Number, next)
		}
	}
	if cause := n.causeOf(t, leaver); cause != "token-expired" {
		t.Errorf("the other's session has the cause %q, want token-expired", cause)
	}
	var last time.Time
	for len(goes.Frames) > 0 {
		last = (<-goes.Frames).At
	}
	if late := last.Sub(claims.Expires); late > time.Second || late < -time.Second {
		t.Errorf("its last frame came %v after the end of its token", late)
	}
	t.Logf("the last frame came %v after the end of the token", last.Sub(claims.Expires))
}

// TestRefresh tries tokens of every kind on a session.
func TestRefresh(t *testing.T) {
	t.Parallel()
	n := start(t, withKeys(t))
	first := may("ann", "demo", auth.Publish)
	first.Expires = time.Now().Add(30 * time.Minute).Truncate(time.Second)
	opened := mint(t, first)
	session, _ := n.post(t, "/whip/demo", opened, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	older := may("ann", "demo", auth.Publish)
	older.Expires = first.Expires.Add(-time.Minute)
	for _, tc := range []struct {
		name, path, token string
		status            int
		problem           string
	}{
		{"no token", session, "", 401, "unauthorized"},
		{"an unknown one", session, "wrong-token", 401, "invalid-token"},
		{"another identity", session, mint(t, may("bob", "demo", auth.Publish)), 403, "other-identity"},
		{"a stream key", session, "publish-key", 403, "other-identity"},
		{"another grant", session, mint(t, may("ann", "demo", auth.Subscribe)), 403, "insufficient-scope"},
		{"another room", session, mint(t, may("ann", "other", auth.Publish)), 403, "insufficient-scope"},
		{"an older one", session, mint(t, older), 422, "token-not-newer"},
		{"no token, no session", "/s/n.none", "", 401, "unauthorized"},
		{"no session", "/s/n.none", opened, 404, "session-not-found"},
	} {
		resp := n.do(t, "POST", tc.path+"/refresh", bearerOf(tc.token), "")
		if resp.StatusCode != tc.status || !strings.Contains(resp.Body, "/problems/"+tc.problem) {
			t.Errorf("%s: got %d %s, want %d %s", tc.name, resp.StatusCode, resp.Body, tc.status, tc.problem)
		}
	}
	newer := may("ann", "demo", auth.Publish)
	newer.Expires = time.Now().Add(time.Hour).Truncate(time.Second)
	for _, tc := range []struct {
		name, token string
		want        string
	}{
		{"the same", opened, expiring(first.Expires)},
		{"a newer one", mint(t, newer), expiring(newer.Expires)},
		{"the first, which is the older one now", opened, "/problems/token-not-newer"},
	} {
		if resp := n.do(t, "POST", session+"/refresh", bearerOf(tc.token), ""); !strings.Contains(resp.Body, tc.want) {
			t.Errorf("%s: got %d %s, want %s", tc.name, resp.StatusCode, resp.Body, tc.want)
		}
	}
}

func expiring(at time.Time) string {
	return `{"expires":"` + at.UTC().Format("2006-01-02T15:04:05.000Z") + `"}`
}

// TestNothingToRefresh: stream keys have no end, and an open node asks nobody.
func TestNothingToRefresh(t *testing.T) {
	for name, tc := range map[string]struct {
		n             node
		token, refuse string
	}{
		"a stream key": {start(t, withTokens(t)), "publish-key", "unauthorized"},
		"an open node": {start(t), "", ""},
	} {
		session, _ := tc.n.post(t, "/whip/demo", tc.token, offer(t, webrtc.RTPTransceiverDirectionSendonly))
		if resp := tc.n.do(t, "POST", session+"/refresh", bearerOf(tc.token), ""); resp.Body != `{"expires":null}` {
			t.Errorf("%s: got %d %s", name, resp.StatusCode, resp.Body)
		}
		if resp := tc.n.do(t, "POST", session+"/refresh", nil, ""); !strings.Contains(resp.Body, tc.refuse) {
			t.Errorf("%s, without a token: got %d %s", name, resp.StatusCode, resp.Body)
		}
		if resp := tc.n.do(t, "POST", "/s/n.none/refresh", bearerOf(tc.token), ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s, no session: got %d %s", name, resp.StatusCode, resp.Body)
		}
	}
}
