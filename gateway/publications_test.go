package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

type shownPublication struct {
	Name, Session string
	Live, Program bool
	Muted         struct{ Audio, Video bool }
}

type shownSession struct {
	ID, Role, State, Publication string
	Cause                        *string
	Expires                      *time.Time
}

// within polls until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// TestModeratePublications: mute at the server, and the choice of the program,
// of a publication or of the room.
func TestModeratePublications(t *testing.T) {
	n := start(t)
	vp8 := codecNamed(t, "VP8")
	for _, name := range []string{"one", "two"} {
		gatewaytest.Publish(t, n.URL(), "demo/"+name, 10, vp8)
	}
	get := func(name string) shownPublication {
		t.Helper()
		return decode[shownPublication](t, n.do(t, "GET", "/v1/rooms/demo/publications/"+name, nil, ""))
	}
	patch := func(path, body string) answer {
		t.Helper()
		a := n.do(t, "PATCH", path, asJSON, body)
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s %s: got %d %s", path, body, a.StatusCode, a.Body)
		}
		return a
	}
	within(t, "both are live", func() bool { return get("one").Live && get("two").Live })
	const one = "/v1/rooms/demo/publications/one"
	for _, tc := range []struct {
		body         string
		audio, video bool
	}{
		{`{"muted":{"video":true}}`, false, true},
		{`{"muted":{"audio":true}}`, true, true}, // what is left out stays
		{`{}`, true, true},
		{`{"muted":{"video":null}}`, true, false},
		{`{"muted":null}`, false, false},
	} {
		got := decode[shownPublication](t, patch(one, tc.body))
		if got.Muted.Audio != tc.audio || got.Muted.Video != tc.video || got != get("one") {
			t.Errorf("%s: got %+v", tc.body, got)
		}
	}
	roomProgram := func() string {
		t.Helper()
		if p := decode[room](t, n.do(t, "GET", "/v1/rooms/demo", nil, "")).Program; p != nil {
			return *p
		}
		return ""
	}
	if p := roomProgram(); p != "" {
		t.Errorf("with two live and none chosen the program is %q", p)
	}
	if got := decode[shownPublication](t, patch(one, `{"program":true}`)); !got.Program || roomProgram() != "one" {
		t.Errorf("got %+v, and the room's program is %q", got, roomProgram())
	}
	patch("/v1/rooms/demo", `{"program":"two"}`)
	if get("one").Program || !get("two").Program {
		t.Errorf("got %+v and %+v, want two on the program", get("one"), get("two"))
	}
	patch(one, `{"program":false}`) // it is not: nothing changes
	if p := roomProgram(); p != "two" {
		t.Errorf("the program is %q, want two", p)
	}
	patch("/v1/rooms/demo/publications/two", `{"program":false}`)
	if p := roomProgram(); p != "" {
		t.Errorf("the program is %q, want none", p)
	}
	patch("/v1/rooms/demo", `{"program":"later"}`)
	if p := roomProgram(); p != "later" {
		t.Errorf("the program is %q: what is chosen may come later", p)
	}
}

// TestShowSession: one session by the id of the list, also after its end, with
// the time at which its token ends.
func TestShowSession(t *testing.T) {
	n := start(t)
	p := gatewaytest.Publish(t, n.URL(), "demo", 10, codecNamed(t, "VP8"))
	n.create(t, "", `{"name":"other"}`)
	list := decode[struct{ Items []shownSession }](t, n.do(t, "GET", "/v1/rooms/demo/sessions", nil, ""))
	if len(list.Items) != 1 {
		t.Fatalf("got %+v", list)
	}
	path := "/sessions/" + list.Items[0].ID
	n.do(t, "PATCH", "/v1/rooms/demo", asJSON, `{"wait":true}`) // so that it outlasts its publisher
	if got := decode[shownSession](t, n.do(t, "GET", "/v1/rooms/demo"+path, nil, "")); got.ID != list.Items[0].ID || got.Role != "publisher" || got.Cause != nil || got.Expires != nil {
		t.Errorf("got %+v", got)
	}
	if a := n.do(t, "GET", "/v1/rooms/other"+path, nil, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("in another room: got %d, want 404", a.StatusCode)
	}
	p.Close(t)
	within(t, "the end is shown", func() bool {
		got := decode[shownSession](t, n.do(t, "GET", "/v1/rooms/demo"+path, nil, ""))
		return got.State == "ended" && got.Cause != nil && *got.Cause == "deleted"
	})
}
