package gateway_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

func TestOneNodeForADataDirectory(t *testing.T) {
	cfg := defaults(t)
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	first := gatewaytest.Run(t, cfg, slog.New(slog.DiscardHandler))
	if _, err := gateway.New(cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, cluster.ErrInUse) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("the second node: got %v, want ErrInUse and what to do", err)
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

func TestRegistryMetrics(t *testing.T) {
	n := gatewaytest.Start(t)
	_, body := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, n.AdminURL()+"/metrics")
	for _, want := range []string{
		"\nsluice_registry_leader 1\n", "\nsluice_registry_failed 0\n", "\nsluice_registry_write_errors_total 0\n",
		"\nsluice_registry_applied_index ", "\nsluice_registry_write_seconds_bucket{le=\"0.005\"} ", "\nsluice_registry_write_seconds_bucket{le=\"+Inf\"} ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in /metrics", want)
		}
	}
	if strings.Contains(body, "\nsluice_registry_applied_index 0\n") {
		t.Error("the node has not joined")
	}
}
