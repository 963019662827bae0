package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/sfu"
)

// TestRoomPreconditions: of two who saw the same room one may change it, and
// who has seen it all is told nothing anew.
func TestRoomPreconditions(t *testing.T) {
	n := start(t)
	made := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`)
	first := made.Header.Get("ETag")
	if first == "" {
		t.Fatal("the 201 has no ETag")
	}
	with := func(name, etag string) []string { return append([]string{name, etag}, asJSON...) }
	for _, method := range []string{"GET", "HEAD"} {
		a := n.do(t, method, "/v1/rooms/demo", with("If-None-Match", first), "")
		if a.StatusCode != http.StatusNotModified || a.Header.Get("ETag") != first || a.Body != "" {
			t.Errorf("%s of what is known: got %d, ETag %q, body %q, want an empty 304", method, a.StatusCode, a.Header.Get("ETag"), a.Body)
		}
	}
	changed := n.do(t, "PATCH", "/v1/rooms/demo", with("If-Match", first), `{"wait":true}`)
	if changed.StatusCode != http.StatusOK || changed.Header.Get("ETag") == first {
		t.Errorf("got %d, ETag %q", changed.StatusCode, changed.Header.Get("ETag"))
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		a := n.do(t, method, "/v1/rooms/demo", with("If-Match", first), `{"wait":false}`)
		if p := problemName(t, a); a.StatusCode != http.StatusPreconditionFailed || p != "room-changed" {
			t.Errorf("%s with an old ETag: got %d %s, want 412 room-changed", method, a.StatusCode, p)
		}
	}
	if a := n.do(t, "GET", "/v1/rooms/demo", with("If-None-Match", first), ""); a.StatusCode != http.StatusOK || !decode[room](t, a).Wait {
		t.Errorf("GET with an old ETag: got %d %s", a.StatusCode, a.Body)
	}
	same := n.do(t, "PATCH", "/v1/rooms/demo", asJSON, `{"wait":true}`)
	if same.Header.Get("ETag") != changed.Header.Get("ETag") {
		t.Error("a PATCH that changed nothing changed the ETag")
	}
	if a := n.do(t, "DELETE", "/v1/rooms/demo", with("If-Match", same.Header.Get("ETag")), ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE with the present ETag: got %d", a.StatusCode)
	}
	if a := n.do(t, "PATCH", "/v1/rooms/demo", with("If-Match", "*"), `{}`); a.StatusCode != http.StatusNotFound {
		t.Errorf("a room that is not there: got %d, want 404", a.StatusCode)
	}
}

// TestIdempotencyKey: one request makes one room, however often it is sent.
func TestIdempotencyKey(t *testing.T) {
	n := start(t, withTokens(t))
	post := func(token, key, body string) answer {
		t.Helper()
		return n.do(t, "POST", "/v1/rooms", append([]string{"Idempotency-Key", key}, bearing(token)...), body)
	}
	first := post("all-admin-key", "key-1", `{"password":"correct horse"}`)
	again := post("all-admin-key", "key-1", `{"password":"correct horse"}`)
	if first.StatusCode != http.StatusCreated || again.StatusCode != http.StatusCreated || first.Body != again.Body {
		t.Errorf("got %d %s, and then %d %s", first.StatusCode, first.Body, again.StatusCode, again.Body)
	}
	for _, name := range []string{"Location", "ETag"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("%s: got %q, and then %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	if a, b := first.Header.Get("Idempotency-Replayed"), again.Header.Get("Idempotency-Replayed"); a != "" || b != "true" {
		t.Errorf("Idempotency-Replayed: got %q and %q, want none and true", a, b)
	}
	if a := post("all-admin-key", "key-1", `{"password":"battery staple"}`); problemName(t, a) != "idempotency-key-reused" || a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another body: got %d %s", a.StatusCode, a.Body)
	}
	if a := post("admin-key-1", "key-1", `{"name":"demo"}`); a.StatusCode != http.StatusCreated {
		t.Errorf("the key of another caller: got %d %s, want 201: keys are everybody's own", a.StatusCode, a.Body)
	}
	if a := post("all-admin-key", "key-2", `{"name":"demo"}`); a.StatusCode != http.StatusConflict {
		t.Errorf("got %d, want 409", a.StatusCode)
	}
	n.do(t, "DELETE", "/v1/rooms/demo", bearing("all-admin-key"), "")
	if a := post("all-admin-key", "key-2", `{"name":"demo"}`); a.StatusCode != http.StatusConflict {
		t.Errorf("what was refused and is sent again: got %d, want the answer that it had", a.StatusCode)
	}
	if rooms := n.Rooms().List(); len(rooms) != 1 {
		t.Errorf("got %d rooms, want 1", len(rooms))
	}
	for _, key := range []string{`""`, "a\tb", strings.Repeat("k", 256)} {
		headers := append([]string{"Idempotency-Key", key}, bearing("all-admin-key")...)
		if a := n.do(t, "POST", "/v1/rooms", headers, `{}`); problemName(t, a) != "idempotency-key-malformed" {
			t.Errorf("%.20q: got %d", key, a.StatusCode)
		}
	}
}

// TestIdempotencyKeyAtOnce sends the same request many times at once.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	n := start(t)
	bodies := []string{`{"wait":true}`}
	for i := range 3 {
		bodies = append(bodies, fmt.Sprintf(`{"name":"demo-%d"}`, i))
	}
	for i, body := range bodies {
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				a := n.do(t, "POST", "/v1/rooms", append([]string{"Idempotency-Key", fmt.Sprint("key-", i)}, asJSON...), body)
				mu.Lock()
				defer mu.Unlock()
				seen[fmt.Sprint(a.StatusCode, a.Header.Get("Location"))]++
			})
		}
		wg.Wait()
		if rooms := len(n.Rooms().List()); len(seen) != 1 || rooms != i+1 {
			t.Errorf("%s: got the answers %v and %d rooms, want one answer and %d", body, seen, rooms, i+1)
		}
	}
}

// TestRoomsOutliveTheNode: what was decided is there again after a restart, with
// passwords, members and tokens; what nobody decided is not.
func TestRoomsOutliveTheNode(t *testing.T) {
	data := t.TempDir()
	keep := func(c *gateway.Config) { c.Data = data }
	n := start(t, keep, withTokens(t))
	const admin = "all-admin-key"
	n.create(t, admin, `{"name":"demo","password":"correct horse","members":["anna"],"wait":true,"conflict":"replace","max_viewers":3,"max_publications":2,"history":7,"program":"cam","locked":true}`)
	n.create(t, admin, `{"name":"gone"}`)
	n.do(t, "DELETE", "/v1/rooms/gone", bearing(admin), "")
	n.do(t, "PATCH", "/v1/rooms/demo", bearing(admin), `{"locked":false}`)
	before := n.do(t, "GET", "/v1/rooms/demo", bearing(admin), "")
	token := n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`).Token
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}

	n = start(t, keep, withTokens(t))
	after := n.do(t, "GET", "/v1/rooms/demo", bearing(admin), "")
	strip := func(body string) string { head, _, _ := strings.Cut(body, `"urls"`); return head } // the port is another
	if strip(before.Body) != strip(after.Body) {
		t.Errorf("got %s, want %s", after.Body, before.Body)
	}
	info, err := n.Rooms().Info("demo")
	if s := info.Settings; err != nil || !s.Wait || !s.Replace || s.MaxViewers != 3 || s.MaxPublications != 2 || s.Program != "cam" {
		t.Errorf("media goes through a room with %+v, %v", s, err)
	}
	n.join(t, "demo", "", `{"identity":"anna"}`)
	n.join(t, "demo", "", `{"identity":"bob","password":"correct horse"}`)
	if p := n.knock(t, "/whip/demo/bob", token); p != took {
		t.Errorf("a token of before: got %s", p)
	}
	if a := n.do(t, "GET", "/v1/rooms/gone", bearing(admin), ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("a room that was deleted: got %d, want 404", a.StatusCode)
	}
}

