package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/pion/webrtc/v4"
)

// statusOf asks how the session of a URL is.
func statusOf(t *testing.T, n node, location, token string) (h health, status int) {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	var headers []string
	if token != "" {
		headers = []string{"Authorization", "Bearer " + token}
	}
	a := n.do(t, http.MethodGet, u.Path+"/status", headers, "")
	if a.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(a.Body), &h); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
	}
	return h, a.StatusCode
}

// The status is a capability like its session, tells the owner the same as the
// list tells the operator, and outlives the session for a while.
func TestSessionStatus(t *testing.T) {
	n := start(t, withTokens(t))
	location, _ := n.post(t, "/whip/demo", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	for token, want := range map[string]int{"": 200, "publish-key": 200, "wrong-token": 401, "other-room-key": 403} {
		if _, got := statusOf(t, n, location, token); got != want {
			t.Errorf("token %q: got %d, want %d", token, got, want)
		}
	}
	h, _ := statusOf(t, n, location, "")
	if h.State != "connecting" || h.Cause != nil || h.Advice != nil || h.Role != "publisher" {
		t.Errorf("got %+v of a new session", h)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	if a := n.do(t, http.MethodGet, "/s/node.nobody/status", nil, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("a session that never was: got %d, want 404", a.StatusCode)
	}
	if a := n.do(t, http.MethodDelete, u.Path, nil, ""); a.StatusCode != http.StatusOK {
		t.Fatalf("DELETE: got %d", a.StatusCode)
	}
	ended, _ := statusOf(t, n, location, "")
	if ended.State != "ended" || ended.Cause == nil || *ended.Cause != "deleted" || ended.ID != h.ID || ended.Advice == nil {
		t.Errorf("got %+v of a session that was deleted", ended)
	}
}

// The list has the sessions of the last minute for those who ask for them.
func TestEndedSessionsAreListed(t *testing.T) {
	n := start(t)
	if a := n.do(t, http.MethodPost, "/v1/rooms", []string{"Content-Type", "application/json"}, `{"name":"demo"}`); a.StatusCode != http.StatusCreated {
		t.Fatalf("make the room: got %d", a.StatusCode)
	}
	first, _ := n.post(t, "/whip/demo/one", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	n.post(t, "/whip/demo/two", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	u, err := url.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	n.do(t, http.MethodDelete, u.Path, nil, "")
	for query, want := range map[string][]string{
		"": {"two connecting"}, "?state=connecting": {"two connecting"}, "?state=live": nil, "?state=ended": {"one ended deleted"},
	} {
		a := n.do(t, http.MethodGet, "/v1/rooms/demo/sessions"+query, nil, "")
		var list struct {
			Items []struct {
				Publication, State string
				Cause              *string
			}
		}
		if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		var got []string
		for _, s := range list.Items {
			line := s.Publication + " " + s.State
			if s.Cause != nil {
				line += " " + *s.Cause
			}
			got = append(got, line)
		}
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if a := n.do(t, http.MethodGet, "/v1/rooms/demo/sessions?state=asleep", nil, ""); a.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown state: got %d, want 400", a.StatusCode)
	}
}
