package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/sluicemedia/sluice/cluster"
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
	History         int      `json:"history"`
	Record          string   `json:"record"`
	Program         *string  `json:"program"`
	Locked          bool     `json:"locked"`
	Protected       bool     `json:"protected"` // there is a password
	Created         stamp    `json:"created"`
	Live            bool     `json:"live"`
	Publications    int      `json:"publications"`
	Viewers         int      `json:"viewers"`
	URLs            roomURLs `json:"urls"`
}

// roomURLs is where a room is found.
type roomURLs struct {
	WHIP    string `json:"whip"`
	WHEP    string `json:"whep"`
	Events  string `json:"events"`
	Play    string `json:"play"`
	Publish string `json:"publish"`
	Meet    string `json:"meet"`
}

// The values of a room's fields conflict and record.
const (
	conflictReject  = "reject"
	conflictReplace = "replace"
	recordOff       = "off"
)

// findRoom returns what was decided about a room. One that came into being with
// its first publication is of revision 0.
func (g *Gateway) findRoom(name string) (cluster.Room, error) {
	if made, isMade := g.registry.Room(name); isMade {
		return made, nil
	}
	info, err := g.rooms.Info(name)
	if err != nil {
		return cluster.Room{}, err
	}
	return unmadeRoom(info), nil
}

// unmadeRoom is a room that nobody made: it is not in the registry.
func unmadeRoom(info sfu.RoomInfo) cluster.Room {
	return cluster.Room{
		Name: info.Name, Created: info.Created, Wait: info.Settings.Wait, Replace: info.Settings.Replace,
		MaxPublications: info.Settings.MaxPublications, MaxViewers: info.Settings.MaxViewers,
	}
}

func (g *Gateway) roomView(made cluster.Room, info sfu.RoomInfo) room {
	out := room{
		Name:            made.Name,
		Wait:            made.Wait,
		Conflict:        conflictReject,
		Members:         append([]string{}, made.Members...),
		MaxPublications: made.MaxPublications,
		MaxViewers:      made.MaxViewers,
		History:         made.History,
		Record:          recordOff,
		Locked:          made.Locked,
		Protected:       made.PasswordHash != "",
		Created:         stamp(made.Created),
		Live:            info.Live,
		Publications:    len(info.Publications),
		Viewers:         info.Viewers,
		URLs: roomURLs{
			WHIP:    g.url + "/whip/" + made.Name,
			WHEP:    g.url + "/whep/" + made.Name,
			Events:  g.url + "/v1/rooms/" + made.Name + "/events",
			Play:    g.url + "/play/" + made.Name,
			Publish: g.url + "/publish/" + made.Name,
			Meet:    g.url + "/meet/" + made.Name,
		},
	}
	if made.Replace {
		out.Conflict = conflictReplace
	}
	// What was chosen stays chosen while it is off the air.
	switch {
	case made.Program != "":
		out.Program = &made.Program
	case info.Program != "":
		out.Program = &info.Program
	}
	return out
}

// writeRoom answers with a room and its entity tag, or says that the client has
// it already.
func (g *Gateway) writeRoom(w http.ResponseWriter, r *http.Request, status int, made cluster.Room) error {
	info, err := g.rooms.Info(made.Name)
	if err != nil {
		info = sfu.RoomInfo{} // it ended meanwhile, or is of an answer that is given again
	}
	view := g.roomView(made, info)
	body, err := json.Marshal(view)
	if err != nil {
		return fmt.Errorf("gateway: write the answer: %w", err)
	}
	etag := entityTag(made.Revision, body)
	w.Header().Set("ETag", etag)
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && unchanged(r, etag) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, status, view)
}
