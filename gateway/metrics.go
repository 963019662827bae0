package gateway

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway/load"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// stats is what this package counts itself. Everything else is read from the
// Stats of other packages when somebody asks for /metrics.
type stats struct {
	panics, refusedTokens, limited atomic.Uint64
	requests                       *prometheus.HistogramVec
	refusals, problems             *prometheus.CounterVec
}

func newStats() *stats {
	return &stats{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_http_request_seconds",
			Help:    "Time to answer requests, by method, route and status.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
		}, []string{"method", "route", "status"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_session_refused_total",
			Help: "Offers that became no session, by role and cause.",
		}, []string{"role", "cause"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_refused_total",
			Help: "Requests that were refused or failed, by the name of the problem.",
		}, []string{"problem"}),
	}
}

// observe counts one request. A method is foreign text: only known ones
// become labels.
func (s *stats) observe(method, route string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	s.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// snapshot is what one scrape reads, once for all metrics.
type snapshot struct {
	ready         bool
	rooms         sfu.Stats
	sessions      session.Stats
	panics        uint64
	refusedTokens uint64
	limited       uint64
	load          load.Status
	registry      cluster.Stats
	webhooks      webhookSnapshot
	hub           events.Stats
	auth          authSnapshot
}

func (g *Gateway) snapshot() *snapshot {
	return &snapshot{
		ready:         g.ready.Load(),
		rooms:         g.rooms.Stats(),
		sessions:      g.sessions.Stats(),
		panics:        g.stats.panics.Load(),
		refusedTokens: g.stats.refusedTokens.Load(),
		limited:       g.stats.limited.Load(),
		load:          g.load.Status(),
		registry:      g.registry.Stats(),
		webhooks:      g.webhookSnapshot(),
		hub:           g.hub.Stats(),
		auth:          g.services.snapshot(),
	}
}

// emit gives one series its value.
type emit func(value float64, labels ...string)

// metric is one name of /metrics; its name and labels are an interface to
// dashboards.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(s *snapshot, out emit)
}

func gauge(name, help string, read func(*snapshot) float64) metric {
	return metric{name, help, prometheus.GaugeValue, nil, func(s *snapshot, out emit) { out(read(s)) }}
}

func counter(name, help string, read func(*snapshot) uint64) metric {
	return metric{name, help, prometheus.CounterValue, nil, func(s *snapshot, out emit) { out(float64(read(s))) }}
}

