package conformance

import (
	"net/http"
	"slices"
	"testing"
)

func TestParseLinks(t *testing.T) {
	h := http.Header{"Link": {
		`<stun:stun.example:3478>; rel="ice-server"`,
		`</a>; rel=ice-server; username="u;,\"x"; credential=c ,<https://other.example/b>;rel="one TWO"; rel="three"; events="a,b"; flag`,
		`no link, <c>; rel="x"`,
		`<d>; rel="no end`,
	}}
	list := parseLinks(h)
	if len(list) != 3 {
		t.Fatalf("got %d links %+v, want 3", len(list), list)
	}
	if got := list[0]; got.Target != "stun:stun.example:3478" || !got.Has("ice-server") {
		t.Errorf("got %+v", got)
	}
	if got := list[1]; got.Target != "/a" || got.Params["username"] != `u;,"x` || got.Params["credential"] != "c" {
		t.Errorf("got %+v", got)
	}
	got := list[2]
	_, flag := got.Params["flag"]
	if !slices.Equal(got.Rel, []string{"one", "two"}) || got.Params["events"] != "a,b" || !flag {
		t.Errorf("got %+v", got)
	}
}

func TestLinksAreResolved(t *testing.T) {
	r := &Response{Request: Request{URL: "https://server.example/whep/room"}, Header: http.Header{"Link": {
		`<../s/1/events>; rel="urn:a"`, `<turn:turn.example:3478?transport=udp>; rel="ice-server"`,
	}}}
	if list := r.linksOf("urn:a"); len(list) != 1 || list[0].URL != "https://server.example/s/1/events" {
		t.Errorf("got %+v, want https://server.example/s/1/events", list)
	}
	if list := r.linksOf("ice-server"); len(list) != 1 || list[0].URL != "turn:turn.example:3478?transport=udp" {
		t.Errorf("got %+v, want the URI as it was", list)
	}
	if list := r.linksOf("other"); list != nil {
		t.Errorf("got %+v, want none", list)
	}
}
