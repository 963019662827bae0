package gateway

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/session"
)

// handler answers one request, or returns why it did not. It must not have
// written anything when it returns an error.
type handler func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error

// Header values that every response of the public listener carries. A star for
// Allow-Headers would not cover Authorization (FETCH standard).
const (
	corsHeaders = "Authorization, Content-Type, If-Match, If-None-Match, ETag, Link, Prefer, Last-Event-ID, Idempotency-Key"
	corsMethods = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
	corsExpose  = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate, Preference-Applied, Idempotency-Replayed, Access-Control-Allow-Methods"
)

// handle is the frame around every handler: request id, CORS, problems,
// panics, the log. The pattern stands in the log in place of the path, because
// the path of a session URL is a secret.
func (g *Gateway) handle(pattern string, h handler) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		began, id := time.Now(), rand.Text()[:16]
		setCommonHeaders(w.Header(), id)
		rec := &recorder{ResponseWriter: w}
		err := g.call(rec, r, p, pattern, h)
		name := ""
		if err != nil && rec.status == 0 {
			err = g.limitFailure(r, pattern, err)
			name = g.writeProblem(rec, r, err, id).name
			g.stats.problems.WithLabelValues(name).Inc()
		}
		if rec.status == 0 {
			rec.status = http.StatusOK // nothing was written: net/http says so
		}
		g.stats.observe(r.Method, pattern, rec.status, time.Since(began))
		log, message := g.log.Debug, "request answered"
		if role := opens(r.Method, pattern); name != "" && role != "" {
			g.stats.refusals.WithLabelValues(string(role), name).Inc()
			if name != "not-live" && g.refusals.Allow() {
				log, message = g.log.Info, "session refused"
			}
		}
		if rec.status >= http.StatusInternalServerError && rec.status != http.StatusServiceUnavailable {
			log, message = g.log.Error, "request failed"
		}
		log(message, "request", id, "method", r.Method, "route", pattern, "room", p.ByName("room"),
			"status", rec.status, "problem", name, "duration_ms", time.Since(began).Milliseconds(), "err", err)
	}
}

// opens is the role that an offer asks for, "" for other requests. Its refusal
// belongs in the log of a quiet node: OBS and ffmpeg show little of the reason,
// so this is where it is looked for. Viewers who wait for a publisher are no
// news, and a flood must not fill the disk.
func opens(method, pattern string) session.Role {
	switch {
	case method != http.MethodPost:
		return ""
	case strings.HasPrefix(pattern, "/whip/"):
		return session.RolePublisher
	case strings.HasPrefix(pattern, "/whep/"):
		return session.RoleViewer
	}
	return ""
}

func setCommonHeaders(h http.Header, requestID string) {
	h.Set("X-Request-Id", requestID)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Expose-Headers", corsExpose)
	h.Set("Access-Control-Max-Age", "86400")
}

// call runs the handler after the path was found legal. A panic is a bug: it
// is counted, told to the log, and costs one request.
func (g *Gateway) call(w http.ResponseWriter, r *http.Request, p httprouter.Params, pattern string, h handler) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		g.stats.panics.Add(1)
		g.log.Error("handler panicked", "route", pattern, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		err = fmt.Errorf("gateway: panic: %v", v)
	}()
	if !legalPath(r, p) {
		return &problemError{name: "not-found"}
	}
	return h(w, r, p)
}

// legalPath checks the names in the path. An escaped slash is one that the
// router took for a separator.
func legalPath(r *http.Request, p httprouter.Params) bool {
	if strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") {
		return false
	}
	for _, param := range p {
		if param.Value == "" || param.Value == "/" { // an empty segment
			return false
		}
		if (param.Key == "room" || param.Key == "publication") && !legalName(param.Value) {
			return false
		}
	}
	return true
}

// recorder remembers the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController: reading an offer sets a deadline.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
