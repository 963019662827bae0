package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// offer is what a browser would send in one direction.
func offer(t *testing.T, direction webrtc.RTPTransceiverDirection) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
	}()
	for kind, mime := range map[webrtc.RTPCodecType]string{webrtc.RTPCodecTypeAudio: webrtc.MimeTypeOpus, webrtc.RTPCodecTypeVideo: webrtc.MimeTypeH264} {
		if direction == webrtc.RTPTransceiverDirectionRecvonly {
			_, err = pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: direction})
		} else {
			var track *webrtc.TrackLocalStaticRTP
			track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, kind.String(), "camera")
			if err == nil {
				_, err = pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: direction})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return o.SDP
}

// post creates a session and returns the path of its URL.
func (n node) post(t *testing.T, path, token, sdp string) (session string, resp answer) {
	t.Helper()
	headers := []string{"Content-Type", "application/sdp"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	resp = n.do(t, "POST", path, headers, sdp)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: got %d %s, want 201", path, resp.StatusCode, resp.Body)
	}
	session, ok := strings.CutPrefix(resp.Header.Get("Location"), n.URL())
	if !ok || !strings.HasPrefix(session, "/s/") {
		t.Fatalf("Location is %q, want it below %s/s/", resp.Header.Get("Location"), n.URL())
	}
	return session, resp
}

func TestSessionLife(t *testing.T) {
	n := start(t)
	for _, tc := range []struct {
		path      string
		direction webrtc.RTPTransceiverDirection
	}{
		{"/whip/demo", webrtc.RTPTransceiverDirectionSendonly},
		{"/whep/waiting", webrtc.RTPTransceiverDirectionRecvonly},
	} {
		if strings.HasPrefix(tc.path, "/whep") {
			if _, err := n.Rooms().Create("waiting", gatewaytest.Waiting()); err != nil {
				t.Fatal(err)
			}
		}
		session, resp := n.post(t, tc.path, "", offer(t, tc.direction))
		if resp.Header.Get("ETag") == "" || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/sdp" {
			t.Errorf("%s: the headers are %v", tc.path, resp.Header)
		}
		if !strings.HasPrefix(resp.Body, "v=0\r\n") {
			t.Errorf("%s: the answer does not begin with v=0", tc.path)
		}
		for _, method := range []string{"GET", "HEAD"} {
			if resp := n.do(t, method, session, nil, ""); resp.StatusCode != http.StatusNoContent {
				t.Errorf("%s of %s: got %d, want 204", method, session, resp.StatusCode)
			}
		}
		if resp := n.do(t, "PATCH", session, []string{"Content-Type", "text/plain"}, "x"); resp.StatusCode != http.StatusUnsupportedMediaType || resp.Header.Get("Accept-Patch") != "application/trickle-ice-sdpfrag" {
			t.Errorf("PATCH with the wrong type: got %d, Accept-Patch %q", resp.StatusCode, resp.Header.Get("Accept-Patch"))
		}
		fragment := []string{"Content-Type", "application/trickle-ice-sdpfrag"}
		if resp := n.do(t, "PATCH", session, fragment, "a=ice-ufrag:abcd"); resp.StatusCode != http.StatusPreconditionRequired {
			t.Errorf("PATCH without If-Match: got %d, want 428", resp.StatusCode)
		}
		if resp := n.do(t, "PATCH", session, append(fragment, "If-Match", `"nope"`), "a=ice-ufrag:abcd"); resp.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("PATCH with a wrong If-Match: got %d, want 412", resp.StatusCode)
		}
		if resp := n.do(t, "PATCH", session, append(fragment, "If-Match", "*"), "hello"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("PATCH with nonsense: got %d, want 400", resp.StatusCode)
		}
		for range 2 {
			if resp := n.do(t, "DELETE", session, []string{"If-Match", `"nope"`}, ""); resp.StatusCode != http.StatusOK {
				t.Errorf("DELETE: got %d, want 200", resp.StatusCode)
			}
		}
		if resp := n.do(t, "GET", session, nil, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET after DELETE: got %d, want 404", resp.StatusCode)
		}
	}
}

