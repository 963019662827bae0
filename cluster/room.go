package cluster

import "time"

// Room is what the registry keeps of a room: what its owner decided about it.
// What happens in it is known to the node that serves it.
type Room struct {
	Name     string
	Created  time.Time // set by CreateRoom, UTC; no two rooms have the same
	Revision uint64    // changes with every change of the room; never 0 of a room that is there

	Wait            bool     // viewers may come before the publisher
	Replace         bool     // a second publisher takes over even from a live one
	Locked          bool     // nobody may join
	Record          bool     // record what is published
	Program         string   // the publication that was chosen for the program; "": by rule
	MaxPublications int      // 0: the node's default
	MaxViewers      int      // 0: the node's default
	History         int      // messages kept for those who come later; 0: the node's default, -1: none
	PasswordHash    string   // argon2id in PHC form; "": no password
	Members         []string // identities that are asked for no password, sorted, no doubles
}

// Revocation ends tokens before their time. Every field that is not empty must
// fit for a token to be revoked by it; at least one is set.
type Revocation struct {
	ID       string    // made by Revoke
	TokenID  string    // of one token (jti)
	Identity string    // of all tokens of somebody
	Room     string    // only in this room
	Before   time.Time // only tokens issued before; zero: all
	Expires  time.Time // when no token can be left that it is about
}

// Key is a secret that the nodes share, such as the one that signs the tokens
// of those who joined.
type Key struct {
	ID      string
	Use     string // what it is for, such as "room-token"
	Secret  []byte
	Created time.Time
	Expires time.Time // zero: never
}
