package gateway

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemedia/sluice/gateway/load"
	"github.com/sluicemedia/sluice/session"
)

// admit lets an offer be read unless the node carries too much for it. It comes
// after the question who asks, so that load is told to those alone who may know
// of the room, and before anything that costs time. What is returned is to be
// called when the offer was answered.
func (g *Gateway) admit(role load.Role) (answered func(), err error) {
	answered, why := g.load.Admit(role)
	if why != load.ReasonNone {
		return nil, &problemError{name: "overloaded"}
	}
	return answered, nil
}

// census counts the sessions for every offer.
func (g *Gateway) census() (c load.Census) {
	for role, r := range [...]session.Role{load.Viewer: session.RoleViewer, load.Publisher: session.RolePublisher} {
		n := g.sessions.Census(r)
		c.Connected[role], c.Connecting[role] = n.Connected, n.Connecting
	}
	return c
}

// mediaLoad is what the media path tells of itself.
func (g *Gateway) mediaLoad() load.Media {
	rooms, media := g.rooms.Stats(), g.sessions.Load()
	return load.Media{
		Busy: media.Busy, Delay: media.Delay,
		PacketsIn: rooms.Packets, PacketsOut: media.Packets,
		SendDrops: media.SendDrops, RecvDrops: media.ReceiveDrops,
		Joins:     g.sessions.Census(session.RoleViewer).Joined,
		Publishes: g.sessions.Census(session.RolePublisher).Joined,
		Idle:      rooms.Idle,
	}
}

// loadChanged tells of the first who is refused and of when that is over.
func (g *Gateway) loadChanged(c load.Change) {
	about := []any{
		slog.String("role", c.Role.String()), slog.String("reason", string(c.Why)), slog.Float64("cpu", c.Status.CPU),
		slog.Float64("shards", c.Status.Shards), slog.Float64("limit", c.Status.Limit),
		slog.Int64("delay_ms", c.Status.Delay.Milliseconds()), slog.Int("viewers_left", c.Status.Room),
	}
	if c.Closed {
		g.log.Warn("offers refused for load", about...)
	} else {
		g.log.Warn("offers accepted again", about...)
	}
}

// loadMetrics is what is known of the load.
func loadMetrics() []metric {
	status := func(name, help string, read func(load.Status) float64) metric {
		return gauge(name, help, func(s *snapshot) float64 { return read(s.load) })
	}
	each := func(out emit, read func(load.Role) float64) {
		for _, role := range []load.Role{load.Viewer, load.Publisher} {
			out(read(role), role.String())
		}
	}
	return []metric{
		{"sluice_load", "Share of the processors' time that the process uses, and of its time that the busiest shard works, joins left out.", prometheus.GaugeValue, []string{"signal"}, func(s *snapshot, out emit) {
			out(s.load.CPU, "cpu")
			out(s.load.Shards, "shards")
		}},
		status("sluice_load_limit", "Load up to which viewers are let in; lower after trouble.", func(s load.Status) float64 { return s.Limit }),
		{"sluice_load_delay_seconds", "How long packets to viewers (longest) and goroutines (p99) waited lately.", prometheus.GaugeValue, []string{"signal"}, func(s *snapshot, out emit) {
			out(s.load.Delay.Seconds(), "packets")
			out(s.load.Sched.Seconds(), "goroutines")
		}},
		counter("sluice_media_socket_dropped_total", "Datagrams that the media socket had no room for.", func(s *snapshot) uint64 { return s.load.RecvDrops }),
		status("sluice_viewer_cost", "Share of the node that one more viewer is expected to take.", func(s load.Status) float64 { return s.ViewerCost }),
		status("sluice_viewers_left", "Viewers who would be let in now.", func(s load.Status) float64 { return float64(s.Room) }),
		{"sluice_admission_open", "1 while offers of a role are let in, 0 while they are refused for load.", prometheus.GaugeValue, []string{"role"}, func(s *snapshot, out emit) {
			each(out, func(r load.Role) float64 {
				if s.load.Closed[r] {
					return 0
				}
				return 1
			})
		}},
		{"sluice_admission_admitted_total", "Offers that were let in, by role.", prometheus.CounterValue, []string{"role"}, func(s *snapshot, out emit) {
			each(out, func(r load.Role) float64 { return float64(s.load.Admitted[r]) })
		}},
		{"sluice_admission_refused_total", "Offers that were refused for load, by role and reason.", prometheus.CounterValue, []string{"role", "reason"}, func(s *snapshot, out emit) {
			for role, reasons := range s.load.Refused {
				for reason, n := range reasons {
					out(float64(n), load.Role(role).String(), string(reason))
				}
			}
		}},
	}
}
