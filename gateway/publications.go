package gateway

import (
	"math"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/sfu"
)

// publicationView is a publication as the API shows it.
type publicationView struct {
	Name     string      `json:"name"`
	Session  string      `json:"session"`
	Identity string      `json:"identity,omitempty"`
	Live     bool        `json:"live"`
	Program  bool        `json:"program"` // viewers get it who name none
	Muted    mutedView   `json:"muted"`
	Tracks   []trackView `json:"tracks"`
	Since    stamp       `json:"since"`
}

type mutedView struct {
	Audio bool `json:"audio"`
	Video bool `json:"video"`
}

func publicationOfRoom(info sfu.RoomInfo, pub sfu.PublicationInfo) publicationView {
	return publicationView{
		Name: pub.Name, Session: pub.Session, Identity: pub.Identity, Live: pub.Live, Program: info.Program == pub.Name,
		Muted: mutedView(pub.Muted), Tracks: tracksOf(pub), Since: stamp(pub.Since),
	}
}

func (g *Gateway) listPublications(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := g.administered(r, p)
	if err != nil {
		return err
	}
	return writeListAs(w, r, info.Publications, func(pub sfu.PublicationInfo) string { return pub.Name },
		func(pub sfu.PublicationInfo) publicationView { return publicationOfRoom(info, pub) })
}

func (g *Gateway) getPublication(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := g.administered(r, p)
	if err != nil {
		return err
	}
	return writePublication(w, info, p.ByName("publication"))
}

func writePublication(w http.ResponseWriter, info sfu.RoomInfo, name string) error {
	pub, err := publicationNamed(info, name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, publicationOfRoom(info, pub))
}

// publicationChange is what moderators decide about a publication.
type publicationChange struct {
	Muted   field[mutedChange] `json:"muted"`
	Program field[bool]        `json:"program"`
}

type mutedChange struct {
	Audio field[bool] `json:"audio"`
	Video field[bool] `json:"video"`
}

// updatePublication mutes, and puts on the program. Who may moderate may do
// this also to a publication that comes and goes.
func (g *Gateway) updatePublication(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room, name := p.ByName("room"), p.ByName("publication")
	if _, err := g.authorize(r, room, auth.Moderate); err != nil {
		return err
	}
	var change publicationChange
	if err := readJSON(w, r, &change); err != nil {
		return err
	}
	if _, err := g.publication(room, name); err != nil {
		return err
	}
	if checkPreconditions(r, math.MaxUint64) != nil { // that of no room
		return &problemError{"room-changed", "Publications have no ETag: leave If-Match and If-None-Match out."}
	}
	// First what may fail: the program is written to the registry.
	if change.Program.set {
		if err := g.putOnProgram(r, room, name, change.Program.value); err != nil {
			return err
		}
	}
	if change.Muted.set {
		if err := g.mute(room, name, change.Muted.value, change.Muted.null); err != nil {
			return err
		}
	}
	now, err := g.rooms.Info(room)
	if err != nil {
		return err
	}
	return writePublication(w, now, name)
}

// mute changes what is muted of a publication; none: nothing is, from now on. What one
// says of audio and another of video at the same time both holds.
func (g *Gateway) mute(room, name string, change mutedChange, none bool) error {
	g.muting.Lock()
	defer g.muting.Unlock()
	pub, err := g.publication(room, name)
	if err != nil {
		return err
	}
	m := pub.Muted
	if none {
		m = sfu.Muted{}
	}
	change.Audio.put(&m.Audio)
	change.Video.put(&m.Video)
	_, err = g.rooms.Mute(room, name, m)
	return err
}

func (g *Gateway) publication(room, name string) (sfu.PublicationInfo, error) {
	info, err := g.rooms.Info(room)
	if err != nil {
		return sfu.PublicationInfo{}, err
	}
	return publicationNamed(info, name)
}

func publicationNamed(info sfu.RoomInfo, name string) (sfu.PublicationInfo, error) {
	for _, pub := range info.Publications {
		if pub.Name == name {
			return pub, nil
		}
	}
	return sfu.PublicationInfo{}, sfu.ErrPublicationNotFound
}

// putOnProgram chooses a publication for the room's program, or takes the choice back
// if it is that one when that is written.
func (g *Gateway) putOnProgram(r *http.Request, room, name string, yes bool) error {
	edit := roomEdit{offProgram: name}
	if yes {
		edit = roomEdit{change: roomChange{Program: field[string]{set: true, value: name}}}
	}
	_, err := g.editRoom(r, room, edit)
	return err
}
