package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/sfu"
)

// joinRequest is the body of a join.
type joinRequest struct {
	Identity string `json:"identity"`
	Name     string `json:"name"`
	Password string `json:"password"`
}

// joined is its answer: all that is needed to publish and to play.
type joined struct {
	Token      string          `json:"token"`
	Expires    stamp           `json:"expires"`
	Identity   string          `json:"identity"`
	Name       string          `json:"name"`
	WHIP       string          `json:"whip"`
	WHEP       []joinedWHEP    `json:"whep"`
	Program    string          `json:"program"` // where the room's program is played
	Events     string          `json:"events"`
	Messages   string          `json:"messages"`
	ICEServers []iceServerView `json:"ice_servers"`
}

type joinedWHEP struct {
	Publication string `json:"publication"`
	URL         string `json:"url"`
}

// entry is somebody who may come in, and why.
type entry struct {
	identity, name string
	by             way
	can            []auth.Grant
	expires        time.Time // no token beyond this; zero: as long as may be
	moderator      bool
	renewal        bool
}

// The ways to come in. A token is renewed only while its way is still open: to
// a member who is still one, and as long as the password is what it was.
const (
	byMembership way = "m"
	byOpenDoor   way = "o"
	byOtherToken way = "t" // it is that one that is to be renewed
)

// byPassword names the password without giving a hint of it: the hash is salted.
func byPassword(hash string) way {
	sum := sha256.Sum256([]byte(hash))
	return way("p" + hex.EncodeToString(sum[:6]))
}

// openTo tells whether somebody may come in this way now.
func (w way) openTo(identity string, made cluster.Room, open bool) bool {
	switch w {
	case byMembership:
		return isMember(made, identity)
	case byOpenDoor:
		return open && made.PasswordHash == ""
	default:
		return made.PasswordHash != "" && w == byPassword(made.PasswordHash)
	}
}

func isMember(made cluster.Room, identity string) bool {
	_, found := slices.BinarySearch(made.Members, identity)
	return found
}

// joinRoom gives whoever may come in a token of the room's own.
func (g *Gateway) joinRoom(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name := p.ByName("room")
	var ask joinRequest
	if err := readJSON(w, r, &ask); err != nil {
		return err
	}
	switch {
	case ask.Identity != "" && !legalIdentity(ask.Identity):
		return &problemError{"field-invalid", fmt.Sprintf("identity is 1 to %d bytes, without control characters and without spaces around it.", maxIdentity)}
	case ask.Name != "" && !legalIdentity(ask.Name):
		return &problemError{"field-invalid", fmt.Sprintf("name is at most %d bytes, without control characters and without spaces around it.", maxIdentity)}
	}
	made, _ := g.registry.Room(name) // one that is not there has neither members nor a password
	e, err := g.admitGuest(r, name, made, ask)
	if err != nil {
		return err
	}
	if made.Locked && !e.renewal && !e.moderator {
		return &problemError{name: "room-locked"}
	}
	answer, err := g.welcome(r.Context(), name, made, e)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, answer)
}

// admitGuest finds the way by which somebody may come in. Whoever finds none is
// not told whether the room exists, not by the time that the answer takes
// either.
func (g *Gateway) admitGuest(r *http.Request, name string, made cluster.Room, ask joinRequest) (entry, error) {
	guestToken, ofRoom := g.roomToken(r, name)
	if ofRoom && ask.Password == "" {
		if e, renewed := g.renewal(guestToken, name, made, ask); renewed {
			return e, nil
		}
	}
	guest := entry{identity: ask.Identity, name: ask.Name, can: roomGrants}
	switch {
	case ask.Identity == "":
	case isMember(made, ask.Identity):
		guest.by = byMembership
		return guest, nil
	case made.PasswordHash == "" && !g.authenticates():
		guest.by = byOpenDoor
		return guest, nil
	case ask.Password != "":
		right, err := g.checkPassword(r, name, made.PasswordHash, ask.Password)
		if err != nil {
			return entry{}, err
		}
		if right {
			guest.by = byPassword(made.PasswordHash)
			return guest, nil
		}
	}
	switch {
	case g.authenticates() && !ofRoom: // a room's own token is renewed or worth nothing here
		return g.admitBearer(r, name, ask)
	case ask.Identity == "":
		return entry{}, errNoIdentity
	default:
		return entry{}, errJoinRefused
	}
}

// roomGrants are what a room token may allow.
var roomGrants = []auth.Grant{auth.Publish, auth.Subscribe}

