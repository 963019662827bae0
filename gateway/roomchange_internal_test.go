package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
)

// readChange reads a change as a request brings it.
func readChange(t *testing.T, body string) (c roomChange, err error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPatch, "/v1/rooms/demo", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/merge-patch+json")
	return c, readJSON(httptest.NewRecorder(), r, &c)
}

// TestRoomChange: what is left out stays, null stands for the default, and all
// else replaces what was there (RFC 7396).
func TestRoomChange(t *testing.T) {
	before := cluster.Room{
		Name: "demo", Revision: 7, Wait: true, Replace: true, Locked: true, Program: "cam", MaxPublications: 3, MaxViewers: 4,
		History: 5, PasswordHash: "hash", Members: []string{"anna"},
	}
	with := func(change func(*cluster.Room)) cluster.Room {
		r := before
		change(&r)
		return r
	}
	for body, want := range map[string]cluster.Room{
		`{}`:                                    before,
		`{"wait":true}`:                         before,
		`{"wait":null}`:                         with(func(r *cluster.Room) { r.Wait = false }),
		`{"wait":null,"wait":true}`:             before,
		`{"conflict":"reject"}`:                 with(func(r *cluster.Room) { r.Replace = false }),
		`{"conflict":null}`:                     with(func(r *cluster.Room) { r.Replace = false }),
		`{"locked":false}`:                      with(func(r *cluster.Room) { r.Locked = false }),
		`{"locked":null}`:                       with(func(r *cluster.Room) { r.Locked = false }),
		`{"program":null}`:                      with(func(r *cluster.Room) { r.Program = "" }),
		`{"program":"stage"}`:                   with(func(r *cluster.Room) { r.Program = "stage" }),
		`{"max_publications":null}`:             with(func(r *cluster.Room) { r.MaxPublications = 0 }),
		`{"max_viewers":9}`:                     with(func(r *cluster.Room) { r.MaxViewers = 9 }),
		`{"history":-1}`:                        with(func(r *cluster.Room) { r.History = -1 }),
		`{"history":null}`:                      with(func(r *cluster.Room) { r.History = 0 }),
		`{"password":null}`:                     with(func(r *cluster.Room) { r.PasswordHash = "" }),
		`{"password":""}`:                       with(func(r *cluster.Room) { r.PasswordHash = "" }),
		`{"members":null}`:                      with(func(r *cluster.Room) { r.Members = nil }),
		`{"members":[]}`:                        with(func(r *cluster.Room) { r.Members = nil }),
		`{"members":["b","a","b"]}`:             with(func(r *cluster.Room) { r.Members = []string{"a", "b"} }),
		`{"record":null}`:                       before,
		`{"record":"off","conflict":"replace"}`: before,
	} {
		c, err := readChange(t, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		e, err := c.edit(t.Context())
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got := e.apply(before); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", body, got, want)
		}
	}
}

// TestRoomChangeHashesPasswords: the password itself is kept nowhere, and an
// edit that is applied again, to another state of the room, has the same hash.
func TestRoomChangeHashesPasswords(t *testing.T) {
	c, err := readChange(t, `{"password":"correct horse"}`)
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.edit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second := e.apply(cluster.Room{}), e.apply(cluster.Room{Wait: true})
	if first.PasswordHash != second.PasswordHash || !strings.HasPrefix(first.PasswordHash, "$argon2id$") {
		t.Errorf("got the hashes %q and %q", first.PasswordHash, second.PasswordHash)
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false} {
		if right, err := auth.CheckPassword(t.Context(), first.PasswordHash, password); err != nil || right != want {
			t.Errorf("%q: got %t %v, want %t", password, right, err, want)
		}
	}
}

func TestRoomChangeRefuses(t *testing.T) {
	long := strings.Repeat("x", maxIdentity+1)
	for body, problem := range map[string]string{
		`{"conflict":""}`:              "field-invalid",
		`{"conflict":"fight"}`:         "field-invalid",
		`{"max_viewers":1000001}`:      "field-invalid",
		`{"max_publications":-1}`:      "field-invalid",
		`{"history":1001}`:             "field-invalid",
		`{"program":".hidden"}`:        "field-invalid",
		`{"members":["` + long + `"]}`: "field-invalid",
		`{"members":["a\u0000"]}`:      "field-invalid",
		`{"members":[" a"]}`:           "field-invalid",
		`{"record":"auto"}`:            "not-in-this-version",
		`{"record":"always"}`:          "field-invalid",
		`{"members":[` + strings.Repeat(`"a",`, maxMembers) + `"a"]}`: "field-invalid",
	} {
		c, err := readChange(t, body)
		if err != nil {
			t.Errorf("%.60s: %v", body, err)
			continue
		}
		var refused *problemError
		if _, err := c.edit(t.Context()); !errors.As(err, &refused) || refused.name != problem {
			t.Errorf("%.60s: got %v, want %s", body, err, problem)
		}
	}
}

// TestModeration: moderators decide about the lock and the program, and nothing
// else with it.
func TestModeration(t *testing.T) {
	for body, want := range map[string]bool{
		`{"locked":true}`:                      true,
		`{"program":null}`:                     true,
		`{"program":"a","locked":false}`:       true,
		`{}`:                                   false,
		`{"wait":true}`:                        false,
		`{"locked":true,"password":null}`:      false,
		`{"locked":true,"members":[]}`:         false,
		`{"locked":true,"name":"demo"}`:        false,
		`{"program":"a","history":0}`:          false,
		`{"program":"a","record":"off"}`:       false,
		`{"program":"a","conflict":null}`:      false,
		`{"program":"a","max_viewers":1}`:      false,
		`{"program":"a","wait":null}`:          false,
		`{"locked":true,"max_publications":1}`: false,
	} {
		c, err := readChange(t, body)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.moderation(); got != want {
			t.Errorf("%s: got %t, want %t", body, got, want)
		}
	}
}
