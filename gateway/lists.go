package gateway

import (
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// sessionView is a session as the API shows it.
type sessionView struct {
	ID          string       `json:"id"`
	Room        string       `json:"room"`
	Publication string       `json:"publication"`
	Role        session.Role `json:"role"`
	Identity    string       `json:"identity,omitempty"`
	Name        string       `json:"name,omitempty"`    // to show to people
	Expires     *stamp       `json:"expires,omitempty"` // when its token ends, and it with it
	State       string       `json:"state"`
	Cause       *string      `json:"cause"`
	Advice      *adviceView  `json:"advice"` // null while all is well
	Since       stamp        `json:"since"`
	Transport   string       `json:"transport"`
	Node        string       `json:"node"`
	Tracks      []trackView  `json:"tracks"`
	Stats       statsView    `json:"stats"`
}

// adviceView says in plain words what is wrong and what somebody in the session's
// role can do about it.
type adviceView struct {
	Title string `json:"title"`
	Next  string `json:"next"`
	Type  string `json:"type"` // the page that explains the cause
}

type trackView struct {
	Kind   string      `json:"kind"`
	Codec  string      `json:"codec"`
	Layers []layerView `json:"layers"`
}

// layerView is one encoding of a track, the best first; without simulcast a
// track has one.
type layerView struct {
	RID     string  `json:"rid"`    // "" without simulcast
	Width   int     `json:"width"`  // 0: not known, or no video
	Height  int     `json:"height"` // as width
	FPS     float64 `json:"fps"`
	Bitrate uint64  `json:"bitrate"` // bit/s
	Active  bool    `json:"active"`
}

type statsView struct {
	RTT        int64   `json:"rtt_ms"`
	Loss       float64 `json:"loss"` // share of packets, 0 to 1
	Jitter     int64   `json:"jitter_ms"`
	Bitrate    uint64  `json:"bitrate"` // bit/s
	NACKs      uint64  `json:"nacks"`
	PLIs       uint64  `json:"plis"`
	FirstFrame *int64  `json:"first_frame_ms,omitempty"`
}

func (g *Gateway) listSessions(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := g.administered(r, p)
	if err != nil {
		return err
	}
	published := map[string]sfu.PublicationInfo{}
	for _, pub := range info.Publications {
		published[pub.Session] = pub
	}
	var sessions []session.Info
	state := r.URL.Query().Get("state")
	switch state {
	default:
		return &problemError{name: "query-malformed"}
	case "", "connecting", "live", "silent", "ended":
	}
	if state == "ended" {
		sessions = g.sessions.ListEnded()
	} else {
		for _, s := range g.sessions.List() {
			if s.Labels().Room == info.Name {
				sessions = append(sessions, s.Info())
			}
		}
	}
	items := []sessionView{}
	for _, s := range sessions {
		if s.Labels.Room == info.Name && (state == "" || state == s.State) {
			items = append(items, g.sessionOf(s, published[s.ID]))
		}
	}
	return writeList(w, r, items, func(s sessionView) string { return sinceKey(s.Since) + s.ID })
}

// sinceKey sorts as the times do.
func sinceKey(s stamp) string { return time.Time(s).UTC().Format("20060102150405.000000000") }

func (g *Gateway) sessionOf(s session.Info, pub sfu.PublicationInfo) sessionView {
	out := sessionView{
		ID: s.ID, Room: s.Labels.Room, Publication: s.Labels.Publication, Role: s.Role, Identity: s.Labels.Identity, Name: s.Labels.Name,
		State: s.State, Since: stamp(s.Since), Transport: "udp", Node: g.node,
		Tracks: tracksOf(pub), Stats: statsView{RTT: s.RTT.Milliseconds()},
	}
	if end := s.Labels.Token.Expires; !end.IsZero() {
		if held, known := g.leases.of(s.ID); known {
			end = held.expires // it may have been refreshed
		}
		out.Expires = new(stamp)
		*out.Expires = stamp(end)
	}
	if s.Cause != "" {
		cause := string(s.Cause)
		out.Cause = &cause
		if a, ok := s.Cause.Advice(); ok {
			out.Advice = &adviceView{Title: a.Title, Next: a.NextStep(s.Role), Type: "/problems/" + cause}
		}
	}
	for _, t := range pub.Tracks {
		out.Stats.Bitrate += t.Stats.Bitrate
		out.Stats.NACKs += t.Stats.NACKs
		out.Stats.PLIs += t.Stats.PLIs
		if all := t.Stats.Packets + t.Stats.Lost; t.Kind == "video" && all > 0 {
			out.Stats.Loss = float64(t.Stats.Lost) / float64(all)
		}
	}
	if v := s.Viewer; v != nil {
		out.Stats.Loss, out.Stats.Jitter = v.LossFraction, v.Jitter.Milliseconds()
		out.Stats.NACKs, out.Stats.PLIs = v.NACKs, v.KeyframeRequests
		if v.RTT > 0 {
			out.Stats.RTT = v.RTT.Milliseconds()
		}
		if !v.FirstVideo.IsZero() {
			ms := v.FirstVideo.Sub(s.Since).Milliseconds()
			out.Stats.FirstFrame = &ms
		}
	}
	return out
}

func tracksOf(pub sfu.PublicationInfo) []trackView {
	tracks := make([]trackView, 0, len(pub.Tracks))
	for _, t := range pub.Tracks {
		view := trackView{Kind: t.Kind, Codec: t.Codec, Layers: make([]layerView, 0, len(t.Layers))}
		for _, l := range t.Layers {
			view.Layers = append(view.Layers, layerView(l))
		}
		tracks = append(tracks, view)
	}
	return tracks
}

// showSession shows one session of the room, for a minute after its end, too.
func (g *Gateway) showSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := g.administered(r, p)
	if err != nil {
		return err
	}
	s, err := g.sessionIn(info.Name, p.ByName("session"))
	if err != nil {
		return err
	}
	var published sfu.PublicationInfo
	for _, pub := range info.Publications {
		if pub.Session == s.ID {
			published = pub
		}
	}
	return writeJSON(w, http.StatusOK, g.sessionOf(s, published))
}

// sessionIn finds a session of a room by the id that lists show.
func (g *Gateway) sessionIn(room, id string) (session.Info, error) {
	for _, s := range g.sessions.List() {
		if s.Labels().Room == room && session.PublicID(s.ID()) == id {
			return s.Info(), nil
		}
	}
	for _, s := range g.sessions.ListEnded() {
		if s.Labels.Room == room && s.ID == id {
			return s, nil
		}
	}
	return session.Info{}, session.ErrNotFound
}

// kickSession ends a session of the room, and lets nobody return by its token.
func (g *Gateway) kickSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Moderate); err != nil {
		return err
	}
	s, err := g.find(name, p.ByName("session"))
	if err != nil {
		return err
	}
	if err := g.kick(r.Context(), s); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
