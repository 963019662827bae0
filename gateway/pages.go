package gateway

import (
	"net/http"

	"github.com/julienschmidt/httprouter"
)

// page serves a handler of package web. Its 404 has our form.
func page(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
		catcher := &notFoundCatcher{ResponseWriter: w}
		h.ServeHTTP(catcher, r)
		if catcher.caught {
			return &problemError{name: "not-found"}
		}
		return nil
	}
}

// notFoundCatcher holds a 404 and its text back.
type notFoundCatcher struct {
	http.ResponseWriter
	caught bool
}

func (w *notFoundCatcher) WriteHeader(status int) {
	if status == http.StatusNotFound {
		w.caught = true
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *notFoundCatcher) Write(b []byte) (int, error) {
	if w.caught {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *notFoundCatcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }
