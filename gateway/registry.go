package gateway

import (
	"context"
	"path/filepath"
	"time"

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
	return err
}

// registryChanged is told every change of the registry, in order. The registry
// waits for it: it must not block, and must not write to the registry.
func (g *Gateway) registryChanged(c cluster.Change) { g.keeper.changes(c) }
