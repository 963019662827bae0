package conformance_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/conformance"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// lesser stands before a node and leaves out what RFC 9725 leaves to servers.
type lesser struct {
	refuse  func(r *http.Request, body string) int // a status, or 0 to let it through
	change  func(r *http.Response)
	backend http.Handler
}

func (l *lesser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone, or was too slow
	}
	if l.refuse != nil {
		if status := l.refuse(r, string(body)); status != 0 {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", "GET, HEAD, DELETE, OPTIONS")
			}
			http.Error(w, "not here", status)
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.backend.ServeHTTP(w, r)
}

// start runs a node behind l and returns the suite's view of it.
func (l *lesser) start(t *testing.T) conformance.Target {
	t.Helper()
	front := httptest.NewServer(l)
	t.Cleanup(front.Close)
	cfg, err := gateway.DefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	cfg.Open, cfg.URL = true, front.URL
	n := gatewaytest.Run(t, cfg, slog.New(slog.DiscardHandler))
	node, err := url.Parse(n.LocalURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(node)
	proxy.ModifyResponse = func(r *http.Response) error {
		if l.change != nil {
			l.change(r)
		}
		return nil
	}
	l.backend = proxy
	return conformance.Target{WHIP: front.URL + "/whip/demo", WHEP: front.URL + "/whep/demo"}
}

// ufragOf is the ice-ufrag of an SDP or a fragment.
func ufragOf(text string) string {
	_, rest, _ := strings.Cut(text, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

// trickleAlone refuses fragments with another ufrag than the offer's.
func trickleAlone() *lesser {
	var offered sync.Map // ufrags of offers
	return &lesser{
		refuse: func(r *http.Request, body string) int {
			if r.Method == http.MethodPost {
				offered.Store(ufragOf(body), true)
			}
			if _, known := offered.Load(ufragOf(body)); r.Method == http.MethodPatch && ufragOf(body) != "" && !known {
				return http.StatusUnprocessableEntity
			}
			return 0
		},
	}
}

// onePublisher refuses a second session in a room, as three of the servers that
// were measured do, with the status of one of them.
func onePublisher() *lesser {
	var mu sync.Mutex // guards rooms
	rooms := map[string]string{}
	return &lesser{
		refuse: func(r *http.Request, _ string) int {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/whip/") && rooms[r.URL.Path] != "" {
				return http.StatusForbidden
			}
			return 0
		},
		change: func(r *http.Response) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.Request.Method == http.MethodPost && r.StatusCode == http.StatusCreated && strings.HasPrefix(r.Request.URL.Path, "/whip/"):
				rooms[r.Request.URL.Path] = path.Base(r.Header.Get("Location"))
			case r.Request.Method == http.MethodDelete:
				for room, session := range rooms {
					if session == path.Base(r.Request.URL.Path) {
						delete(rooms, room)
					}
				}
			}
		},
	}
}

// TestLesserServers judges servers that do less than ours and are right: nothing
// that binds may fail.
func TestLesserServers(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a part of the suite six times")
	}
	fragments := []string{
		"WHIP-ETAG", "WHIP-PATCH", "WHIP-TRK", "WHIP-RST", "WHIP-DEL", "WHIP-CORS", "WHIP-PROB", "WHIP-EXT", "WHIP-HTTP",
		"WHEP-PATCH", "WHEP-TRK", "WHEP-RST", "WHEP-DEL", "WHEP-EXT",
	}
	for name, tc := range map[string]struct {
		server *lesser
		only   []string
		passed []string // judged all the same
	}{
		"no PATCH": {
			&lesser{
				refuse: func(r *http.Request, _ string) int {
					if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/s/") {
						return http.StatusMethodNotAllowed
					}
					return 0
				},
				change: func(r *http.Response) { r.Header.Del("ETag") },
			},
			fragments,
			[]string{"WHIP-HTTP-01", "WHIP-DEL-03"},
		},
		"restarts alone": {
			&lesser{change: func(r *http.Response) {
				if r.Request.Method == http.MethodPatch && r.StatusCode == http.StatusNoContent {
					r.StatusCode = http.StatusUnprocessableEntity
				}
			}},
			fragments,
			[]string{"WHIP-PATCH-04", "WHIP-PATCH-05", "WHIP-PATCH-06", "WHIP-PATCH-07", "WHIP-RST-01", "WHIP-RST-09", "WHEP-RST-01"},
		},
		"trickle alone": {
			trickleAlone(), fragments,
			[]string{"WHIP-PATCH-04", "WHIP-PATCH-05", "WHIP-PATCH-06", "WHIP-PATCH-07", "WHIP-TRK-01", "WHEP-TRK-01"},
		},
		"no setup:active": {
			&lesser{refuse: func(r *http.Request, body string) int {
				if r.Method == http.MethodPost && strings.Contains(body, "a=setup:active") && strings.HasPrefix(r.URL.Path, "/whip/") {
					return http.StatusBadRequest
				}
				return 0
			}},
			[]string{"WHIP-RTP-01", "WHIP-RTP-03", "WHIP-RTP-04", "WHIP-OFFER-13", "WHIP-ANS-07"},
			[]string{"WHIP-RTP-01", "WHIP-OFFER-13", "WHIP-ANS-07"},
		},
		"one publisher": {
			onePublisher(),
			[]string{
				"WHIP-POST", "WHIP-OFFER", "WHIP-ANS", "WHIP-LOC", "WHIP-ETAG", "WHIP-PATCH", "WHIP-RST", "WHIP-DEL",
				"WHIP-SIM-02", "WHIP-SIM-03", "WHIP-SIM-06", "WHIP-RTP-01", "WHIP-RTP-03",
			},
			[]string{"WHIP-POST-03", "WHIP-OFFER-16", "WHIP-OFFER-19", "WHIP-ANS-20", "WHIP-ETAG-05", "WHIP-RTP-01", "WHIP-RTP-03"},
		},
		"texts for errors": {
			&lesser{change: func(r *http.Response) {
				if r.StatusCode >= 400 {
					r.Header.Set("Content-Type", "text/plain")
				}
			}},
			[]string{"WHIP-PROB", "WHEP-HTTP-10"},
			[]string{"WHIP-PROB-05", "WHEP-HTTP-10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := tc.server.start(t)
			for _, c := range conformance.Checks() {
				if slices.ContainsFunc(tc.only, func(o string) bool { return c.ID == o || strings.HasPrefix(c.ID, o+"-") }) && !c.Patient && c.Stage != conformance.Last {
					target.Only = append(target.Only, c.ID)
				}
			}
			report, err := conformance.Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				if r.Result == conformance.Fail && (r.Level.Binding() || r.Level.Advised() || r.Level == conformance.May) {
					t.Errorf("%s (%s): %s: %s", r.ID, r.Level, r.What, r.Detail)
				}
				if slices.Contains(tc.passed, r.ID) && r.Result != conformance.Pass {
					t.Errorf("%s: got %s %q, want it judged and passed", r.ID, r.Result, r.Detail)
				}
			}
		})
	}
}
