package gateway

import (
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
	Muted field[struct {
		Audio field[bool] `json:"audio"`
		Video field[bool] `json:"video"`
	}] `json:"muted"`
	Program field[bool] `json:"program"`
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
	now, err := g.rooms.Info(room)
	if err != nil {
		return err
	}
	pub, err := publicationNamed(now, name)
	if err != nil {
		return err
	}
	if change.Muted.set {
		m := pub.Muted
		if change.Muted.null {
			m = sfu.Muted{}
		}
		change.Muted.value.Audio.put(&m.Audio)
		change.Muted.value.Video.put(&m.Video)
		if _, err := g.rooms.Mute(room, name, m); err != nil {
			return err
		}
	}
	if change.Program.set {
		if err := g.putOnProgram(r, room, name, change.Program.value); err != nil {
			return err
		}
	}
	if now, err = g.rooms.Info(room); err != nil {
		return err
	}
	return writePublication(w, now, name)
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
// if it is that one.
func (g *Gateway) putOnProgram(r *http.Request, room, name string, yes bool) error {
	made, err := g.findRoom(room)
	if err != nil {
		return err
	}
	chosen := made.Program == name
	if chosen == yes {
		return nil
	}
	change := roomChange{Program: field[string]{set: true, null: !yes}}
	if yes {
		change.Program.value = name
	}
	_, err = g.changeRoom(r, room, change)
	return err
}
