package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
)

// Claims is what a JWT says.
type Claims struct {
	Issuer   string    // iss
	Audience []string  // aud
	ID       string    // jti
	Identity string    // sub
	Name     string    // name
	Rooms    []Pattern // rooms
	Can      []Grant   // can
	Issued   time.Time // iat
	Expires  time.Time // exp
}

// Bounds of what a token says.
const (
	maxIdentity = 128 // bytes of sub, jti and name
	maxRooms    = 64
	maxAudience = 16
)

// wireClaims is Claims as it stands in a JWT. Where a list has one member, it may
// be that member alone.
type wireClaims struct {
	jwt.RegisteredClaims
	Name  string           `json:"name,omitempty"`
	Rooms jwt.ClaimStrings `json:"rooms,omitempty"`
	Can   jwt.ClaimStrings `json:"can,omitempty"`
}

// UnmarshalJSON takes a claim by its name alone, as it is written (RFC 7519 section 4): the package
// json would take "SUB" for "sub", and whoever gives tokens may let their bearers fill in a claim of another name.
func (w *wireClaims) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, to := range map[string]any{
		"iss": &w.Issuer, "sub": &w.Subject, "aud": &w.Audience, "exp": &w.ExpiresAt, "nbf": &w.NotBefore, "iat": &w.IssuedAt, "jti": &w.ID,
		"name": &w.Name, "rooms": &w.Rooms, "can": &w.Can,
	} {
		if value, ok := all[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// check finds claims that no verifier would take.
func (c *Claims) check() error {
	if len(c.Rooms) > maxRooms {
		return fmt.Errorf("there are more than %d rooms", maxRooms)
	}
	if len(c.Audience) > maxAudience {
		return fmt.Errorf("there are more than %d audiences", maxAudience)
	}
	for _, p := range c.Rooms {
		if !p.Valid() {
			return errors.New("one of the rooms is not a room name, nor a prefix and an asterisk")
		}
	}
	for _, g := range c.Can {
		if !g.known() {
			return errors.New("can holds a word other than publish, subscribe, record, moderate and admin")
		}
	}
	for _, text := range []string{c.Identity, c.Name, c.ID} {
		if len(text) > maxIdentity || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("one of sub, name and jti is longer than %d bytes, or has control characters", maxIdentity)
		}
	}
	return nil
}

// grants is what the claims allow. Without a jti, the token is known by fallback.
func (c *Claims) grants(fallback string) Grants {
	g := Grants{Identity: c.Identity, Name: c.Name, TokenID: c.ID, Issued: c.Issued, Expires: c.Expires}
	if g.TokenID == "" {
		g.TokenID = fallback
	}
	can := map[Grant]bool{}
	for _, grant := range c.Can {
		can[grant] = true
	}
	for _, rooms := range c.Rooms {
		g.rules = append(g.rules, rule{rooms: rooms, grants: can})
	}
	return g
}

func (c *Claims) wire() *wireClaims {
	w := &wireClaims{Name: c.Name, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: c.Issuer, Subject: c.Identity, ID: c.ID, Audience: c.Audience,
		IssuedAt: jwt.NewNumericDate(c.Issued), ExpiresAt: jwt.NewNumericDate(c.Expires),
	}}
	for _, rooms := range c.Rooms {
		w.Rooms = append(w.Rooms, string(rooms))
	}
	for _, grant := range c.Can {
		w.Can = append(w.Can, string(grant))
	}
	return w
}

func (w *wireClaims) claims() *Claims {
	c := &Claims{
		Issuer: w.Issuer, Audience: w.Audience, ID: w.ID, Identity: w.Subject, Name: w.Name,
		Issued: moment(w.IssuedAt), Expires: moment(w.ExpiresAt),
	}
	for _, rooms := range w.Rooms {
		c.Rooms = append(c.Rooms, Pattern(rooms))
	}
	for _, grant := range w.Can {
		c.Can = append(c.Can, Grant(grant))
	}
	return c
}

func moment(d *jwt.NumericDate) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.UTC()
}

// Policy is what is asked of a JWT besides its signature.
type Policy struct {
	Issuer   string        // iss must be this; "": anything
	Audience string        // aud must hold this; "": anything
	MaxLife  time.Duration // from iat (without it: from now) to exp; 0: DefaultMaxLife
}

// DefaultMaxLife is how long a token may be good for.
const DefaultMaxLife = 24 * time.Hour

// leeway is how far the clock of who made a token may be ahead of ours. It is not given
// at the end of a token: what was begun by a token ends with it, so that nothing
// could be done with one that is taken later.
const leeway = 30 * time.Second

// judge tells what a token allows that somebody trusted signed.
func (p *Policy) judge(w *wireClaims, fallback string) (Grants, error) {
	c, now := w.claims(), time.Now()
	if err := c.check(); err != nil {
		return Grants{}, &refusal{err}
	}
	from, life := c.Issued, p.MaxLife
	if from.IsZero() {
		from = now
	}
	if life == 0 {
		life = DefaultMaxLife
	}
	switch {
	case c.Expires.IsZero():
		return Grants{}, refuse("exp is missing")
	case p.Issuer != "" && c.Issuer != p.Issuer:
		return Grants{}, refuse("iss is not the one that is wanted")
	case p.Audience != "" && !slices.Contains(c.Audience, p.Audience):
		return Grants{}, refuse("aud does not hold the one that is wanted")
	case !now.Before(c.Expires):
		return Grants{}, ErrExpired
	case moment(w.NotBefore).After(now.Add(leeway)), c.Issued.After(now.Add(leeway)):
		return Grants{}, ErrNotYet
	case c.Expires.Sub(from) > life:
		return Grants{}, refuse("exp is more than " + life.String() + " after iat")
	}
	return c.grants(fallback), nil
}
