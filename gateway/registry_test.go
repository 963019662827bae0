package gateway_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

func TestOneNodeForADataDirectory(t *testing.T) {
	cfg := defaults(t)
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	first := gatewaytest.Run(t, cfg, slog.New(slog.DiscardHandler))
	if _, err := gateway.New(cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, cluster.ErrInUse) {
		t.Errorf("the second node: got %v, want ErrInUse", err)
	}
	res, err := first.Client.Get(first.LocalURL() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the first node answers with %s", res.Status)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	// What the first one held is free when it has ended.
	g, err := gateway.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
