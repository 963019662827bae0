package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemedia/sluice/cluster"
)

// openTime bounds the start of the registry: a million rooms are read in a few
// seconds.
const openTime = time.Minute

// openRegistry opens the registry. When it returns, it has caught up: what is
// read from it is what was last decided.
func (g *Gateway) openRegistry() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime) //nolint:forbidigo // New has no caller to wait for it longer than that
	defer cancel()
	g.registry, err = cluster.Open(ctx, cluster.Config{
		Node: g.node, Dir: filepath.Join(g.cfg.Data, "registry"), URL: g.cfg.NodeURL,
		Log: g.log, OnChange: g.registryChanged,
	})
	if errors.Is(err, cluster.ErrInUse) {
		return fmt.Errorf("%w; give each node its own: --data DIR", err)
	}
	if err == nil {
		g.loadRevocations()
	}
	return err
}

// registryChanged is told every change of the registry, in order. The registry
// waits for it: it must not block, and must not write to the registry.
func (g *Gateway) registryChanged(c cluster.Change) {
	g.followRevocations(c)
	g.keeper.changes(c)
}

func registryMetrics() []metric {
	yes := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	return []metric{
		gauge("sluice_registry_applied_index", "Index of the last entry of the registry's log that this node has applied.", func(s *snapshot) float64 { return float64(s.registry.Applied) }),
		gauge("sluice_registry_leader", "1 while this node takes writes to the registry.", func(s *snapshot) float64 { return yes(s.registry.Leader) }),
		gauge("sluice_registry_failed", "1 while the disk refuses what the registry writes.", func(s *snapshot) float64 { return yes(s.registry.Failed) }),
		counter("sluice_registry_write_errors_total", "Writes to the registry that were not decided: no leader, or a disk that refuses.", func(s *snapshot) uint64 { return s.registry.WriteErrors }),
	}
}

func registryWriteDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_registry_write_seconds", "Time until a write to the registry was decided and on disk.", nil, nil)
}

// registryWriteTime is the histogram that the registry keeps itself.
func registryWriteTime(s cluster.Stats) prometheus.Metric {
	buckets := map[float64]uint64{}
	for i, bound := range cluster.WriteBounds() {
		buckets[bound.Seconds()] = s.WriteBuckets[i]
	}
	return prometheus.MustNewConstHistogram(registryWriteDesc(), s.Writes, s.WriteTime.Seconds(), buckets)
}
