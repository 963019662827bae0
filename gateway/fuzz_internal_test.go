package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/cluster"
)

// FuzzRoomChange: a body of any bytes is refused with a problem, or is a merge
// patch: applied twice it does what it does once.
func FuzzRoomChange(f *testing.F) {
	f.Add(`{"name":"demo","wait":true,"conflict":"replace","max_viewers":3}`)
	f.Add(`{"members":[],"program":null,"password":"","record":"off","locked":false}`)
	f.Add(`{"max_publications":-1}{`)
	f.Fuzz(func(t *testing.T, body string) {
		var c roomChange
		read := func(text string, c *roomChange) error {
			r := httptest.NewRequest(http.MethodPatch, "/v1/rooms/demo", strings.NewReader(text))
			r.Header.Set("Content-Type", "application/json")
			return readJSON(httptest.NewRecorder(), r, c)
		}
		if err := read(body, &c); err != nil {
			known(t, err)
			return
		}
		if c.Password.value != "" {
			return // hashing takes its time; see TestRoomChange
		}
		e, err := c.edit(t.Context())
		if err != nil {
			known(t, err)
			return
		}
		once := e.apply(fuzzRoom())
		if twice := e.apply(once); !reflect.DeepEqual(once, twice) {
			t.Errorf("%s means %+v, and then %+v", body, once, twice)
		}
		if once.MaxViewers < 0 || once.MaxPublications < 0 || once.History < -1 || once.Name != "demo" || once.Revision != 7 {
			t.Errorf("%s means %+v", body, once)
		}
		if !slices.IsSorted(once.Members) {
			t.Errorf("%s makes members %q", body, once.Members)
		}
	})
}

func fuzzRoom() cluster.Room {
	return cluster.Room{Name: "demo", Revision: 7, Wait: true, Program: "cam", MaxViewers: 3, PasswordHash: "x", Members: []string{"a"}}
}

// known fails the test for an error that clients would see as internal.
func known(t *testing.T, err error) {
	t.Helper()
	if p, _ := problemOf(err); p.status >= http.StatusInternalServerError {
		t.Errorf("%v is answered with %d", err, p.status)
	}
}

// FuzzPage: a cursor of any bytes begins a page or is refused.
func FuzzPage(f *testing.F) {
	f.Add("limit=3&cursor=YQ", "a b c")
	f.Add("limit=0&cursor=%ff", "")
	f.Fuzz(func(t *testing.T, query, names string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/rooms", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		items := strings.Fields(names)
		err := writeList(w, r, items, func(s string) string { return s })
		var p *problemError
		if err != nil {
			if !errors.As(err, &p) || p.name != "query-malformed" {
				t.Errorf("got %v", err)
			}
			return
		}
		var got list[string]
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Items) > len(items) {
			t.Errorf("got %s, %v", w.Body, err)
		}
	})
}