// metrics is every metric that is read from other packages.
func metrics() []metric {
	return slices.Concat(loadMetrics(), webhookMetrics(), roomEventMetrics(), registryMetrics(), authMetrics(), []metric{
		gauge("sluice_ready", "1 while new sessions are welcome.", func(s *snapshot) float64 {
			if s.ready {
				return 1
			}
			return 0
		}),
		gauge("sluice_rooms", "Rooms on this node.", func(s *snapshot) float64 { return float64(s.rooms.Rooms) }),
		gauge("sluice_publications", "Publications with a publisher.", func(s *snapshot) float64 { return float64(s.rooms.Publications) }),
		gauge("sluice_subscriptions", "Viewers subscribed.", func(s *snapshot) float64 { return float64(s.rooms.Subscriptions) }),
		counter("sluice_unplayable_total", "Tracks that a viewer could not be given, for want of the codec.", func(s *snapshot) uint64 { return s.rooms.Unplayable }),
		{"sluice_sessions", "Living sessions, by role and state.", prometheus.GaugeValue, []string{"role", "state"}, func(s *snapshot, out emit) {
			for role, states := range s.sessions.Sessions {
				for state, n := range states {
					out(float64(n), string(role), state)
				}
			}
		}},
		{"sluice_session_causes", "Living sessions in trouble, by role and cause.", prometheus.GaugeValue, []string{"role", "cause"}, func(s *snapshot, out emit) {
			for role, causes := range s.sessions.Troubled {
				for cause, n := range causes {
					out(float64(n), string(role), string(cause))
				}
			}
		}},
		{"sluice_session_end_total", "Sessions that ended, by role and cause.", prometheus.CounterValue, []string{"role", "cause"}, func(s *snapshot, out emit) {
			for role, causes := range s.sessions.Ended {
				for cause, n := range causes {
					out(float64(n), string(role), string(cause))
				}
			}
		}},
		{"sluice_viewer_handshakes_total", "DTLS handshakes of viewers, by result.", prometheus.CounterValue, []string{"result"}, func(s *snapshot, out emit) {
			out(float64(s.sessions.Handshakes.Done), "done")
			out(float64(s.sessions.Handshakes.Failed), "failed")
		}},
		gauge("sluice_viewer_handshakes", "DTLS handshakes of viewers under way.", func(s *snapshot) float64 { return float64(s.sessions.Handshakes.UnderWay) }),
		gauge("sluice_viewer_handshakes_waiting", "Viewers whose DTLS handshake waits for its turn.", func(s *snapshot) float64 { return float64(s.sessions.Handshakes.Waiting) }),
		{"sluice_ice_checks_total", "Connectivity checks of viewers, by verdict.", prometheus.CounterValue, []string{"verdict"}, func(s *snapshot, out emit) {
			for verdict, n := range s.sessions.Checks {
				out(float64(n), verdict)
			}
		}},
		{"sluice_datagrams_dropped_total", "Datagrams that were thrown away, by reason.", prometheus.CounterValue, []string{"reason"}, func(s *snapshot, out emit) {
			for reason, n := range s.sessions.Drops {
				out(float64(n), reason)
			}
		}},
		counter("sluice_rtp_in_packets_total", "RTP packets of publishers.", func(s *snapshot) uint64 { return s.rooms.Packets }),
		counter("sluice_rtp_in_bytes_total", "Payload bytes of publishers.", func(s *snapshot) uint64 { return s.rooms.Bytes }),
		counter("sluice_rtp_in_lost_total", "Packets of publishers that never came.", func(s *snapshot) uint64 { return s.rooms.Lost }),
		counter("sluice_rtp_in_duplicates_total", "Packets of publishers that came twice.", func(s *snapshot) uint64 { return s.rooms.Duplicates }),
		counter("sluice_rtp_in_malformed_total", "Datagrams of publishers that are no RTP packets.", func(s *snapshot) uint64 { return s.rooms.Malformed }),
		counter("sluice_rtp_out_packets_total", "RTP packets to viewers, first transmissions.", func(s *snapshot) uint64 { return s.sessions.Egress.Packets }),
		counter("sluice_rtp_out_bytes_total", "Payload bytes to viewers, first transmissions.", func(s *snapshot) uint64 { return s.sessions.Egress.Bytes }),
		counter("sluice_rtp_out_retransmitted_total", "Packets sent to viewers again.", func(s *snapshot) uint64 { return s.sessions.Egress.Retransmitted }),
		counter("sluice_rtp_out_dropped_total", "Packets to viewers given up because the socket was full.", func(s *snapshot) uint64 { return s.sessions.Egress.Dropped }),
		counter("sluice_rtp_out_oversize_total", "Packets not sent because they were too long.", func(s *snapshot) uint64 { return s.sessions.Egress.Oversize }),
		counter("sluice_rtp_out_errors_total", "Datagrams to viewers that could not be written.", func(s *snapshot) uint64 { return s.sessions.Egress.WriteErrors }),
		gauge("sluice_egress_viewers", "Viewers that are sent media.", func(s *snapshot) float64 { return float64(s.sessions.Egress.Viewers) }),
		gauge("sluice_egress_catching_up", "Streams that are sent their first pictures, paced.", func(s *snapshot) float64 { return float64(s.sessions.Egress.CatchingUp) }),
		counter("sluice_nack_total", "Sequence numbers that publishers were asked for again.", func(s *snapshot) uint64 { return s.rooms.NACKs }),
		counter("sluice_nack_recovered_total", "Of those, how many came.", func(s *snapshot) uint64 { return s.rooms.Recovered }),
		counter("sluice_keyframe_requests_total", "Keyframe requests sent to publishers.", func(s *snapshot) uint64 { return s.rooms.PLIs }),
		counter("sluice_http_panics_total", "Handlers that panicked: each is a bug.", func(s *snapshot) uint64 { return s.panics }),
		counter("sluice_auth_refused_total", "Requests with a token that is not known.", func(s *snapshot) uint64 { return s.refusedTokens }),
		counter("sluice_http_limited_total", "Failed requests answered with 429 because their address had too many of them.", func(s *snapshot) uint64 { return s.limited }),
	})
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
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- registryWriteDesc()
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.g.snapshot()
	for i, m := range c.metrics {
		m.read(s, func(value float64, labels ...string) {
			out, err := prometheus.NewConstMetric(c.descs[i], m.kind, value, labels...)
			if err != nil {
				out = prometheus.NewInvalidMetric(c.descs[i], err)
			}
			ch <- out
		})
	}
	ch <- registryWriteTime(s.registry)
}

// metricsHandler serves a registry of its own: nothing is shared with what
// libraries may have put into the global one.
func (g *Gateway) metricsHandler() http.Handler {
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the labels tell what runs.", ConstLabels: buildLabels(),
	}, func() float64 { return 1 })
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(g), g.stats.requests, g.stats.refusals, g.stats.problems, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	})
}

func buildLabels() prometheus.Labels {
	labels := prometheus.Labels{"version": "unknown", "go": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["version"], labels["go"] = info.Main.Version, info.GoVersion
	}
	return labels
}
