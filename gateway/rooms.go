package gateway

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// room is a room as the API shows it.
type room struct {
	Name            string   `json:"name"`
	Wait            bool     `json:"wait"`
	Conflict        string   `json:"conflict"`
	Members         []string `json:"members"`
	MaxPublications int      `json:"max_publications"`
	MaxViewers      int      `json:"max_viewers"`
	Record          string   `json:"record"`
	Program         *string  `json:"program"`
	Locked          bool     `json:"locked"`
	Created         stamp    `json:"created"`
	Live            bool     `json:"live"`
	Publications    int      `json:"publications"`
	Viewers         int      `json:"viewers"`
	URLs            roomURLs `json:"urls"`
}

// roomURLs is where a room is found. Pages and events of later versions join
// it when they exist.
type roomURLs struct {
	WHIP    string `json:"whip"`
	WHEP    string `json:"whep"`
	Play    string `json:"play"`
	Publish string `json:"publish"`
}

// The values of a room's conflict field.
const (
	conflictReject  = "reject"
	conflictReplace = "replace"
)

// roomChange is the body of a POST or PATCH; nil fields stay as they are.
// Those of later versions are known, so that setting one is refused in words.
type roomChange struct {
	Name            *string         `json:"name"`
	Wait            *bool           `json:"wait"`
	Conflict        *string         `json:"conflict"`
	MaxPublications *int            `json:"max_publications"`
	MaxViewers      *int            `json:"max_viewers"`
	Password        *string         `json:"password"`
	Members         []string        `json:"members"`
	Record          *string         `json:"record"`
	Program         json.RawMessage `json:"program"`
	Locked          *bool           `json:"locked"`
}

// refuseLater refuses what this version cannot do, unless it is asked not to.
func (c roomChange) refuseLater() error {
	later := func(name string) error {
		return &problemError{"not-in-this-version", "The field " + name + " belongs to a later version."}
	}
	switch program := string(c.Program); {
	case c.Password != nil && *c.Password != "":
		return later("password")
	case len(c.Members) > 0:
		return later("members")
	case c.Record != nil && *c.Record != "" && *c.Record != "off":
		return later("record")
	case program != "" && program != "null" && program != `""`:
		return later("program")
	case c.Locked != nil && *c.Locked:
		return later("locked")
	default:
		return nil
	}
}

// apply puts the change onto settings.
func (c roomChange) apply(s sfu.Settings) (sfu.Settings, error) {
	if err := c.refuseLater(); err != nil {
		return s, err
	}
	if c.Wait != nil {
		s.Wait = *c.Wait
	}
	if c.Conflict != nil {
		if *c.Conflict != conflictReject && *c.Conflict != conflictReplace {
			return s, &problemError{"field-invalid", "conflict is reject or replace."}
		}
		s.Replace = *c.Conflict == conflictReplace
	}
	for _, n := range []struct {
		name  string
		value *int
		to    *int
	}{{"max_publications", c.MaxPublications, &s.MaxPublications}, {"max_viewers", c.MaxViewers, &s.MaxViewers}} {
		if n.value == nil {
			continue
		}
		if *n.value < 0 || *n.value > 1_000_000 {
			return s, &problemError{"field-invalid", n.name + " is 0 (the node's default) to 1000000."}
		}
		*n.to = *n.value
	}
	return s, nil
}

func (g *Gateway) roomOf(info sfu.RoomInfo) room {
	out := room{
		Name:            info.Name,
		Wait:            info.Settings.Wait,
		Conflict:        conflictReject,
		Members:         []string{},
		MaxPublications: info.Settings.MaxPublications,
		MaxViewers:      info.Settings.MaxViewers,
		Record:          "off",
		Created:         stamp(info.Created),
		Live:            info.Live,
		Publications:    len(info.Publications),
		Viewers:         info.Viewers,
		URLs: roomURLs{
			WHIP:    g.url + "/whip/" + info.Name,
			WHEP:    g.url + "/whep/" + info.Name,
			Play:    g.url + "/play/" + info.Name,
			Publish: g.url + "/publish/" + info.Name,
		},
	}
	if info.Settings.Replace {
		out.Conflict = conflictReplace
	}
	if info.Program != "" {
		out.Program = &info.Program
	}
	return out
}

// listRooms shows the rooms that the caller administers.
func (g *Gateway) listRooms(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.identify(r)
	if err != nil {
		return err
	}
	if !grants.AllowsSomewhere(auth.Admin) {
		return &problemError{name: "insufficient-scope"}
	}
	rooms := []room{}
	for _, info := range g.rooms.List() {
		if grants.Allows(info.Name, auth.Admin) {
			rooms = append(rooms, g.roomOf(info))
		}
	}
	return writeList(w, r, rooms, func(r room) string { return r.Name })
}

func (g *Gateway) createRoom(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.identify(r)
	if err != nil {
		return err
	}
	if !grants.AllowsSomewhere(auth.Admin) {
		return &problemError{name: "insufficient-scope"}
	}
	var change roomChange
	if err := readJSON(w, r, &change); err != nil {
		return err
	}
	name := strings.ToLower(rand.Text()[:10])
	if change.Name != nil {
		name = *change.Name
	}
	if !legalName(name) {
		return &problemError{"field-invalid", "name is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot."}
	}
	if !grants.Allows(name, auth.Admin) {
		return &problemError{name: "insufficient-scope"}
	}
	settings, err := change.apply(sfu.Settings{})
	if err != nil {
		return err
	}
	info, err := g.rooms.Create(name, settings)
	if err != nil {
		return err
	}
	w.Header().Set("Location", g.url+"/v1/rooms/"+name)
	return writeJSON(w, http.StatusCreated, g.roomOf(info))
}

func (g *Gateway) getRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := g.administered(r, p)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, g.roomOf(info))
}

func (g *Gateway) updateRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	if _, err := g.administered(r, p); err != nil {
		return err
	}
	var change roomChange
	if err := readJSON(w, r, &change); err != nil {
		return err
	}
	name := p.ByName("room")
	if change.Name != nil && *change.Name != name {
		return &problemError{"field-invalid", "A room keeps its name."}
	}
	info, err := g.changeRoom(name, change)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, g.roomOf(info))
}

func (g *Gateway) changeRoom(name string, change roomChange) (sfu.RoomInfo, error) {
	g.roomsMu.Lock()
	defer g.roomsMu.Unlock()
	info, err := g.rooms.Info(name)
	if err != nil {
		return info, err
	}
	settings, err := change.apply(info.Settings)
	if err != nil {
		return info, err
	}
	return g.rooms.Update(name, settings)
}

func (g *Gateway) deleteRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Admin); err != nil {
		return err
	}
	if err := g.rooms.Delete(name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// administered returns the room of the path to its administrator.
func (g *Gateway) administered(r *http.Request, p httprouter.Params) (sfu.RoomInfo, error) {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Admin); err != nil {
		return sfu.RoomInfo{}, err
	}
	return g.rooms.Info(name)
}

// kickSession ends a session of the room.
func (g *Gateway) kickSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Moderate); err != nil {
		return err
	}
	id := p.ByName("session")
	for _, s := range g.sessions.List() {
		if s.Labels().Room == name && (s.ID() == id || session.PublicID(s.ID()) == id) {
			s.Close(session.CauseKicked)
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
	}
	return session.ErrNotFound
}