// What a join is refused with.
var (
	errJoinRefused = &problemError{name: "join-refused"}
	errNoIdentity  = &problemError{"field-invalid", "identity is missing."}
)

// renewal lets in again who has a token of the room's own.
func (g *Gateway) renewal(grants auth.Grants, name string, made cluster.Room, ask joinRequest) (entry, bool) {
	if ask.Identity != "" && ask.Identity != grants.Identity {
		return entry{}, false
	}
	by, _ := readTokenID(grants.TokenID)
	if !by.openTo(grants.Identity, made, !g.authenticates()) {
		return entry{}, false
	}
	e := entry{identity: grants.Identity, name: ask.Name, by: by, renewal: true}
	if e.name == "" {
		e.name = grants.Name
	}
	for _, grant := range roomGrants {
		if grants.Allows(name, grant) {
			e.can = append(e.can, grant)
		}
	}
	return e, true
}

// checkPassword looks at a password, at the same cost where there is none.
func (g *Gateway) checkPassword(r *http.Request, room, hash, password string) (bool, error) {
	ended, err := g.tryPassword(r, room)
	if err != nil {
		return false, err
	}
	right, err := auth.CheckPassword(r.Context(), hash, password)
	ended(right)
	return right, err
}

// admitBearer lets in whose token allows something in the room already, and to
// no more than that.
func (g *Gateway) admitBearer(r *http.Request, name string, ask joinRequest) (entry, error) {
	grants, present, err := g.bearer(r)
	if err != nil {
		return entry{}, err
	}
	e := entry{identity: ask.Identity, name: ask.Name, by: byOtherToken, expires: grants.Expires}
	for _, grant := range roomGrants {
		if present && grants.Allows(name, grant) {
			e.can = append(e.can, grant)
		}
	}
	if len(e.can) == 0 {
		return entry{}, errJoinRefused
	}
	e.moderator = grants.Allows(name, auth.Moderate)
	if e.name == "" {
		e.name = grants.Name
	}
	// A token that was made for somebody lets nobody else in, unless it is one
	// that could turn them out as well. Keys of a file are nobody's.
	personal := !grants.Issued.IsZero() && grants.Identity != "" && !e.moderator
	switch {
	case e.identity == "":
		e.identity = grants.Identity
	case personal && e.identity != grants.Identity:
		return entry{}, &problemError{"field-invalid", "identity is that of the token, or left out."}
	}
	if e.identity == "" {
		return entry{}, errNoIdentity
	}
	return e, nil
}

// welcome makes the token and says where everything is.
func (g *Gateway) welcome(ctx context.Context, name string, made cluster.Room, e entry) (joined, error) {
	now := time.Now().Truncate(time.Second)
	expires := now.Add(auth.MaxRoomLife)
	if !e.expires.IsZero() && e.expires.Before(expires) {
		expires = e.expires
	}
	token, grants, err := g.guests.Mint(ctx, auth.Claims{
		ID: tokenID(e.by, lifeOf(made)), Identity: e.identity, Name: e.name,
		Rooms: []auth.Pattern{auth.Pattern(name)}, Can: e.can, Issued: now, Expires: expires,
	})
	if err != nil {
		return joined{}, err
	}
	api := g.url + "/v1/rooms/" + name
	events, err := g.eventsURL(name, grants)
	if err != nil {
		return joined{}, err
	}
	out := joined{
		Token: token, Expires: stamp(grants.Expires), Identity: e.identity, Name: e.name,
		WHIP: g.url + "/whip/" + name + "/" + publicationOf(e.identity), WHEP: []joinedWHEP{}, Program: g.url + "/whep/" + name,
		Events: events, Messages: api + "/messages", ICEServers: g.iceServerViews(),
	}
	info, err := g.rooms.Info(name)
	if err != nil && !errors.Is(err, sfu.ErrRoomNotFound) {
		return joined{}, err
	}
	for _, pub := range info.Publications {
		if pub.Live {
			out.WHEP = append(out.WHEP, joinedWHEP{pub.Name, g.url + "/whep/" + name + "/" + pub.Name})
		}
	}
	return out, nil
}

// mainPublication is what viewers see first who name none.
const mainPublication = "main"

// publicationOf is what a participant publishes as: everybody has a publication
// of their own. An identity that is no legal name, or the one that stands for
// the program, has a made one, always the same.
func publicationOf(identity string) string {
	if legalName(identity) && identity != mainPublication {
		return identity
	}
	sum := sha256.Sum256([]byte(identity))
	return "p-" + hex.EncodeToString(sum[:8])
}
