package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sluicemedia/sluice/auth"
)

// minting is the command line of `sluice token`.
type minting struct {
	KeyFile string   `required:"" placeholder:"FILE" env:"-" help:"Secret or private key (PEM) that signs; nodes verify with the same secret or the public key, --auth-key-file."`
	Room    []string `placeholder:"PATTERN,..." env:"-" help:"Room name, or beginning of room names and an asterisk: studio, event-*, *."`

	Publish   bool `env:"-" help:"May send media into these rooms."`
	Subscribe bool `env:"-" help:"May play them."`
	Record    bool `env:"-" help:"May record them."`
	Moderate  bool `env:"-" help:"May kick, mute, lock and choose the program."`
	Admin     bool `env:"-" help:"May make, change and end these rooms, and see all lists."`

	Identity string        `placeholder:"NAME" env:"-" help:"Who the token is for: whoever has this identity takes over its own publications."`
	Name     string        `placeholder:"TEXT" env:"-" help:"What people in the room read."`
	TTL      time.Duration `name:"ttl" default:"1h" env:"-" help:"How long the token is good for, 24h at most; what was begun with it ends then."`
	Issuer   string        `placeholder:"TEXT" env:"-" help:"The iss of the token, if nodes ask for one."`
	Audience []string      `placeholder:"TEXT,..." env:"-" help:"The aud of the token, if nodes ask for one."`
}

// mintToken runs `sluice token`: the token alone goes to stdout. The exit status is 2 when
// something is to be put right on the command line or in the key file.
func mintToken(m minting, stdout io.Writer) error {
	claims, err := m.claims(time.Now())
	if err != nil {
		return &statusError{statusNotRun, err}
	}
	keys, err := readKeys(m.KeyFile)
	if err != nil {
		return &statusError{statusNotRun, err}
	}
	token, err := keys.Mint(claims)
	if errors.Is(err, auth.ErrNoKey) {
		err = fmt.Errorf("--key-file: %s has public keys only, which verify: name the file of the private key", m.KeyFile)
	}
	if err != nil {
		return &statusError{statusNotRun, err}
	}
	_, err = fmt.Fprintln(stdout, token)
	return err
}

func (m *minting) claims(now time.Time) (auth.Claims, error) {
	c := auth.Claims{Issuer: m.Issuer, Audience: m.Audience, Identity: m.Identity, Name: m.Name, Issued: now, Expires: now.Add(m.TTL)}
	for _, g := range []struct {
		wanted bool
		grant  auth.Grant
	}{{m.Publish, auth.Publish}, {m.Subscribe, auth.Subscribe}, {m.Record, auth.Record}, {m.Moderate, auth.Moderate}, {m.Admin, auth.Admin}} {
		if g.wanted {
			c.Can = append(c.Can, g.grant)
		}
	}
	for _, room := range m.Room {
		if c.Rooms = append(c.Rooms, auth.Pattern(room)); !auth.Pattern(room).Valid() {
			return c, fmt.Errorf("--room %q: want a room name (1 to 64 of A-Z a-z 0-9 . _ -, no dot first), or the beginning of one and an asterisk", room)
		}
	}
	switch {
	case len(c.Rooms) == 0:
		return c, errors.New("say for which rooms: --room NAME, --room 'PREFIX*' or --room '*'")
	case len(c.Can) == 0:
		return c, errors.New("say what is allowed: one or more of --publish --subscribe --record --moderate --admin")
	case m.Identity == "":
		return c, errors.New("say who the token is for: --identity NAME")
	case m.TTL < time.Second || m.TTL > auth.DefaultMaxLife:
		return c, fmt.Errorf("--ttl %v: nodes take tokens that are good for 1s to %v", m.TTL, auth.DefaultMaxLife)
	}
	return c, nil
}

// readKeys reads a little more than a key file may have, so that it is found out.
func readKeys(path string) (*auth.Keys, error) {
	f, err := os.Open(path) //nolint:gosec // whoever runs the program names the file
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	file, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	keys, err := auth.ParseKeys(file)
	if err != nil {
		return nil, fmt.Errorf("--key-file: %s: %w", path, err)
	}
	return keys, nil
}
