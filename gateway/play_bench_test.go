package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// BenchmarkPlay is all of a POST that opens a viewer's session, but for net/http:
// a browser's offer in, 201 with the answer out. Ending the session is not
// measured.
func BenchmarkPlay(b *testing.B) {
	offer, err := os.ReadFile("../session/testdata/offers/chromium-156-whep-play.sdp")
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := DefaultConfig()
	if err != nil {
		b.Fatal(err)
	}
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Node = "127.0.0.1:0", "127.0.0.1:0", "", "bench"
	g, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := g.Close(); err != nil {
			b.Error(err)
		}
	})
	handler := g.handler()
	put := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/rooms", strings.NewReader(`{"name":"demo","wait":true}`))
	put.Header.Set("Content-Type", "application/json")
	made := httptest.NewRecorder()
	handler.ServeHTTP(made, put)
	if made.Code != http.StatusCreated {
		b.Fatalf("%d: %s", made.Code, made.Body)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/whep/demo", bytes.NewReader(offer))
		r.Header.Set("Content-Type", "application/sdp")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			b.Fatalf("%d: %s", w.Code, w.Body)
		}
		b.StopTimer()
		for _, s := range g.Sessions().List() {
			s.Close(session.CauseDeleted)
			<-s.Done()
		}
		b.StartTimer()
	}
}
