package gateway_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
)

func TestFrameAncestors(t *testing.T) {
	for want, ancestors := range map[string][]string{
		"frame-ancestors 'none'":                                   nil,
		"frame-ancestors https://a.example https://b.example:8443": {"https://a.example", "https://b.example:8443"},
	} {
		n := start(t, func(c *gateway.Config) { c.FrameAncestors = ancestors })
		a := n.do(t, "GET", "/play/demo", nil, "")
		if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, want) {
			t.Errorf("%v: got the policy %q, want %q in it", ancestors, policy, want)
		}
	}
	cfg := onLoopback(t)
	cfg.FrameAncestors = []string{"https://a.example; script-src *"}
	if g, err := gateway.New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "not an origin") {
		t.Errorf("an origin that ends the directive: got %v, want a refusal", err)
		if g != nil {
			_ = g.Close() // the test has failed
		}
	}
}
