package webhook

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// TestLossAtTheStop: every event that a disk which takes nothing keeps out at the
// stop is counted, also those that the writer had no time to take.
func TestLossAtTheStop(t *testing.T) {
	receiver := httptest.NewServer(http.NotFoundHandler())
	defer receiver.Close()
	cfg := DefaultConfig()
	cfg.Path, cfg.URLs, cfg.Log = filepath.Join(t.TempDir(), "webhooks.db"), []string{receiver.URL}, slog.New(slog.DiscardHandler)
	cfg.Secrets = []Secret{make([]byte, minSecret)}
	o, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.store.db.Close(); err != nil { // from now on nothing can be written
		t.Fatal(err)
	}
	const many = 2*maxBatch + 100
	for range many {
		o.Put(events.Event{Room: "a", Type: events.SessionJoined, Time: events.Time(time.Now()), Data: json.RawMessage(`{}`)})
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if lost := o.Stats().Lost; lost != many {
		t.Errorf("%d events are counted as lost, want %d", lost, many)
	}
}
