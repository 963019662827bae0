package gateway

import (
	"net/http"
	"net/http/pprof"

	"github.com/julienschmidt/httprouter"
)

// getHealth tells that the process answers.
func (g *Gateway) getHealth(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	return writeText(w, http.StatusOK, "ok\n")
}

// getReady tells whether new sessions are welcome. It becomes true once, and
// false when the node begins to stop.
func (g *Gateway) getReady(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	if !g.ready.Load() {
		return writeText(w, http.StatusServiceUnavailable, "not ready\n")
	}
	return writeText(w, http.StatusOK, "ready\n")
}

func (g *Gateway) getOpenAPI(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	if g.cfg.OpenAPI == nil {
		return &problemError{name: "not-found"}
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(g.cfg.OpenAPI) // the client may be gone; nobody is left to tell
	return nil
}

func writeText(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may be gone; nobody is left to tell
	return nil
}

// adminHandler is the listener of --admin. It asks for no token.
func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /healthz":  g.getHealth,
		"GET /startupz": g.getReady, // a node alone has nothing more to wait for
		"GET /readyz":   g.getReady,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r, nil); err != nil {
				g.log.Error("admin request failed", "route", pattern, "err", err)
			}
		})
	}
	mux.Handle("GET /metrics", g.metricsHandler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
