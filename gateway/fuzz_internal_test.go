package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/sfu"
)

// FuzzRoomChange: a body of any bytes is refused with a problem, or says
// something that survives being written and read again.
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
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again roomChange
		if err := read(string(text), &again); err != nil {
			t.Fatalf("%s is not read again: %v", text, err)
		}
		before, err := c.apply(sfu.Settings{})
		if err != nil {
			known(t, err)
			return
		}
		after, err := again.apply(sfu.Settings{})
		if err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%s means %+v, and then %+v, %v", body, before, after, err)
		}
		if before.MaxViewers < 0 || before.MaxPublications < 0 {
			t.Errorf("%s means %+v", body, before)
		}
	})
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
