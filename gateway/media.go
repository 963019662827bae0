package gateway

import (
	"errors"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/gateway/load"
	"github.com/sluicemedia/sluice/sfu"
)

// probeWHIP answers GET: this is a WHIP endpoint, and no more is said (RFC
// 9725 section 4.1).
func (g *Gateway) probeWHIP(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	w.Header().Set("Accept-Post", "application/sdp")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// probeWHEP answers the HEAD by which players find out what a URL is, the same
// for every room (WHEP section 4.2).
func (g *Gateway) probeWHEP(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	w.Header().Set("Accept-Post", "application/sdp")
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

func (g *Gateway) postWHIP(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room := p.ByName("room")
	grants, err := g.enter(r, room, auth.Publish)
	if err != nil {
		return err
	}
	answered, err := g.admit(load.Publisher)
	if err != nil {
		return err
	}
	defer answered()
	w.Header().Set("Cache-Control", "no-store")
	g.addICEServers(w.Header())
	return g.whip.Post(w, r, labels(grants, room, p.ByName("publication")))
}

func (g *Gateway) postWHEP(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room := p.ByName("room")
	grants, err := g.enter(r, room, auth.Subscribe)
	if err != nil {
		return err
	}
	answered, err := g.admit(load.Viewer)
	if err != nil {
		return err
	}
	defer answered()
	w.Header().Set("Cache-Control", "no-store")
	g.addICEServers(w.Header())
	err = g.whep.Post(w, r, labels(grants, room, p.ByName("publication")))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sfu.ErrRoomNotFound):
		// A room comes into being with its publisher: to whoever may play
		// here, a room that is not there is one where nothing is on air yet.
		return sfu.ErrNotLive
	default:
		return viewerError{err}
	}
}

func (g *Gateway) getSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	if _, err := g.sessions.Find(id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (g *Gateway) patchSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return g.sessions.Patch(w, r, id)
}

func (g *Gateway) deleteSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.sessions.Delete(w, r, id)
}

func (g *Gateway) postEvents(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.whep.PostEvents(w, r, id)
}

func (g *Gateway) getEvents(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.whep.GetEvents(w, r, id)
}

func (g *Gateway) getEventStream(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeStream(r, id); err != nil {
		return err
	}
	return g.whep.GetStream(w, r, id, p.ByName("stream"))
}

func (g *Gateway) deleteEventStream(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.whep.DeleteStream(w, r, id, p.ByName("stream"))
}

func (g *Gateway) postLayer(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.whep.PostLayer(w, r, id)
}

func (g *Gateway) deleteLayer(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	return g.whep.DeleteLayer(w, r, id)
}
