// Package gatewaytest runs whole nodes inside tests.
package gatewaytest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/sfu"
)

// Node is a node that runs in this process.
type Node struct {
	*gateway.Gateway
	// Client talks to the node; its connections end with the node.
	Client *http.Client

	stop    context.CancelFunc
	stopped chan struct{} // closed when Run has returned
	err     error         // of Run; read after stopped
}

// Start runs a node on free ports of 127.0.0.1 until the test ends. Options
// change its configuration before the start.
func Start(tb testing.TB, options ...func(*gateway.Config)) *Node {
	tb.Helper()
	return StartOn(tb, "127.0.0.1", options...)
}

// StartOn is Start on another address of this machine.
func StartOn(tb testing.TB, host string, options ...func(*gateway.Config)) *Node {
	tb.Helper()
	cfg, err := gateway.DefaultConfig()
	if err != nil {
		tb.Fatal(err)
	}
	cfg.HTTP, cfg.Media, cfg.Admin = net.JoinHostPort(host, "0"), net.JoinHostPort(host, "0"), "127.0.0.1:0"
	cfg.Data, cfg.Open = tb.TempDir(), true
	cfg.OpenAPI = OpenAPI(tb)
	for _, o := range options {
		o(&cfg)
	}
	return Run(tb, cfg, slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// Run runs a node with all of its configuration given, and with a log of the
// test's own. Prepare is called before the node runs.
func Run(tb testing.TB, cfg gateway.Config, log *slog.Logger, prepare ...func(*gateway.Gateway)) *Node {
	tb.Helper()
	g, err := gateway.New(cfg, log)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range prepare {
		p(g)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	n := &Node{
		Gateway: g,
		Client:  &http.Client{Transport: &http.Transport{}},
		stop:    cancel,
		stopped: make(chan struct{}),
	}
	go func() { // Stop waits
		defer close(n.stopped)
		n.err = g.Run(ctx)
	}()
	tb.Cleanup(func() {
		if err := n.Stop(); err != nil {
			tb.Errorf("the node ended with %v", err)
		}
	})
	return n
}

// Stop ends the node as SIGTERM does, and returns what Run returned.
func (n *Node) Stop() error {
	n.Client.CloseIdleConnections()
	n.stop()
	<-n.stopped
	return n.err
}

// OpenAPI is the document of this repository.
func OpenAPI(tb testing.TB) []byte {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("the sources of the test cannot be found")
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "openapi.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// Waiting is the settings of a room that viewers may enter before a publisher.
func Waiting() sfu.Settings { return sfu.Settings{Wait: true} }
