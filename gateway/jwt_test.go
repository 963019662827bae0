package gateway_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// sign makes a token of any claims, as somebody with the key may.
func sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claimsFor allow something in the room demo for an hour; changes are pairs of
// name and value, nil for none.
func claimsFor(grant string, changes ...any) jwt.MapClaims {
	claims := jwt.MapClaims{
		"sub": "ann", "rooms": []string{"demo"}, "can": []string{grant},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if name, ok := changes[i].(string); ok {
			claims[name] = changes[i+1]
			if changes[i+1] == nil {
				delete(claims, name)
			}
		}
	}
	return claims
}

// TestTokensAreReadInTime is WHIP-AUTH-03 and WHIP-AUTH-09: what a JWT says is
// checked, and a refusal says what is wrong with it.
func TestTokensAreReadInTime(t *testing.T) {
	n := start(t, withKeys(t))
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	none := strings.Split(sign(t, claimsFor("publish")), ".")
	encode := base64.RawURLEncoding.EncodeToString
	for _, tc := range []struct {
		name, token string
		status      int
		problem     string
	}{
		{"good", sign(t, claimsFor("publish")), 415, "media-type"},
		{"expired", sign(t, claimsFor("publish", "iat", at(-time.Hour), "exp", at(-time.Second))), 401, "token-expired"},
		{"not valid before", sign(t, claimsFor("publish", "nbf", at(time.Minute))), 401, "token-not-yet-valid"},
		{"issued later", sign(t, claimsFor("publish", "iat", at(time.Minute))), 401, "token-not-yet-valid"},
		{"without an end", sign(t, claimsFor("publish", "exp", nil)), 401, "invalid-token"},
		{"for a month", sign(t, claimsFor("publish", "exp", at(30*24*time.Hour))), 401, "invalid-token"},
		{"alg none", encode([]byte(`{"alg":"none"}`)) + "." + none[1] + ".", 401, "invalid-token"},
		{"no signature", none[0] + "." + none[1] + ".", 401, "invalid-token"},
		{"another signature", none[0] + "." + none[1] + "." + encode([]byte("forged")), 401, "invalid-token"},
		{"other claims", none[0] + "." + encode([]byte(`{"rooms":["*"],"can":["admin"],"exp":9999999999}`)) + "." + none[2], 401, "invalid-token"},
		{"a critical extension", encode([]byte(`{"alg":"HS256","crit":["x"],"x":1}`)) + "." + none[1] + "." + none[2], 401, "invalid-token"},
		{"another room", sign(t, claimsFor("publish", "rooms", []string{"other"})), 403, "insufficient-scope"},
		{"another grant", sign(t, claimsFor("subscribe")), 403, "insufficient-scope"},
		{"no rooms", sign(t, claimsFor("publish", "rooms", nil)), 403, "insufficient-scope"},
	} {
		resp := n.do(t, "POST", "/whip/demo", append(bearerOf(tc.token), "Content-Type", "text/plain"), "x")
		if resp.StatusCode != tc.status || !strings.Contains(resp.Body, "/problems/"+tc.problem) {
			t.Errorf("%s: got %d %s, want %d %s", tc.name, resp.StatusCode, resp.Body, tc.status, tc.problem)
		}
		want := map[int]string{
			http.StatusUnauthorized: `Bearer realm="sluice", error="invalid_token"`,
			http.StatusForbidden:    `Bearer realm="sluice", error="insufficient_scope"`,
		}[tc.status]
		if got := resp.Header.Get("WWW-Authenticate"); got != want {
			t.Errorf("%s: WWW-Authenticate is %q, want %q", tc.name, got, want)
		}
	}
}
