package gateway

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// stats is what this package counts itself. Everything else is read from the
// Stats of other packages when somebody asks for /metrics.
type stats struct {
	panics, refusedTokens atomic.Uint64
	requests              *prometheus.HistogramVec
}

func newStats() *stats {
	return &stats{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sluice_http_request_seconds",
		Help:    "Time to answer requests, by method, route and status.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
	}, []string{"method", "route", "status"})}
}

// observe counts one request. Methods are as foreign as anything else in it.
func (s *stats) observe(method, route string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	s.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// metric is one line of /metrics whose value is read on demand.
type metric struct {
	name, help string
	labels     prometheus.Labels
	kind       prometheus.ValueType
	value      func(*snapshot) float64
}

// snapshot is read once for all metrics of a scrape.
type snapshot struct {
	g                   *Gateway
	rooms               sfu.Stats
	publishers, viewers int
}

// Metrics are built once; the names are an interface to dashboards.
func metrics() []metric {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	role := func(r session.Role) prometheus.Labels { return prometheus.Labels{"role": string(r)} }
	return []metric{
		{"sluice_ready", "1 while new sessions are welcome.", nil, gauge, func(s *snapshot) float64 {
			if s.g.ready.Load() {
				return 1
			}
			return 0
		}},
		{"sluice_rooms", "Rooms on this node.", nil, gauge, func(s *snapshot) float64 { return float64(s.rooms.Rooms) }},
		{"sluice_publications", "Publications with a publisher.", nil, gauge, func(s *snapshot) float64 { return float64(s.rooms.Publications) }},
		{"sluice_subscriptions", "Viewers subscribed.", nil, gauge, func(s *snapshot) float64 { return float64(s.rooms.Subscriptions) }},
		{"sluice_sessions", "Living sessions.", role(session.RolePublisher), gauge, func(s *snapshot) float64 { return float64(s.publishers) }},
		{"sluice_sessions", "Living sessions.", role(session.RoleViewer), gauge, func(s *snapshot) float64 { return float64(s.viewers) }},
		{"sluice_rtp_packets_total", "RTP packets, first transmissions.", prometheus.Labels{"dir": "in"}, counter, func(s *snapshot) float64 { return float64(s.rooms.Packets) }},
		{"sluice_rtp_bytes_total", "RTP payload bytes, first transmissions.", prometheus.Labels{"dir": "in"}, counter, func(s *snapshot) float64 { return float64(s.rooms.Bytes) }},
		{"sluice_rtp_lost_total", "Packets of publishers that never came.", nil, counter, func(s *snapshot) float64 { return float64(s.rooms.Lost) }},
		{"sluice_rtp_duplicates_total", "Packets of publishers that came twice.", nil, counter, func(s *snapshot) float64 { return float64(s.rooms.Duplicates) }},
		{"sluice_rtp_recovered_total", "Packets that came because they were asked for.", nil, counter, func(s *snapshot) float64 { return float64(s.rooms.Recovered) }},
		{"sluice_nack_total", "Sequence numbers asked for.", prometheus.Labels{"dir": "out"}, counter, func(s *snapshot) float64 { return float64(s.rooms.NACKs) }},
		{"sluice_keyframe_requests_total", "Keyframe requests sent to publishers.", nil, counter, func(s *snapshot) float64 { return float64(s.rooms.PLIs) }},
		{"sluice_http_panics_total", "Handlers that panicked: each is a bug.", nil, counter, func(s *snapshot) float64 { return float64(s.g.stats.panics.Load()) }},
		{"sluice_auth_refused_total", "Requests with a token that is not known.", nil, counter, func(s *snapshot) float64 { return float64(s.g.stats.refusedTokens.Load()) }},
	}
}

// collector reads the node's statistics for one scrape.
type collector struct {
	g       *Gateway
	metrics []metric
	descs   []*prometheus.Desc
}

func newCollector(g *Gateway) *collector {
	c := &collector{g: g, metrics: metrics()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, nil, m.labels))
	}
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := &snapshot{g: c.g, rooms: c.g.rooms.Stats()}
	for _, living := range c.g.sessions.List() {
		if living.Info().Role == session.RolePublisher {
			s.publishers++
		} else {
			s.viewers++
		}
	}
	for i, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, m.value(s))
	}
}

// metricsHandler serves a registry of its own: nothing is shared with what
// libraries may have put into the global one.
func (g *Gateway) metricsHandler() http.Handler {
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the labels tell what runs.", ConstLabels: buildLabels(),
	}, func() float64 { return 1 })
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(g), g.stats.requests, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	})
}

func buildLabels() prometheus.Labels {
	labels := prometheus.Labels{"version": "unknown", "go": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["version"], labels["go"] = info.Main.Version, info.GoVersion
	}
	return labels
}
