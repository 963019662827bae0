package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemedia/sluice/events/webhook"
)

// webhookSnapshot is what a scrape reads of the webhooks.
type webhookSnapshot struct {
	stats     webhook.Stats
	endpoints []webhook.Status
	at        time.Time
}

func (g *Gateway) webhookSnapshot() webhookSnapshot {
	s := webhookSnapshot{at: time.Now()}
	if g.webhooks == nil {
		return s
	}
	s.stats = g.webhooks.Stats()
	list, err := g.webhooks.Endpoints()
	if err != nil {
		g.log.Warn("webhooks cannot be counted", "err", err)
	}
	s.endpoints = list
	return s
}

// webhookMetrics are by the endpoint's id, as GET /v1/webhooks shows it: its
// URL may be a secret.
func webhookMetrics() []metric {
	each := func(kind prometheus.ValueType, name, help string, read func(webhook.Status) float64) metric {
		return metric{name, help, kind, []string{"endpoint"}, func(s *snapshot, out emit) {
			for _, e := range s.webhooks.endpoints {
				out(read(e), e.ID)
			}
		}}
	}
	return []metric{
		each(prometheus.CounterValue, "sluice_webhook_sent_total", "Events that the endpoint took.", func(e webhook.Status) float64 { return float64(e.Sent) }),
		{"sluice_webhook_failed_total", "Tries that failed, by class.", prometheus.CounterValue, []string{"endpoint", "class"}, func(s *snapshot, out emit) {
			for _, e := range s.webhooks.endpoints {
				for class, n := range e.Failed {
					out(float64(n), e.ID, class)
				}
			}
		}},
		each(prometheus.GaugeValue, "sluice_webhook_backlog", "Events that wait on disk for the endpoint.", func(e webhook.Status) float64 { return float64(e.Backlog) }),
		{"sluice_webhook_oldest_seconds", "Since when the oldest of them waits.", prometheus.GaugeValue, []string{"endpoint"}, func(s *snapshot, out emit) {
			for _, e := range s.webhooks.endpoints {
				age := 0.0
				if !e.Oldest.IsZero() {
					age = max(0, s.webhooks.at.Sub(e.Oldest).Seconds())
				}
				out(age, e.ID)
			}
		}},
		each(prometheus.GaugeValue, "sluice_webhook_dead", "Dead letters that are kept.", func(e webhook.Status) float64 { return float64(e.Dead) }),
		each(prometheus.CounterValue, "sluice_webhook_dead_total", "Events that became a dead letter.", func(e webhook.Status) float64 { return float64(e.Buried) }),
		each(prometheus.CounterValue, "sluice_webhook_dropped_total", "Dead letters that were let go, too old or too many.", func(e webhook.Status) float64 { return float64(e.Dropped) }),
		counter("sluice_webhook_lost_total", "Events for webhooks that never got to the disk.", func(s *snapshot) uint64 { return s.webhooks.stats.Lost }),
		counter("sluice_webhook_disk_errors_total", "Times that the disk refused events for webhooks.", func(s *snapshot) uint64 { return s.webhooks.stats.FailedWrites }),
	}
}
