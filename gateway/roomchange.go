package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
)

// Bounds of what a room's owner may say about it.
const (
	maxRoomLimit = 1_000_000 // of max_publications and max_viewers
	maxHistory   = 1000      // messages
	maxMembers   = 1000
	maxIdentity  = 128 // bytes, of display names too
)

// field is one member of a merge patch (RFC 7396 section 2): left out, null,
// or a value.
type field[T any] struct {
	set, null bool
	value     T
}

// UnmarshalJSON is called for members that are there, null ones included.
func (f *field[T]) UnmarshalJSON(text []byte) error {
	*f = field[T]{set: true, null: bytes.Equal(text, []byte("null"))}
	if f.null {
		return nil
	}
	return json.Unmarshal(text, &f.value)
}

// put writes the member to where it belongs; null is the zero value, which is
// the default of every field of a room.
func (f field[T]) put(to *T) {
	if f.set {
		*to = f.value
	}
}

// roomChange is the body of a POST or PATCH.
type roomChange struct {
	Name            field[string]   `json:"name"`
	Wait            field[bool]     `json:"wait"`
	Conflict        field[string]   `json:"conflict"`
	MaxPublications field[int]      `json:"max_publications"`
	MaxViewers      field[int]      `json:"max_viewers"`
	History         field[int]      `json:"history"`
	Password        field[string]   `json:"password"`
	Members         field[[]string] `json:"members"`
	Record          field[string]   `json:"record"`
	Program         field[string]   `json:"program"`
	Locked          field[bool]     `json:"locked"`
}

// moderation tells whether the change is of what moderators decide, and of
// nothing else.
func (c roomChange) moderation() bool {
	moderated := c.Locked.set || c.Program.set
	c.Locked, c.Program = field[bool]{}, field[string]{}
	return moderated && !c.administration()
}

// administration tells whether the change has anything of what only the room's
// administrators decide.
func (c roomChange) administration() bool {
	return c.Name.set || c.Wait.set || c.Conflict.set || c.MaxPublications.set || c.MaxViewers.set || c.History.set ||
		c.Password.set || c.Members.set || c.Record.set
}

// check refuses values that no room can have.
func (c roomChange) check() error {
	invalid := func(format string, args ...any) error {
		return &problemError{"field-invalid", fmt.Sprintf(format, args...)}
	}
	for _, n := range []struct {
		name     string
		value    int
		min, max int
	}{
		{"max_publications", c.MaxPublications.value, 0, maxRoomLimit},
		{"max_viewers", c.MaxViewers.value, 0, maxRoomLimit},
		{"history", c.History.value, -1, maxHistory},
	} {
		if n.value < n.min || n.value > n.max {
			return invalid("%s is %d to %d; 0 is the node's default.", n.name, n.min, n.max)
		}
	}
	switch {
	case !slices.Contains([]string{"", conflictReject, conflictReplace}, c.Conflict.value) || c.Conflict.set && !c.Conflict.null && c.Conflict.value == "":
		return invalid("conflict is reject or replace.")
	case c.Record.value == "auto":
		return &problemError{"not-in-this-version", "The field record belongs to a later version."}
	case c.Record.value != "" && c.Record.value != recordOff:
		return invalid("record is off.")
	case c.Program.value != "" && !legalName(c.Program.value):
		return invalid("program is the name of a publication, or null.")
	case len(c.Password.value) > auth.MaxPassword:
		return invalid("password has at most %d bytes.", auth.MaxPassword)
	case len(c.Members.value) > maxMembers:
		return invalid("members are at most %d.", maxMembers)
	}
	for _, m := range c.Members.value {
		if !legalIdentity(m) {
			return invalid("members are identities of 1 to %d bytes, without control characters and without spaces around them.", maxIdentity)
		}
	}
	return nil
}

// roomEdit is a change that was checked, with the hash of its password.
type roomEdit struct {
	change     roomChange
	hash       string
	offProgram string // a publication that is to be chosen no more; whatever else is stays
}

// edit checks a change and does what takes time in it.
func (c roomChange) edit(ctx context.Context) (roomEdit, error) {
	e := roomEdit{change: c}
	if err := c.check(); err != nil {
		return e, err
	}
	if c.Password.value == "" {
		return e, nil
	}
	var err error
	e.hash, err = auth.HashPassword(ctx, c.Password.value)
	return e, err
}

// apply puts the change onto a room.
func (e roomEdit) apply(r cluster.Room) cluster.Room {
	c := e.change
	c.Wait.put(&r.Wait)
	c.MaxPublications.put(&r.MaxPublications)
	c.MaxViewers.put(&r.MaxViewers)
	c.History.put(&r.History)
	c.Program.put(&r.Program)
	c.Locked.put(&r.Locked)
	if e.offProgram != "" && r.Program == e.offProgram {
		r.Program = ""
	}
	if c.Conflict.set {
		r.Replace = c.Conflict.value == conflictReplace
	}
	if c.Password.set {
		r.PasswordHash = e.hash
	}
	if c.Members.set {
		r.Members = slices.Compact(slices.Sorted(slices.Values(c.Members.value)))
	}
	return r
}

// legalIdentity tells whether somebody may be called so, in lists, logs and
// tokens.
func legalIdentity(s string) bool {
	return s != "" && len(s) <= maxIdentity && utf8.ValidString(s) &&
		strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}