func TestWHEPBeforeThePublisher(t *testing.T) {
	n := start(t)
	resp := n.do(t, "POST", "/whep/nobody", []string{"Content-Type", "application/sdp"}, offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	got := decode[problem](t, resp)
	if resp.StatusCode != http.StatusConflict || got.Type != "/problems/not-live" {
		t.Errorf("got %d %+v, want 409 not-live", resp.StatusCode, got)
	}
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 1 || after > 10 {
		t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
	}
	if resp.Header.Get("Location") != "" || resp.Header.Get("ETag") != "" {
		t.Error("an error has the headers of a success")
	}
}

func TestWrongDirections(t *testing.T) {
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	for path, direction := range map[string]webrtc.RTPTransceiverDirection{
		"/whip/demo": webrtc.RTPTransceiverDirectionRecvonly,
		"/whep/demo": webrtc.RTPTransceiverDirectionSendonly,
	} {
		resp := n.do(t, "POST", path, []string{"Content-Type", "application/sdp; charset=utf-8"}, offer(t, direction))
		if got := decode[problem](t, resp); resp.StatusCode != http.StatusUnprocessableEntity || got.Type != "/problems/sdp-direction" {
			t.Errorf("%s: got %d %+v, want 422 sdp-direction", path, resp.StatusCode, got)
		}
	}
}

// TestSessionURL: the URL needs no token, and bears no wrong one.
func TestSessionURL(t *testing.T) {
	n := start(t, withTokens(t))
	sdp := offer(t, webrtc.RTPTransceiverDirectionSendonly)
	for _, tc := range []struct {
		name, header string
		status       int
	}{
		{"a wrong token", "Bearer wrong-token", 401},
		{"Basic", "Basic YTpi", 401},
		{"another room's token", "Bearer other-room-key", 403},
		{"a token that may only watch", "Bearer watch-key-1", 403},
		{"no token", "", 200},
		{"undefined", "Bearer undefined", 200},
		{"the right token", "Bearer publish-key", 200},
	} {
		session, _ := n.post(t, "/whip/demo", "publish-key", sdp)
		resp := n.do(t, "DELETE", session, []string{"Authorization", tc.header}, "")
		if resp.StatusCode != tc.status {
			t.Errorf("DELETE with %s: got %d, want %d", tc.name, resp.StatusCode, tc.status)
		}
		lives := n.do(t, "GET", session, nil, "").StatusCode == http.StatusNoContent
		if lives != (tc.status != 200) {
			t.Errorf("DELETE with %s: the session lives: %t", tc.name, lives)
		}
	}
}

func TestSessionsAreListedAndKicked(t *testing.T) {
	n := start(t, withTokens(t))
	session, _ := n.post(t, "/whip/demo/cam", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	admin, moderator := []string{"Authorization", "Bearer admin-key-1"}, []string{"Authorization", "Bearer moderate-key"}
	type list struct {
		Items []struct{ ID, Room, Publication, Role, State, Node, Identity string }
	}
	got := decode[list](t, n.do(t, "GET", "/v1/rooms/demo/sessions", admin, ""))
	if len(got.Items) != 1 {
		t.Fatalf("got %+v, want one session", got)
	}
	s := got.Items[0]
	if !strings.HasPrefix(session, "/s/"+s.ID) || "/s/"+s.ID == session || s.Room != "demo" || s.Publication != "cam" || s.Role != "publisher" || s.State != "connecting" || !strings.HasPrefix(s.Identity, "key-") {
		t.Errorf("got %+v", s)
	}
	if !strings.HasPrefix(s.ID, s.Node+".") {
		t.Errorf("the session %s is not of the node %s", s.ID, s.Node)
	}
	if resp := n.do(t, "DELETE", "/v1/rooms/other/sessions/"+s.ID, []string{"Authorization", "Bearer other-room-key"}, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("kicked through another room: got %d, want 404", resp.StatusCode)
	}
	if resp := n.do(t, "DELETE", "/v1/rooms/demo/sessions/"+s.ID, moderator, ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("kick: got %d, want 204", resp.StatusCode)
	}
	if resp := n.do(t, "GET", session, nil, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("after the kick: got %d, want 404", resp.StatusCode)
	}
}

func TestLocationFollowsURL(t *testing.T) {
	n := start(t, func(c *gateway.Config) { c.URL = "https://media.example/live/" })
	resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo"}`)
	if got := resp.Header.Get("Location"); got != "https://media.example/live/v1/rooms/demo" {
		t.Errorf("Location is %q", got)
	}
}