// TestRoomRaces does to one room what can be done, at once: every answer is one
// that openapi.yaml knows, none is a 5xx, and in the end registry and media
// agree.
func TestRoomRaces(t *testing.T) {
	n := start(t)
	vp8 := codecNamed(t, "VP8")
	gatewaytest.Publish(t, n.URL(), "other", 10, vp8)
	steps := []struct{ method, path, body string }{
		{"POST", "/v1/rooms", `{"name":"demo","wait":true}`},
		{"PATCH", "/v1/rooms/demo", `{"max_viewers":3}`},
		{"PATCH", "/v1/rooms/demo", `{"locked":false,"program":"cam"}`},
		{"POST", "/v1/rooms/demo/join", `{"identity":"bob"}`},
		{"DELETE", "/v1/rooms/demo", ""},
		{"GET", "/v1/rooms/demo", ""},
		{"GET", "/v1/rooms", ""},
	}
	var wg sync.WaitGroup
	for _, s := range steps {
		for range 2 {
			wg.Go(func() {
				for range 15 {
					if a := n.do(t, s.method, s.path, asJSON, s.body); a.StatusCode >= 500 {
						t.Errorf("%s %s: got %d %s", s.method, s.path, a.StatusCode, a.Body)
					}
				}
			})
		}
	}
	wg.Wait()
	status := n.do(t, "GET", "/v1/rooms/demo", nil, "").StatusCode
	if info, err := n.Rooms().Info("demo"); (err == nil) != (status == http.StatusOK) || err == nil && !info.Settings.Wait {
		t.Errorf("GET says %d, and media has %+v, %v", status, info, err)
	}
	n.do(t, "DELETE", "/v1/rooms/demo", nil, "")
	n.create(t, "", `{"name":"demo"}`)
	if info, err := n.Rooms().Info("demo"); err != nil || info.Settings.Wait {
		t.Errorf("a new room of the name has %+v, %v", info.Settings, err)
	}
}

