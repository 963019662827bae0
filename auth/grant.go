package auth

import (
	"strings"
	"time"
)

// Grant is one thing that a token may allow.
type Grant string

// The grants.
const (
	Publish   Grant = "publish"   // send media into a room
	Subscribe Grant = "subscribe" // play a room
	Record    Grant = "record"    // recordings of a room
	Moderate  Grant = "moderate"  // kick, mute, lock, choose the program
	Admin     Grant = "admin"     // rooms and all lists
)

func (g Grant) known() bool {
	switch g {
	case Publish, Subscribe, Record, Moderate, Admin:
		return true
	default:
		return false
	}
}

// Pattern is a room name, or a prefix of room names when it ends in "*".
type Pattern string

// Matches reports whether the pattern covers a room.
func (p Pattern) Matches(room string) bool {
	if prefix, ok := strings.CutSuffix(string(p), "*"); ok {
		return strings.HasPrefix(room, prefix)
	}
	return string(p) == room
}

// Valid reports whether the pattern can match a legal room name: 1 to 64 of
// A-Z a-z 0-9 . _ -, not beginning with a dot, with an optional final asterisk.
func (p Pattern) Valid() bool {
	name, wild := strings.CutSuffix(string(p), "*")
	if len(name) > 64 || strings.HasPrefix(name, ".") || name == "" && !wild {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Grants is what one token allows. The zero value allows nothing.
type Grants struct {
	// Identity tells bearers apart: equal identities may take over each
	// other's publications. It is empty when nobody is known by a token.
	Identity string
	// Name is what people read; it tells nobody apart.
	Name string
	// TokenID names the token (the jti of a JWT), and is never the token
	// itself. It is empty when nobody is known by a token.
	TokenID string
	// Issued is when the token was made; zero: unknown.
	Issued time.Time
	// Expires is when the token ends, and with it what was begun by it; zero:
	// never.
	Expires time.Time

	all    bool
	rules  []rule
	barred func(room string) bool // nil: from no room
}

type rule struct {
	rooms  Pattern
	grants map[Grant]bool
}

// Everything returns the grants of a node without authentication: all is
// allowed, and nobody has an identity.
func Everything() Grants { return Grants{all: true} }

// Barring returns the same grants without those in rooms from which their bearer
// is barred whenever somebody asks.
func (g Grants) Barring(barred func(room string) bool) Grants {
	g.barred = barred
	return g
}

// Allows reports whether the grant is given for the room.
func (g Grants) Allows(room string, grant Grant) bool {
	if g.barred != nil && g.barred(room) {
		return false
	}
	if g.all {
		return true
	}
	for _, r := range g.rules {
		if r.grants[grant] && r.rooms.Matches(room) {
			return true
		}
	}
	return false
}

// AllowsEverywhere reports whether the grant is given for all rooms there can
// be, but for those from which their bearer is barred.
func (g Grants) AllowsEverywhere(grant Grant) bool {
	if g.all {
		return true
	}
	for _, r := range g.rules {
		if r.grants[grant] && r.rooms == "*" {
			return true
		}
	}
	return false
}

// AllowsSomewhere reports whether the grant is given for any room at all.
func (g Grants) AllowsSomewhere(grant Grant) bool {
	if g.all {
		return true
	}
	for _, r := range g.rules {
		if r.grants[grant] {
			return true
		}
	}
	return false
}

// Room is the one room that the grants are about; false when they are about
// several, or about none.
func (g Grants) Room() (string, bool) {
	room := ""
	for _, r := range g.rules {
		name := string(r.rooms)
		if strings.HasSuffix(name, "*") || room != "" && room != name {
			return "", false
		}
		room = name
	}
	return room, room != ""
}
