package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluicemedia/sluice/auth"
)

func roomKey(id string, created time.Time) auth.Key {
	return auth.Key{ID: id, Secret: []byte(strings.Repeat(id, 32)), Created: created}
}

func guest() auth.Claims {
	return auth.Claims{
		Identity: "bob", Name: "Bob", Rooms: []auth.Pattern{"studio"}, Can: []auth.Grant{auth.Publish, auth.Subscribe},
		Expires: time.Now().Add(auth.MaxRoomLife),
	}
}

func TestIssuer(t *testing.T) {
	first, second, third := roomKey("1", time.Now().Add(-time.Hour)), roomKey("2", time.Now()), roomKey("3", time.Now().Add(time.Minute))
	present := []auth.Key{second, first}
	issuer := auth.NewIssuer(func() []auth.Key { return present })
	token, promised, err := issuer.Mint(guest())
	if err != nil {
		t.Fatal(err)
	}
	if kid := header(t, token)["kid"]; kid != "2" {
		t.Errorf("got kid %v, want that of the newest key", kid)
	}
	g, err := issuer.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if g.Identity != "bob" || g.Name != "Bob" || !g.Allows("studio", auth.Publish) || g.Allows("studio", auth.Moderate) || g.Allows("other", auth.Subscribe) {
		t.Errorf("got %+v", g)
	}
	if g.TokenID == "" || g.TokenID != promised.TokenID || !g.Expires.Equal(promised.Expires) || !g.Issued.Equal(promised.Issued) {
		t.Errorf("Mint promised %+v, Verify found %+v", promised, g)
	}
	again, _, err := issuer.Mint(guest())
	if err != nil || again == token {
		t.Errorf("two tokens are the same (%v)", err)
	}

	present = []auth.Key{third, second} // rotated once: still good
	if _, err := issuer.Verify(t.Context(), token); err != nil {
		t.Errorf("after one rotation: %v", err)
	}
	present = []auth.Key{third} // rotated twice
	if _, err := issuer.Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("after two rotations: got %v, want ErrInvalid", err)
	}
}

// TestIssuerRefuses: what is signed by something else, or with the right key in another way.
func TestIssuerRefuses(t *testing.T) {
	key := roomKey("1", time.Now())
	issuer := auth.NewIssuer(func() []auth.Key { return []auth.Key{key} })
	kid := map[string]any{"kid": "1"}
	own := with(good(), "iss", "sluice")
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"right":          {sign(t, "HS256", key.Secret, kid, own), nil},
		"no kid":         {sign(t, "HS256", key.Secret, nil, own), auth.ErrInvalid},
		"other kid":      {sign(t, "HS256", key.Secret, map[string]any{"kid": "2"}, own), auth.ErrInvalid},
		"kid a number":   {sign(t, "HS256", key.Secret, map[string]any{"kid": 1}, own), auth.ErrInvalid},
		"other secret":   {sign(t, "HS256", []byte(secret), kid, own), auth.ErrInvalid},
		"none":           {sign(t, "none", jwt.UnsafeAllowNoneSignatureType, kid, own), auth.ErrInvalid},
		"ES256":          {sign(t, "ES256", signers()["ES256"], kid, own), auth.ErrInvalid},
		"other issuer":   {sign(t, "HS256", key.Secret, kid, with(good(), "iss", "x")), auth.ErrRefused},
		"too long":       {sign(t, "HS256", key.Secret, kid, with(with(good(), "iss", "sluice"), "exp", time.Now().Add(13*time.Hour).Unix())), auth.ErrRefused},
		"not a JWT":      {"studio-key-1", auth.ErrInvalid},
		"nothing at all": {"", auth.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := issuer.Verify(t.Context(), tc.token)
			check(t, tc.token, g, err, tc.want)
		})
	}
}

func TestIssuerKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := roomKey("1", time.Now())
		key.Expires = time.Now().Add(time.Hour)
		for name, tc := range map[string]struct {
			keys []auth.Key
			want error
		}{
			"none":         {nil, auth.ErrNoKey},
			"short secret": {[]auth.Key{{ID: "1", Secret: []byte("short")}}, auth.ErrNoKey},
			"no id":        {[]auth.Key{{Secret: []byte(secret)}}, auth.ErrNoKey},
			"expired":      {[]auth.Key{{ID: "1", Secret: []byte(secret), Expires: time.Now()}}, auth.ErrNoKey},
			"good":         {[]auth.Key{key}, nil},
		} {
			if _, _, err := auth.NewIssuer(func() []auth.Key { return tc.keys }).Mint(guest()); !errors.Is(err, tc.want) {
				t.Errorf("%s: got %v, want %v", name, err, tc.want)
			}
		}

		issuer := auth.NewIssuer(func() []auth.Key { return []auth.Key{key} })
		token, g, err := issuer.Mint(guest())
		if err != nil || !g.Expires.Equal(key.Expires.UTC()) {
			t.Fatalf("got %v until %v, want until its key's end, %v", err, g.Expires, key.Expires)
		}
		time.Sleep(time.Hour - time.Second)
		if _, err := issuer.Verify(t.Context(), token); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := issuer.Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("past the end of its key: got %v, want ErrInvalid", err)
		}
	})
}

func TestMintRefuses(t *testing.T) {
	issuer := auth.NewIssuer(func() []auth.Key { return []auth.Key{roomKey("1", time.Now())} })
	for name, change := range map[string]func(*auth.Claims){
		"no end":       func(c *auth.Claims) { c.Expires = time.Time{} },
		"too long":     func(c *auth.Claims) { c.Expires = time.Now().Add(auth.MaxRoomLife + time.Minute) },
		"over":         func(c *auth.Claims) { c.Expires = time.Now() },
		"bad room":     func(c *auth.Claims) { c.Rooms = []auth.Pattern{"a/b"} },
		"bad grant":    func(c *auth.Claims) { c.Can = []auth.Grant{"fly"} },
		"bad identity": func(c *auth.Claims) { c.Identity = "a\x00" },
		"more than fits": func(c *auth.Claims) {
			c.Rooms = nil
			for range 64 {
				c.Rooms = append(c.Rooms, auth.Pattern(strings.Repeat("r", 60)))
			}
		},
	} {
		c := guest()
		change(&c)
		if token, _, err := issuer.Mint(c); err == nil || token != "" {
			t.Errorf("%s: got %q, %v", name, token, err)
		}
	}
}

// verdict is a verifier that always says the same.
type verdict struct {
	identity string
	err      error
	asked    *int
}

func (v verdict) Verify(context.Context, string) (auth.Grants, error) {
	*v.asked++
	return auth.Grants{Identity: v.identity}, v.err
}

func TestChain(t *testing.T) {
	refused := func() error {
		_, err := keys(t, secret).Verify(t.Context(), sign(t, "HS256", []byte(secret), nil, with(good(), "exp", nil)))
		return err
	}()
	for name, tc := range map[string]struct {
		verdicts []error
		identity string
		want     error
		asked    int
	}{
		"nobody":                         {nil, "", auth.ErrInvalid, 0},
		"nobody knows":                   {[]error{auth.ErrInvalid, auth.ErrInvalid}, "", auth.ErrInvalid, 2},
		"the first knows":                {[]error{nil, nil}, "0", nil, 1},
		"the second knows":               {[]error{auth.ErrInvalid, nil}, "1", nil, 2},
		"one knew":                       {[]error{auth.ErrExpired, nil}, "", auth.ErrExpired, 1},
		"one will know":                  {[]error{auth.ErrNotYet, nil}, "", auth.ErrNotYet, 1},
		"one does not like what it says": {[]error{refused, nil}, "", auth.ErrRefused, 1},
		"one cannot tell":                {[]error{auth.ErrUnavailable, auth.ErrInvalid}, "", auth.ErrUnavailable, 2},
		"one cannot tell, one can":       {[]error{auth.ErrUnavailable, nil}, "1", nil, 2},
		"one cannot tell, one refuses":   {[]error{auth.ErrUnavailable, auth.ErrExpired}, "", auth.ErrExpired, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var verifiers []auth.Verifier
			asked := 0
			for i, err := range tc.verdicts {
				verifiers = append(verifiers, verdict{string(rune('0' + i)), err, &asked})
			}
			g, err := auth.Chain(verifiers...).Verify(t.Context(), "token")
			if !errors.Is(err, tc.want) || tc.want == nil && err != nil || g.Identity != tc.identity || asked != tc.asked {
				t.Errorf("got %q, %v after %d, want %q, %v after %d", g.Identity, err, asked, tc.identity, tc.want, tc.asked)
			}
		})
	}
}
