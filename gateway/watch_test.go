package gateway_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestEventStreamsEndWithTheirTokens listens with a token that ends and with one
// that is taken back.
func TestEventStreamsEndWithTheirTokens(t *testing.T) {
	t.Parallel()
	n := node{gatewaytest.Start(t, withKeys(t))}
	listen := func(c auth.Claims) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.LocalURL()+"/v1/rooms/demo/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+mint(t, c))
		resp, err := n.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() }) // it was read, or the test has failed
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("got %s", resp.Status)
		}
		return resp
	}
	short, other := may("ann", "demo", auth.Subscribe), may("bob", "demo", auth.Subscribe)
	short.Expires = time.Now().Add(2 * time.Second).Truncate(time.Second)
	expires, revoked := listen(short), listen(other)
	for name, tc := range map[string]struct {
		resp *http.Response
		end  func() time.Time
	}{
		"expired": {expires, func() time.Time { return short.Expires }},
		"revoked": {revoked, func() time.Time {
			if resp := n.ask(t, "POST", "/v1/revocations", "all-admin-key", `{"identity":"bob","room":"demo"}`); resp.StatusCode != http.StatusCreated {
				t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
			}
			return time.Now()
		}},
	} {
		end := tc.end()
		if _, err := io.Copy(io.Discard, tc.resp.Body); err != nil {
			t.Errorf("%s: the stream broke off: %v", name, err)
		}
		if late := time.Since(end); late > time.Second {
			t.Errorf("%s: the stream ended %v after the token", name, late)
		}
	}
}
