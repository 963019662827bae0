package gateway_test

import (
	"net/http"
	"sync"
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

// TestModerateAtOnce: what moderators decide at the same time about different things
// all holds.
func TestModerateAtOnce(t *testing.T) {
	n := start(t)
	gatewaytest.Publish(t, n.URL(), "demo/one", 10, codecNamed(t, "VP8"))
	const demo = "/v1/rooms/demo"
	const one = demo + "/publications/one"
	within(t, "it is live", func() bool { return decode[shownPublication](t, n.do(t, "GET", one, nil, "")).Live })
	both := func(changes [2][2]string) {
		t.Helper()
		var wg sync.WaitGroup
		for _, c := range changes {
			wg.Go(func() {
				if a := n.do(t, "PATCH", c[0], asJSON, c[1]); a.StatusCode != http.StatusOK {
					t.Errorf("%s: got %d %s", c[1], a.StatusCode, a.Body)
				}
			})
		}
		wg.Wait()
	}
	for range 25 {
		both([2][2]string{{one, `{"muted":{"audio":true}}`}, {one, `{"muted":{"video":true}}`}})
		if got := decode[shownPublication](t, n.do(t, "PATCH", one, asJSON, `{"program":true}`)); !got.Muted.Audio || !got.Muted.Video {
			t.Fatalf("muted is %+v, want both", got.Muted)
		}
		n.do(t, "PATCH", one, asJSON, `{"muted":null}`)
		both([2][2]string{{one, `{"program":false}`}, {demo, `{"program":"two"}`}})
		if p := decode[room](t, n.do(t, "GET", demo, nil, "")).Program; p == nil || *p != "two" {
			t.Fatalf("the program is %v: two was chosen, and one taken back", p)
		}
	}
}

// TestConditionsOnPublications: a condition that cannot hold stops all of a change.
func TestConditionsOnPublications(t *testing.T) {
	n := start(t)
	gatewaytest.Publish(t, n.URL(), "demo/one", 10, codecNamed(t, "VP8"))
	const one = "/v1/rooms/demo/publications/one"
	within(t, "it is live", func() bool { return decode[shownPublication](t, n.do(t, "GET", one, nil, "")).Live })
	tag := n.do(t, "GET", "/v1/rooms/demo", nil, "").Header.Get("ETag")
	for _, headers := range [][]string{{"If-Match", tag}, {"If-Match", `"x"`}, {"If-None-Match", "*"}} {
		a := n.do(t, "PATCH", one, append(headers, asJSON...), `{"muted":{"audio":true},"program":true}`)
		if a.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("%v: got %d %s, want 412", headers, a.StatusCode, a.Body)
		}
	}
	if got := decode[shownPublication](t, n.do(t, "GET", one, nil, "")); got.Muted.Audio {
		t.Errorf("refused changes were made: %+v", got)
	}
	if a := n.do(t, "PATCH", one, append([]string{"If-Match", "*"}, asJSON...), `{"muted":{"audio":true}}`); a.StatusCode != http.StatusOK {
		t.Errorf("If-Match: *: got %d %s, want 200", a.StatusCode, a.Body)
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
