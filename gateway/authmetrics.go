package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemedia/sluice/auth"
)

// authSnapshot is what a scrape reads of those who know tokens elsewhere; nil:
// not configured.
type authSnapshot struct {
	jwks *auth.JWKSStats
	hook *auth.WebhookStats
}

func (s services) snapshot() (out authSnapshot) {
	if s.jwks != nil {
		stats := s.jwks.Stats()
		out.jwks = &stats
	}
	if s.hook != nil {
		stats := s.hook.Stats()
		out.hook = &stats
	}
	return out
}

// authMetrics are there for what is configured, so that "no keys" means that
// there should be some.
func authMetrics() []metric {
	jwks := func(kind prometheus.ValueType, name, help string, read func(*auth.JWKSStats) float64) metric {
		return metric{name, help, kind, nil, func(s *snapshot, out emit) {
			if s.auth.jwks != nil {
				out(read(s.auth.jwks))
			}
		}}
	}
	hook := func(kind prometheus.ValueType, name, help string, read func(*auth.WebhookStats) float64) metric {
		return metric{name, help, kind, nil, func(s *snapshot, out emit) {
			if s.auth.hook != nil {
				out(read(s.auth.hook))
			}
		}}
	}
	return []metric{
		jwks(prometheus.CounterValue, "sluice_auth_jwks_fetches_total", "Times that the key set was asked for.", func(s *auth.JWKSStats) float64 { return float64(s.Fetches) }),
		jwks(prometheus.CounterValue, "sluice_auth_jwks_failures_total", "Of those, how many brought no keys.", func(s *auth.JWKSStats) float64 { return float64(s.Failures) }),
		jwks(prometheus.GaugeValue, "sluice_auth_jwks_keys", "Keys of the set that verify tokens now.", func(s *auth.JWKSStats) float64 { return float64(s.Keys) }),
		hook(prometheus.CounterValue, "sluice_auth_webhook_questions_total", "Tokens that the auth webhook was asked about.", func(s *auth.WebhookStats) float64 { return float64(s.Questions) }),
		hook(prometheus.CounterValue, "sluice_auth_webhook_failures_total", "Of those, how many it did not decide about.", func(s *auth.WebhookStats) float64 { return float64(s.Failures) }),
		hook(prometheus.GaugeValue, "sluice_auth_webhook_out", "1 while the auth webhook is left alone because it did not answer.", func(s *auth.WebhookStats) float64 {
			if s.Out {
				return 1
			}
			return 0
		}),
	}
}