// TestChangesUnlessAsSeen: If-None-Match stops a change, and not only an answer.
func TestChangesUnlessAsSeen(t *testing.T) {
	n := start(t)
	tag := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`).Header.Get("ETag")
	for _, unless := range []string{"*", tag, "W/" + tag} {
		for method, body := range map[string]string{"PATCH": `{"wait":true}`, "DELETE": ""} {
			a := n.do(t, method, "/v1/rooms/demo", append([]string{"If-None-Match", unless}, asJSON...), body)
			if a.StatusCode != http.StatusPreconditionFailed {
				t.Errorf("%s unless %s: got %d %s, want 412", method, unless, a.StatusCode, a.Body)
			}
		}
	}
	if a := n.do(t, "PATCH", "/v1/rooms/demo", append([]string{"If-None-Match", `"1-x"`}, asJSON...), `{"wait":true}`); a.StatusCode != http.StatusOK {
		t.Errorf("unless as it was in another revision: got %d %s, want 200", a.StatusCode, a.Body)
	}
}

// TestEndAndPatchOfAnUnmadeRoom does both at once to rooms that nobody made: whoever
// comes first, media goes through what GET shows.
func TestEndAndPatchOfAnUnmadeRoom(t *testing.T) {
	n := start(t)
	for i := range 20 {
		name := fmt.Sprintf("demo-%d", i)
		if _, err := n.Rooms().Create(name, sfu.Settings{}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for method, body := range map[string]string{"PATCH": `{"wait":true}`, "DELETE": ""} {
			wg.Go(func() {
				if a := n.do(t, method, "/v1/rooms/"+name, asJSON, body); a.StatusCode >= 300 && a.StatusCode != http.StatusNotFound {
					t.Errorf("%s: got %d %s", method, a.StatusCode, a.Body)
				}
			})
		}
		wg.Wait()
		status := n.do(t, "GET", "/v1/rooms/"+name, nil, "").StatusCode
		if info, err := n.Rooms().Info(name); (err == nil) != (status == http.StatusOK) || err == nil && !info.Settings.Wait {
			t.Fatalf("GET says %d, and media has %+v, %v", status, info, err)
		}
	}
}

// TestDeleteWhilePublishing: the end of a room is the end of who is in it, and
// the next of that name begins empty.
func TestDeleteWhilePublishing(t *testing.T) {
	n := start(t)
	n.create(t, "", `{"name":"demo","wait":true}`)
	vp8 := codecNamed(t, "VP8")
	gatewaytest.Publish(t, n.URL(), "demo", 10, vp8)
	gatewaytest.View(t, n.URL(), "demo", vp8)
	n.do(t, "DELETE", "/v1/rooms/demo", nil, "")
	n.create(t, "", `{"name":"demo"}`)
	got := decode[room](t, n.do(t, "GET", "/v1/rooms/demo", nil, ""))
	if got.Live || got.Viewers != 0 || got.Publications != 0 || got.Wait {
		t.Errorf("the new room is %+v, want it empty", got)
	}
	ended := decode[struct{ Items []struct{ Cause string } }](t, n.do(t, "GET", "/v1/rooms/demo/sessions?state=ended", nil, ""))
	for _, s := range ended.Items {
		if s.Cause != "room-ended" {
			t.Errorf("a session ended by %s, want room-ended", s.Cause)
		}
	}
}

// TestPatchMakesARoom: a room that came into being with its publisher is one
// that stays once somebody has decided about it.
func TestPatchMakesARoom(t *testing.T) {
	n := start(t)
	p := gatewaytest.Publish(t, n.URL(), "demo", 10, codecNamed(t, "VP8"))
	within(t, "the room is live", func() bool { return decode[room](t, n.do(t, "GET", "/v1/rooms/demo", nil, "")).Live })
	if a := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`); a.StatusCode != http.StatusConflict {
		t.Errorf("POST where somebody publishes: got %d, want 409", a.StatusCode)
	}
	shown := n.do(t, "GET", "/v1/rooms/demo", nil, "") // If-Match looks at the settings alone
	a := n.do(t, "PATCH", "/v1/rooms/demo", append([]string{"If-Match", shown.Header.Get("ETag")}, asJSON...), `{"max_viewers":3}`)
	if got := decode[room](t, a); a.StatusCode != http.StatusOK || got.MaxViewers != 3 || got.Publications != 1 {
		t.Errorf("got %d %s", a.StatusCode, a.Body)
	}
	p.Close(t)
	if a := n.do(t, "GET", "/v1/rooms/demo", nil, ""); a.StatusCode != http.StatusOK {
		t.Errorf("after its publisher left: got %d", a.StatusCode)
	}
}
