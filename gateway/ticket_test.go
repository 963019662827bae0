package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway"
)

// TestEventsURLOfJoin reads a room's events with nothing but the URL that join
// gave, on a node that asks for tokens and on one where the room alone does.
func TestEventsURLOfJoin(t *testing.T) {
	for name, node := range map[string]struct {
		options []func(*gateway.Config)
		token   string
	}{
		"with authentication": {[]func(*gateway.Config){withTokens(t)}, "all-admin-key"},
		"without":             {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, node.options...)
			n.create(t, node.token, `{"name":"demo","password":"correct horse"}`)
			n.create(t, node.token, `{"name":"other","password":"correct horse"}`)
			guest := n.join(t, "demo", "", `{"identity":"bob","name":"Bob","password":"correct horse"}`)
			at, ticket, found := strings.Cut(guest.Events, "?ticket=")
			if !found || strings.Contains(guest.Events, guest.Token) {
				t.Fatalf("the events are at %s", guest.Events)
			}
			s := openStream(t, http1.client(t), guest.Events)
			s.roomEvent(t, events.Snapshot)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			conn, _, err := websocket.Dial(ctx, guest.Events, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }() // it has ended
			if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"message","text":"hello"}`)); err != nil {
				t.Fatal(err)
			}
			if m := dataOf[events.Message](t, s.roomEvent(t, events.MessageSent)); m.Identity != "bob" || m.Name != "Bob" || m.Text != "hello" {
				t.Errorf("got %+v, want it from Bob", m)
			}

			for what, c := range map[string]struct {
				method, path, token string
				want                int
			}{
				"no ticket":               {"HEAD", "/v1/rooms/demo/events", "", 401},
				"an empty ticket":         {"HEAD", "/v1/rooms/demo/events?ticket=", "", 401},
				"another ticket":          {"HEAD", "/v1/rooms/demo/events?ticket=" + ticket[:len(ticket)-4] + "AAAA", "", 401},
				"the token as a ticket":   {"HEAD", "/v1/rooms/demo/events?ticket=" + guest.Token, "", 401},
				"the ticket as a token":   {"HEAD", "/v1/rooms/demo/events", ticket, 401},
				"the ticket to play":      {"POST", "/whep/demo?ticket=" + ticket, "", 401},
				"the ticket of a room":    {"HEAD", "/v1/rooms/other/events?ticket=" + ticket, "", 403},
				"a wrong token beside it": {"HEAD", "/v1/rooms/demo/events?ticket=" + ticket, "wrong-token", 401},
				"the token":               {"HEAD", "/v1/rooms/demo/events", guest.Token, 200},
				"the ticket":              {"HEAD", strings.TrimPrefix(at, n.URL()) + "?ticket=" + ticket, "", 200},
				"the ticket for messages": {"GET", "/v1/rooms/demo/messages?ticket=" + ticket, "", 200},
			} {
				headers := []string{"Content-Type", "application/sdp"}
				if c.token != "" {
					headers = append(headers, "Authorization", "Bearer "+c.token)
				}
				if got := n.do(t, c.method, c.path, headers, ""); got.StatusCode != c.want {
					t.Errorf("%s: got %d, want %d", what, got.StatusCode, c.want)
				}
			}

			if a := n.do(t, "DELETE", "/v1/rooms/demo", bearing(node.token), ""); a.StatusCode != http.StatusNoContent {
				t.Fatalf("got %d", a.StatusCode)
			}
			s.roomEvent(t, events.RoomEnded)
			s.ends(t)
			for {
				if _, _, err = conn.Read(ctx); err != nil {
					break
				}
			}
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the WebSocket ended with %v, want 1000", err)
			}
			n.create(t, node.token, `{"name":"demo","password":"correct horse"}`)
			if got := n.do(t, "HEAD", "/v1/rooms/demo/events?ticket="+ticket, nil, ""); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("the ticket in the next room of that name: got %d, want 401", got.StatusCode)
			}
		})
	}
}

// TestTicketsOfOpenRooms come from pages that were open when the node was
// another: there nobody asks for one.
func TestTicketsOfOpenRooms(t *testing.T) {
	n := start(t)
	guest := n.join(t, "demo", "", `{"identity":"bob","name":"Bob"}`)
	for path, want := range map[string]string{
		strings.TrimPrefix(guest.Events, n.URL()):     "bob",
		"/v1/rooms/demo/messages?ticket=of-yesterday": "",
		"/v1/rooms/demo/messages":                     "",
	} {
		path = strings.Replace(path, "/events", "/messages", 1)
		got := n.do(t, "POST", path, asJSON, `{"text":"hello"}`)
		if got.StatusCode != http.StatusCreated {
			t.Fatalf("%s: got %d %s", path, got.StatusCode, got.Body)
		}
		if m := dataOf[events.Message](t, decode[events.Event](t, got)); m.Identity != want {
			t.Errorf("%s: the message is from %q, want %q", path, m.Identity, want)
		}
	}
}

// TestSettingsOfRoomsReachTheirLog locks a room and bounds its history.
func TestSettingsOfRoomsReachTheirLog(t *testing.T) {
	n := start(t)
	n.create(t, "", `{"name":"demo","history":2}`)
	s := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	s.roomEvent(t, events.Snapshot)
	for _, locked := range []string{"true", "true", "false", "true"} {
		if got := n.do(t, "PATCH", "/v1/rooms/demo", asJSON, `{"locked":`+locked+`}`); got.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s", got.StatusCode, got.Body)
		}
	}
	for _, want := range []bool{true, false, true} {
		if got := dataOf[events.Settings](t, s.roomEvent(t, events.RoomChanged)); got.Locked != want {
			t.Errorf("got locked %t, want %t", got.Locked, want)
		}
	}
	for range 3 {
		n.do(t, "POST", "/v1/rooms/demo/messages", asJSON, `{"text":"hello"}`)
	}
	late := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	if got := dataOf[events.Beginning](t, late.roomEvent(t, events.Snapshot)); !got.Locked || len(got.Messages) != 2 {
		t.Errorf("got the snapshot %+v, want it locked, with 2 messages", got)
	}
	n.do(t, "PATCH", "/v1/rooms/demo", asJSON, `{"history":-1}`)
	n.do(t, "POST", "/v1/rooms/demo/messages", asJSON, `{"text":"hello"}`)
	if got := n.do(t, "GET", "/v1/rooms/demo/messages", nil, ""); !strings.HasPrefix(got.Body, `{"items":[]`) {
		t.Errorf("a room that keeps no messages shows %s", got.Body)
	}
}
