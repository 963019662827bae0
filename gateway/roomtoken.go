package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
)

// Keys of room tokens live in the registry. One signs until half of its life is
// over, so that no token outlives the key that verifies it: two are good at any
// time.
const (
	roomTokenUse = "room-token"
	roomKeyLife  = 2 * auth.MaxRoomLife
)

// roomTokens makes and verifies the tokens that join gives.
type roomTokens struct {
	registry *cluster.Node
	issuer   *auth.Issuer
	tickets  *auth.Issuer // see ticket.go
	mu       sync.Mutex   // one key is made at a time
}

func newRoomTokens(registry *cluster.Node) *roomTokens {
	return &roomTokens{
		registry: registry,
		issuer:   newRoomIssuer(registry, func(secret []byte) []byte { return secret }),
		tickets:  newRoomIssuer(registry, ticketSecret),
	}
}

// newRoomIssuer makes an issuer whose keys are made of those of the registry.
func newRoomIssuer(registry *cluster.Node, derive func(secret []byte) []byte) *auth.Issuer {
	return auth.NewIssuer(func() []auth.Key {
		keys := registry.Keys(roomTokenUse)
		list := make([]auth.Key, 0, len(keys))
		for _, k := range keys {
			list = append(list, auth.Key{ID: k.ID, Secret: derive(k.Secret), Created: k.Created, Expires: k.Expires})
		}
		return list
	})
}

// Mint makes a token, and before that a key if it is time for one.
func (t *roomTokens) Mint(ctx context.Context, c auth.Claims) (string, auth.Grants, error) {
	if err := t.ensureKey(ctx, time.Now()); err != nil {
		return "", auth.Grants{}, err
	}
	return t.issuer.Mint(c)
}

func (t *roomTokens) ensureKey(ctx context.Context, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.registry.Keys(roomTokenUse) {
		if k.Expires.Sub(now) >= auth.MaxRoomLife {
			return nil
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	k := cluster.Key{ID: rand.Text()[:10], Use: roomTokenUse, Secret: secret, Created: now.UTC(), Expires: now.Add(roomKeyLife).UTC()}
	if err := t.registry.AddKey(ctx, k); err != nil {
		return fmt.Errorf("gateway: make a key for room tokens: %w", err)
	}
	return nil
}

// Verify tells what a room token allows. One that was given for a room that has
// ended is not good for what is called so now.
func (t *roomTokens) Verify(ctx context.Context, token string) (auth.Grants, error) {
	return t.verify(ctx, t.issuer, token)
}

func (t *roomTokens) verify(ctx context.Context, issuer *auth.Issuer, token string) (auth.Grants, error) {
	grants, err := issuer.Verify(ctx, token)
	if err != nil {
		return grants, err
	}
	name, _ := grants.Room()
	made, _ := t.registry.Room(name)
	by, of := readTokenID(grants.TokenID)
	// Who came into a room that nobody had made goes on in it when somebody sets it up. But whoever
	// could take a token of any name that way is not past a password that the room was made with.
	if of != lifeOf(made) && (of != unmade || by == byOpenDoor && made.PasswordHash != "") {
		return auth.Grants{}, auth.ErrExpired
	}
	return grants, nil
}

// way is how somebody came in.
type way string

// life tells rooms of one name apart.
type life string

const unmade life = "0" // of rooms that nobody made

func lifeOf(r cluster.Room) life {
	if r.Revision == 0 {
		return unmade
	}
	return life(strconv.FormatInt(r.Created.UnixNano(), 36))
}

// tokenID is the id of a room token. It says how its bearer came in, and into
// which of the rooms that had the name.
func tokenID(by way, into life) string {
	return string(by) + "." + string(into) + "." + rand.Text()
}

func readTokenID(id string) (by way, into life) {
	first, rest, _ := strings.Cut(id, ".")
	second, _, _ := strings.Cut(rest, ".")
	return way(first), life(second)
}

// roomToken is what a request's room token allows in a room, also on a node
// that asks for no token.
func (g *Gateway) roomToken(r *http.Request, room string) (auth.Grants, bool) {
	grants, present, err := g.verify(r, verifyFunc(g.verifyGuest))
	if err != nil || !present || !grants.Allows(room, auth.Publish) && !grants.Allows(room, auth.Subscribe) {
		return auth.Grants{}, false
	}
	return grants, true
}
