package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/sfu"
)

var asJSON = []string{"Content-Type", "application/json"}

// room is what the tests look at of a room.
type room struct {
	Name, Conflict, Record string
	Wait, Live, Locked     bool
	Program                *string
	MaxViewers             int `json:"max_viewers"`
	MaxPublications        int `json:"max_publications"`
	Viewers, Publications  int
	URLs                   map[string]string
}

func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRoomLife(t *testing.T) {
	n := start(t)
	resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo","wait":true,"max_viewers":7}`)
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != n.URL()+"/v1/rooms/demo" {
		t.Fatalf("got %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	got := decode[room](t, resp)
	if got.Name != "demo" || !got.Wait || got.Conflict != "reject" || got.MaxViewers != 7 || got.Live || got.Program != nil || got.Record != "off" {
		t.Errorf("got %+v", got)
	}
	for name, path := range map[string]string{"whip": "/whip/demo", "whep": "/whep/demo", "play": "/play/demo", "publish": "/publish/demo"} {
		if got.URLs[name] != n.URL()+path {
			t.Errorf("the URL %s is %q", name, got.URLs[name])
		}
	}
	if resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`); resp.StatusCode != http.StatusConflict {
		t.Errorf("a second one: got %d, want 409", resp.StatusCode)
	}
	got = decode[room](t, n.do(t, "PATCH", "/v1/rooms/demo", asJSON, `{"conflict":"replace","max_publications":2,"name":"demo"}`))
	if !got.Wait || got.Conflict != "replace" || got.MaxViewers != 7 || got.MaxPublications != 2 {
		t.Errorf("PATCH changed more or less than it said: %+v", got)
	}
	got = decode[room](t, n.do(t, "PATCH", "/v1/rooms/demo", []string{"Content-Type", "application/merge-patch+json"}, `{"wait":false}`))
	if got.Wait || got.Conflict != "replace" {
		t.Errorf("got %+v", got)
	}
	if again := decode[room](t, n.do(t, "GET", "/v1/rooms/demo", nil, "")); fmt.Sprint(again) != fmt.Sprint(got) {
		t.Errorf("GET %+v differs from PATCH %+v", again, got)
	}
	for _, list := range []string{"sessions", "publications"} {
		if body := n.do(t, "GET", "/v1/rooms/demo/"+list, nil, "").Body; body != `{"items":[],"next":null}` {
			t.Errorf("%s: got %s", list, body)
		}
	}
	if resp := n.do(t, "DELETE", "/v1/rooms/demo", nil, ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: got %d, want 204", resp.StatusCode)
	}
	for _, r := range []string{"GET /v1/rooms/demo", "PATCH /v1/rooms/demo", "DELETE /v1/rooms/demo", "GET /v1/rooms/demo/sessions", "GET /v1/rooms/demo/publications"} {
		method, path, _ := strings.Cut(r, " ")
		if resp := n.do(t, method, path, asJSON, "{}"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s after its end: got %d, want 404", r, resp.StatusCode)
		}
	}
}

func TestRoomWithoutName(t *testing.T) {
	n := start(t)
	first, second := decode[room](t, n.do(t, "POST", "/v1/rooms", nil, "")), decode[room](t, n.do(t, "POST", "/v1/rooms", asJSON, "{}"))
	if len(first.Name) < 8 || first.Name == second.Name {
		t.Errorf("made-up names %q and %q", first.Name, second.Name)
	}
	if resp := n.do(t, "GET", "/v1/rooms/"+first.Name, nil, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d for the made-up room", resp.StatusCode)
	}
}

func TestRoomRefusals(t *testing.T) {
	n := start(t)
	if resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`); resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %d", resp.StatusCode)
	}
	text := []string{"Content-Type", "text/plain"}
	for _, tc := range []struct {
		method, path string
		headers      []string
		body         string
		status       int
		problem      string
		detail       string // in the detail
	}{
		{"POST", "/v1/rooms", text, `{}`, 415, "media-type", "application/json"},
		{"POST", "/v1/rooms", nil, `{}`, 415, "media-type", ""},
		{"POST", "/v1/rooms", asJSON, `{`, 400, "json-malformed", ""},
		{"POST", "/v1/rooms", asJSON, `[]`, 400, "json-malformed", "object"},
		{"POST", "/v1/rooms", asJSON, `null`, 400, "json-malformed", "object"},
		{"POST", "/v1/rooms", asJSON, `{} {}`, 400, "json-malformed", "follows"},
		{"POST", "/v1/rooms", asJSON, `{"pasword":"x"}`, 400, "json-malformed", "unknown field: pasword."},
		{"POST", "/v1/rooms", asJSON, `{"` + strings.Repeat("x", 33) + `":"x"}`, 400, "json-malformed", "unknown field."},
		{"POST", "/v1/rooms", asJSON, `{"Xk2v9fQm7T":"x"}`, 400, "json-malformed", "unknown field."},
		{"POST", "/v1/rooms", asJSON, `{"wait":"yes"}`, 400, "json-malformed", "wait"},
		{"POST", "/v1/rooms", asJSON, `{"max_viewers":1e99}`, 400, "json-malformed", ""},
		{"POST", "/v1/rooms", asJSON, `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "too-large", ""},
		{"POST", "/v1/rooms", asJSON, `{"name":"a/b"}`, 422, "field-invalid", "name"},
		{"POST", "/v1/rooms", asJSON, `{"name":""}`, 422, "field-invalid", "name"},
		{"POST", "/v1/rooms", asJSON, `{"conflict":"fight"}`, 422, "field-invalid", "conflict"},
		{"POST", "/v1/rooms", asJSON, `{"max_viewers":-1}`, 422, "field-invalid", "max_viewers"},
		{"POST", "/v1/rooms", asJSON, `{"max_publications":1000001}`, 422, "field-invalid", "max_publications"},
		{"POST", "/v1/rooms", asJSON, `{"record":"auto"}`, 422, "not-in-this-version", "record"},
		{"POST", "/v1/rooms", asJSON, `{"record":"on"}`, 422, "field-invalid", "record"},
		{"POST", "/v1/rooms", asJSON, `{"password":"` + strings.Repeat("x", 1025) + `"}`, 422, "field-invalid", "password"},
		{"POST", "/v1/rooms", asJSON, `{"members":["x",""]}`, 422, "field-invalid", "members"},
		{"POST", "/v1/rooms", asJSON, `{"members":"x"}`, 400, "json-malformed", "members"},
		{"POST", "/v1/rooms", asJSON, `{"history":-2}`, 422, "field-invalid", "history"},
		{"POST", "/v1/rooms", asJSON, `{"locked":1}`, 400, "json-malformed", "locked"},
		{"PATCH", "/v1/rooms/demo", asJSON, `{"program":"a/b"}`, 422, "field-invalid", "program"},
		{"PATCH", "/v1/rooms/demo", asJSON, `{"name":null}`, 422, "field-invalid", "name"},
		{"POST", "/v1/rooms/demo/join", asJSON, `{"identity":" x"}`, 422, "field-invalid", "identity"},
		{"POST", "/v1/rooms/demo/join", asJSON, `{"identity":"x","name":"a\nb"}`, 422, "field-invalid", "name"},
		{"POST", "/v1/rooms/demo/join", asJSON, `{}`, 422, "field-invalid", "identity"},
		{"POST", "/v1/rooms/demo/join", asJSON, `{"user":"x"}`, 400, "json-malformed", "unknown field"},
		{"PATCH", "/v1/rooms/demo/publications/main", asJSON, `{"muted":{"audio":true}}`, 404, "publication-not-found", ""},
		{"GET", "/v1/rooms/demo/publications/main", nil, "", 404, "publication-not-found", ""},
		{"GET", "/v1/rooms/demo/sessions/n.none", nil, "", 404, "session-not-found", ""},
		{"PATCH", "/v1/rooms/demo", asJSON, `{"name":"other"}`, 422, "field-invalid", "name"},
		{"PATCH", "/v1/rooms/demo", asJSON, `{"wait":true,"conflict":"x"}`, 422, "field-invalid", "conflict"},
		{"GET", "/v1/rooms?limit=0", nil, "", 400, "query-malformed", ""},
		{"GET", "/v1/rooms?limit=1001", nil, "", 400, "query-malformed", ""},
		{"GET", "/v1/rooms?limit=x", nil, "", 400, "query-malformed", ""},
		{"GET", "/v1/rooms?cursor=%25", nil, "", 400, "query-malformed", ""},
		{"DELETE", "/v1/rooms/demo/sessions/n.none", nil, "", 404, "session-not-found", ""},
	} {
		resp := n.do(t, tc.method, tc.path, tc.headers, tc.body)
		got := decode[problem](t, resp)
		if resp.StatusCode != tc.status || got.Type != "/problems/"+tc.problem || !strings.Contains(got.Detail, tc.detail) {
			t.Errorf("%s %s %.60s: got %d %+v, want %d %s with %q", tc.method, tc.path, tc.body, resp.StatusCode, got, tc.status, tc.problem, tc.detail)
		}
	}
	if rooms := n.Rooms().List(); len(rooms) != 1 || rooms[0].Settings.Wait {
		t.Errorf("refused requests changed the rooms: %+v", rooms)
	}
	if resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"password":"","members":[],"record":"off","program":null,"locked":false}`); resp.StatusCode != http.StatusCreated {
		t.Errorf("fields of later versions at rest: got %d, want 201", resp.StatusCode)
	}
}

// TestRoomMediaTypes: a 415 names the types of its own resource, not those of
// offers.
func TestRoomMediaTypes(t *testing.T) {
	n := start(t)
	n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`)
	for _, tc := range []struct{ method, path, post, patch string }{
		{"POST", "/v1/rooms", "application/json", ""},
		{"PATCH", "/v1/rooms/demo", "", "application/json, application/merge-patch+json"},
	} {
		resp := n.do(t, tc.method, tc.path, []string{"Content-Type", "text/plain"}, "{}")
		post, patch := resp.Header.Get("Accept-Post"), resp.Header.Get("Accept-Patch")
		if resp.StatusCode != http.StatusUnsupportedMediaType || post != tc.post || patch != tc.patch {
			t.Errorf("%s %s: got %d, Accept-Post %q, Accept-Patch %q", tc.method, tc.path, resp.StatusCode, post, patch)
		}
	}
}

func TestRoomLimit(t *testing.T) {
	n := start(t, func(c *gateway.Config) { c.MaxRooms = 1 })
	n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"a"}`)
	resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"b"}`)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 503 with one", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// TestRoomPages walks through a list while rooms come and go.
func TestRoomPages(t *testing.T) {
	n := start(t)
	for i := range 5 {
		if _, err := n.Rooms().Create(fmt.Sprintf("room-%d", i), sfu.Settings{}); err != nil {
			t.Fatal(err)
		}
	}
	type page struct {
		Items []room
		Next  *string
	}
	var seen []string
	path := "/v1/rooms?limit=2"
	for range 10 {
		p := decode[page](t, n.do(t, "GET", path, nil, ""))
		for _, r := range p.Items {
			seen = append(seen, r.Name)
		}
		if p.Next == nil {
			break
		}
		if len(seen) == 2 { // the item that the cursor names goes
			if err := n.Rooms().Delete("room-1"); err != nil {
				t.Fatal(err)
			}
		}
		path = "/v1/rooms?limit=2&cursor=" + *p.Next
	}
	if got := strings.Join(seen, " "); got != "room-0 room-1 room-2 room-3 room-4" {
		t.Errorf("got %s", got)
	}
}

// TestConcurrentPatches changes different fields at once: none gets lost.
func TestConcurrentPatches(t *testing.T) {
	n := start(t)
	n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`)
	var wg sync.WaitGroup
	for _, body := range []string{`{"wait":true}`, `{"conflict":"replace"}`, `{"max_viewers":3}`, `{"max_publications":4}`} {
		wg.Go(func() { n.do(t, "PATCH", "/v1/rooms/demo", asJSON, body) })
	}
	wg.Wait()
	got := decode[room](t, n.do(t, "GET", "/v1/rooms/demo", nil, ""))
	if !got.Wait || got.Conflict != "replace" || got.MaxViewers != 3 || got.MaxPublications != 4 {
		t.Errorf("a change was lost: %+v", got)
	}
}
