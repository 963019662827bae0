package conformance_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/conformance"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// file writes a file for a node.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGuardedNode judges a node that asks for tokens and names ICE servers, with
// a token for one room alone: the checks of these matters, skipped elsewhere,
// and in one room.
func TestGuardedNode(t *testing.T) {
	const secret = "a secret that only this test knows"
	keys, err := auth.ParseKeys([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	n := gatewaytest.Start(t, func(c *gateway.Config) {
		c.Open = false
		c.AuthKeyFile = file(t, secret)
		c.ICEServersFile = file(t, "stun:stun.example.org:3478\nturn:turn.example.org:3478?transport=udp secret=abcdefgh\n"+
			"turns:turn.example.org:5349?transport=tcp secret=abcdefgh\nturn:turn.example.org:3478?transport=tcp secret=abcdefgh\n")
	})
	target := targetOf(n)
	if target.Token, err = keys.Mint(auth.Claims{
		Identity: "suite", Rooms: []auth.Pattern{"demo"}, Can: []auth.Grant{auth.Publish, auth.Subscribe}, Expires: time.Now().Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	target.Only = []string{"WHIP-AUTH", "WHIP-LINK", "WHIP-CORS", "WHIP-HTTP", "WHIP-PROB", "WHIP-EXT"}
	report, err := conformance.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	// The node is in a laboratory, the token stands in no URL, and WHIP has no extensions.
	skipped := []string{"WHIP-HTTP-07", "WHIP-AUTH-07", "WHIP-EXT-01", "WHIP-EXT-03"}
	for _, r := range report.Results {
		want := conformance.Pass
		if slices.Contains(skipped, r.ID) {
			want = conformance.Skip
		}
		if r.Result != want {
			t.Errorf("%s (%s): got %s, want %s: %s", r.ID, r.What, r.Result, want, r.Detail)
		}
	}
}
