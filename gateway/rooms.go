package gateway

import (
	"crypto/rand"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/sfu"
)

// listRooms shows the rooms that the caller administers.
func (g *Gateway) listRooms(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.administrator(r)
	if err != nil {
		return err
	}
	rooms := []sfu.RoomInfo{}
	for _, info := range g.rooms.List() {
		if grants.Allows(info.Name, auth.Admin) {
			rooms = append(rooms, info)
		}
	}
	return writeListAs(w, r, rooms, func(info sfu.RoomInfo) string { return info.Name }, func(info sfu.RoomInfo) room {
		made, isMade := g.registry.Room(info.Name)
		if !isMade {
			made = unmadeRoom(info)
		}
		return g.roomView(made, info)
	})
}

func (g *Gateway) createRoom(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.administrator(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var change roomChange
	if err := decodeJSON(w, r, body, &change); err != nil {
		return err
	}
	name := strings.ToLower(rand.Text()[:10])
	if change.Name.set && !change.Name.null {
		name = change.Name.value
	}
	if !legalName(name) {
		return &problemError{"field-invalid", "name is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot."}
	}
	if !grants.Allows(name, auth.Admin) {
		return &problemError{name: "insufficient-scope"}
	}
	request, err := idempotent(r, grants, body)
	if err != nil {
		return err
	}
	made, replayed, err := g.makeRoom(r, grants.Identity, request, name, change)
	if err != nil {
		return err
	}
	w.Header().Set("Location", g.url+"/v1/rooms/"+made.Name)
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return g.writeRoom(w, r, http.StatusCreated, made)
}

// makeRoom makes a room, once for each request however often that comes.
func (g *Gateway) makeRoom(r *http.Request, identity string, request cluster.Request, name string, change roomChange) (made cluster.Room, replayed bool, err error) {
	if replayed = g.registry.Answered(request); !replayed {
		// Of rooms that nobody made the registry does not know. It is asked last: when
		// the same request has made the room meanwhile, both answers are one.
		if _, err := g.rooms.Info(name); err == nil {
			if _, isMade := g.registry.Room(name); !isMade {
				return made, false, sfu.ErrRoomExists
			}
		}
		g.creating.Add(1) // those at once count, too
		defer g.creating.Add(-1)
		if limit := g.cfg.MaxRooms; limit > 0 && g.rooms.Len()+int(g.creating.Load()) > limit {
			return made, false, sfu.ErrTooMany
		}
	}
	if !replayed {
		if err := g.limitRoom(r, identity); err != nil {
			return made, false, err
		}
	}
	edit, err := change.edit(r.Context())
	if err != nil {
		return made, false, err
	}
	made, err = g.registry.CreateRoom(r.Context(), request, edit.apply(cluster.Room{Name: name}))
	if err != nil {
		return made, false, err
	}
	return made, replayed, g.keepRoom(made.Name)
}

func (g *Gateway) getRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Admin); err != nil {
		return err
	}
	made, err := g.findRoom(name)
	if err != nil {
		return err
	}
	return g.writeRoom(w, r, http.StatusOK, made)
}

// updateRoom needs admin, but moderate is enough for what moderators decide.
func (g *Gateway) updateRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	grants, err := g.identify(r)
	if err != nil {
		return err
	}
	admin, moderate := grants.Allows(name, auth.Admin), grants.Allows(name, auth.Moderate)
	if !admin && !moderate {
		return &problemError{name: "insufficient-scope"}
	}
	var change roomChange
	if err := readJSON(w, r, &change); err != nil {
		return err
	}
	if !admin && !change.moderation() {
		return &problemError{name: "insufficient-scope"}
	}
	if change.Name.set && change.Name.value != name {
		return &problemError{"field-invalid", "A room keeps its name."}
	}
	made, err := g.changeRoom(r, name, change)
	if err != nil {
		return err
	}
	return g.writeRoom(w, r, http.StatusOK, made)
}

// changeRoom changes the room as it is when the change is made: whoever comes
// first, the other's change is not lost. A room that nobody made is made by it.
func (g *Gateway) changeRoom(r *http.Request, name string, change roomChange) (cluster.Room, error) {
	edit, err := change.edit(r.Context())
	if err != nil {
		return cluster.Room{}, err
	}
	return g.editRoom(r, name, edit)
}

func (g *Gateway) editRoom(r *http.Request, name string, edit roomEdit) (cluster.Room, error) {
	for {
		made, err := g.findRoom(name)
		if err != nil {
			return made, err
		}
		if err := checkPreconditions(r, made.Revision); err != nil {
			return made, err
		}
		changed := edit.apply(made)
		switch {
		case made.Revision == 0 && edit.offProgram != "": // nothing is chosen there
			return made, nil
		case made.Revision == 0:
			changed, err = g.registry.CreateRoom(r.Context(), cluster.Request{}, changed)
		case reflect.DeepEqual(changed, made):
			return made, nil
		default:
			changed, err = g.registry.UpdateRoom(r.Context(), cluster.Request{}, changed, made.Revision)
		}
		switch {
		case err == nil:
			return changed, g.keepRoom(name)
		// Somebody else came first, or ended the room.
		case errors.Is(err, cluster.ErrConflict), errors.Is(err, cluster.ErrExists), errors.Is(err, cluster.ErrNotFound):
			if err := r.Context().Err(); err != nil {
				return made, err
			}
		default:
			return made, err
		}
	}
}

func (g *Gateway) deleteRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Admin); err != nil {
		return err
	}
	if err := g.endRoom(r, name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endRoom ends the room as it is when it is ended, made or not.
func (g *Gateway) endRoom(r *http.Request, name string) error {
	for {
		made, err := g.findRoom(name)
		if err != nil {
			return err
		}
		if err := checkPreconditions(r, made.Revision); err != nil {
			return err
		}
		if made.Revision == 0 {
			if ended, err := g.endUnmade(name); ended || err != nil {
				return err
			}
			continue // somebody has made it meanwhile
		}
		revision := uint64(0)
		if conditional(r) {
			revision = made.Revision
		}
		if err := g.registry.DeleteRoom(r.Context(), cluster.Request{}, name, revision); err != nil {
			return err
		}
		return g.keepRoom(name)
	}
}

// administered returns the room of the path to its administrator.
func (g *Gateway) administered(r *http.Request, p httprouter.Params) (sfu.RoomInfo, error) {
	name := p.ByName("room")
	if _, err := g.authorize(r, name, auth.Admin); err != nil {
		return sfu.RoomInfo{}, err
	}
	return g.rooms.Info(name)
}
