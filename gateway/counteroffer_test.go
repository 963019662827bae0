package gateway_test

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/whep"
)

var (
	asSDP  = []string{"Content-Type", "application/sdp"}
	asking = append([]string{"Prefer", "respond-async, Whep-Counter-Offer;x=y"}, asSDP...)
)

// proposed checks an answer that holds an offer of the node's.
func (n node) proposed(t *testing.T, resp answer, status int) (session string) {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("got %d %s, want %d", resp.StatusCode, resp.Body, status)
	}
	session, ok := strings.CutPrefix(resp.Header.Get("Location"), n.URL())
	if !ok || !strings.HasPrefix(session, "/s/") || resp.Header.Get("ETag") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", resp.Header)
	}
	if got := links(t, resp.Header)[relEvents]; got != n.URL()+session+"/events" {
		t.Errorf("the Link of the events is %q", got)
	}
	var offer sdp.SessionDescription
	if err := offer.UnmarshalString(resp.Body); err != nil {
		t.Fatal(err)
	}
	if _, lite := offer.Attribute("ice-lite"); !lite || len(offer.MediaDescriptions) != 2 {
		t.Errorf("the offer is\n%s", resp.Body)
	}
	for _, media := range offer.MediaDescriptions {
		setup, _ := media.Attribute("setup")
		msid, _ := media.Attribute("msid")
		if _, sends := media.Attribute("sendonly"); !sends || setup != "actpass" || !strings.HasPrefix(msid, "sluice ") {
			t.Errorf("the section %s is %v", media.MediaName.Media, media.Attributes)
		}
	}
	return session
}

// formats are the names of the codecs in an SDP, in order.
func formats(t *testing.T, text string) (names []string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
			_, codec, _ := strings.Cut(value, " ")
			name, _, _ := strings.Cut(codec, "/")
			names = append(names, name)
		}
	}
	return names
}

// TestCounterOffer: an offer that cannot be served gets one that can be.
func TestCounterOffer(t *testing.T) {
	n := start(t)
	vp8, opus := codecNamed(t, "VP8"), codecNamed(t, "opus")
	publisher := gatewaytest.Publish(t, n.URL(), "demo", 30, vp8, opus)
	waitLive(t, n.URL(), "demo")
	for name, role := range map[string]webrtc.DTLSRole{"active": webrtc.DTLSRoleClient, "passive": webrtc.DTLSRoleServer} {
		t.Run(name, func(t *testing.T) {
			resp := n.do(t, "POST", "/whep/demo", asking, offer(t, webrtc.RTPTransceiverDirectionSendonly))
			session := n.proposed(t, resp, http.StatusNotAcceptable)
			mediaType, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			until, timeErr := http.ParseTime(parameters["valid-until"])
			if left := time.Until(until); err != nil || timeErr != nil || mediaType != "application/sdp" || left < 25*time.Second || left > 31*time.Second {
				t.Errorf("Content-Type is %q", resp.Header.Get("Content-Type"))
			}
			if got := resp.Header.Get("Preference-Applied"); got != "whep-counter-offer" {
				t.Errorf("Preference-Applied is %q", got)
			}
			if got := formats(t, resp.Body); strings.Join(got, " ") != "opus VP8 rtx" {
				t.Errorf("the offer has %q, want what is on air", got)
			}
			v, answer := gatewaytest.Answer(t, resp.Body, func(s *webrtc.SettingEngine) {
				if err := s.SetAnsweringDTLSRole(role); err != nil {
					t.Error(err)
				}
			}, vp8, opus)
			if !strings.Contains(answer, "a=setup:"+name) {
				t.Errorf("the answer is not %s:\n%s", name, answer)
			}
			n.answered(t, session, resp.Header.Get("ETag"), answer)
			expectFrames(t, v, publisher, "VP8", 30)
			expectFrames(t, v, publisher, "opus", 30)
			if resp := n.do(t, "PATCH", session, asSDP, answer); resp.StatusCode != http.StatusUnsupportedMediaType {
				t.Errorf("a second answer: got %d, want 415", resp.StatusCode)
			}
			if resp := n.do(t, "DELETE", session, nil, ""); resp.StatusCode != http.StatusOK {
				t.Errorf("DELETE: got %d", resp.StatusCode)
			}
		})
	}
}

// answered sends what is refused before the answer, and then the answer.
func (n node) answered(t *testing.T, session, etag, answer string) {
	t.Helper()
	fragment := []string{"Content-Type", "application/trickle-ice-sdpfrag", "If-Match", etag}
	for _, tc := range []struct {
		name    string
		headers []string
		body    string
		status  int
		problem string
	}{
		{"candidates", fragment, "a=end-of-candidates\r\n", 409, "offer-unanswered"},
		{"another media type", []string{"Content-Type", "text/plain"}, answer, 415, "media-type"},
		{"no SDP", asSDP, "hello", 400, "sdp-malformed"},
		{"one section", asSDP, answer[:strings.LastIndex(answer, "m=")], 400, "sdp-malformed"},
		{"other mids", asSDP, strings.ReplaceAll(answer, "a=mid:", "a=mid:x"), 400, "sdp-malformed"},
		{"sendonly", asSDP, strings.ReplaceAll(answer, "a=recvonly", "a=sendonly"), 422, "sdp-direction"},
		{"formats of its own", asSDP, strings.ReplaceAll(answer, "a=rtpmap:", "a=rtpmap:12"), 422, "sdp-no-common-codec"},
		{"a wrong tag", append([]string{"If-Match", `"nope"`}, asSDP...), answer, 412, "precondition-failed"},
	} {
		resp := n.do(t, "PATCH", session, tc.headers, tc.body)
		if got := decode[problem](t, resp); resp.StatusCode != tc.status || got.Type != "/problems/"+tc.problem {
			t.Errorf("%s: got %d %+v, want %d %s", tc.name, resp.StatusCode, got, tc.status, tc.problem)
		}
	}
	if resp := n.do(t, "GET", session, nil, ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("GET before the answer: got %d", resp.StatusCode)
	}
	resp := n.do(t, "PATCH", session, append([]string{"If-Match", etag}, asSDP...), answer)
	if resp.StatusCode != http.StatusNoContent || resp.Header.Get("ETag") != etag || resp.Body != "" {
		t.Fatalf("the answer: got %d %v %s, want 204", resp.StatusCode, resp.Header, resp.Body)
	}
}

// TestCounterOfferIsForThoseWhoKnowIt: a 406 means something else to many players.
func TestCounterOfferIsForThoseWhoKnowIt(t *testing.T) {
	sendonly, recvonly := offer(t, webrtc.RTPTransceiverDirectionSendonly), offer(t, webrtc.RTPTransceiverDirectionRecvonly)
	noCodec := strings.NewReplacer("a=rtpmap:", "a=x:", " 9 0 8\r\n", "\r\n").Replace(recvonly)
	for _, tc := range []struct {
		name     string
		set      bool // by configuration
		headers  []string
		path     string
		body     string
		status   int
		problem  string
		proposed bool
	}{
		{"direction", false, asSDP, "/whep/demo", sendonly, 422, "sdp-direction", false},
		{"codec", false, asSDP, "/whep/demo", noCodec, 422, "sdp-no-common-codec", false},
		{"another preference", false, append([]string{"Prefer", "wait=10"}, asSDP...), "/whep/demo", sendonly, 422, "sdp-direction", false},
		{"asked, direction", false, asking, "/whep/demo", sendonly, 406, "", true},
		{"asked, codec", false, asking, "/whep/demo", noCodec, 406, "", true},
		{"asked, not needed", false, asking, "/whep/demo", recvonly, 201, "", false},
		{"asked, no SDP", false, asking, "/whep/demo", "hello", 422, "sdp-malformed", false},
		{"asked, nothing on air", false, asking, "/whep/other", sendonly, 409, "not-live", false},
		{"set, direction", true, asSDP, "/whep/demo", sendonly, 406, "", true},
		{"set, not needed", true, asSDP, "/whep/demo", recvonly, 201, "", false},
		{"set, empty", true, asSDP, "/whep/demo", "", 422, "sdp-malformed", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := start(t, func(c *gateway.Config) { c.WHEPCounterOffer = tc.set })
			if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
				t.Fatal(err)
			}
			resp := n.do(t, "POST", tc.path, tc.headers, tc.body)
			if resp.StatusCode != tc.status {
				t.Fatalf("got %d %s, want %d", resp.StatusCode, resp.Body, tc.status)
			}
			if tc.proposed {
				n.proposed(t, resp, tc.status)
				want := "opus G722 PCMU PCMA H264 rtx H264 rtx H264 rtx VP8 rtx VP9 rtx VP9 rtx AV1 rtx H265 rtx"
				if got := strings.Join(formats(t, resp.Body), " "); got != want {
					t.Errorf("nothing is on air, and the offer has %s", got)
				}
				return
			}
			if left := len(n.Sessions().List()); tc.status != http.StatusCreated && left != 0 {
				t.Errorf("%d sessions are left", left)
			}
			if tc.problem != "" {
				if got := decode[problem](t, resp); got.Type != "/problems/"+tc.problem {
					t.Errorf("got %+v, want %s", got, tc.problem)
				}
			}
		})
	}
}

// TestServerOffer: the mode of the first drafts, where it is switched on.
func TestServerOffer(t *testing.T) {
	on := start(t, func(c *gateway.Config) { c.WHEPServerOffer = true }, withTokens(t))
	if _, err := on.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	bearer := []string{"Authorization", "Bearer watch-key-1"}
	for name, headers := range map[string][]string{"no type": bearer, "SDP": append(asSDP, bearer...)} {
		t.Run(name, func(t *testing.T) {
			resp := on.do(t, "POST", "/whep/demo", headers, "")
			session := on.proposed(t, resp, http.StatusCreated)
			if got := resp.Header.Get("Content-Type"); got != "application/sdp" {
				t.Errorf("Content-Type is %q", got)
			}
			v, answer := gatewaytest.Answer(t, resp.Body, nil, codecNamed(t, "H264"))
			// Neither If-Match nor a token: those players send none.
			if resp := on.do(t, "PATCH", session, asSDP, answer); resp.StatusCode != http.StatusNoContent {
				t.Fatalf("the answer: got %d %s", resp.StatusCode, resp.Body)
			}
			select {
			case <-v.Up:
			case <-time.After(patience):
				t.Error("not connected")
			}
		})
	}
	if resp := on.do(t, "POST", "/whep/demo", append([]string{"Content-Type", "text/plain"}, bearer...), ""); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("another media type: got %d, want 415", resp.StatusCode)
	}
	off := start(t)
	if resp := off.do(t, "POST", "/whep/demo", asSDP, ""); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("switched off: got %d, want 422", resp.StatusCode)
	}
	if resp := off.do(t, "POST", "/whep/demo", nil, ""); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("switched off, no type: got %d, want 415", resp.StatusCode)
	}
}

// TestEventsBeforeTheAnswer: who has a counter-offer has its Links.
func TestEventsBeforeTheAnswer(t *testing.T) {
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	resp := n.do(t, "POST", "/whep/demo", asking, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	session := n.proposed(t, resp, http.StatusNotAcceptable)
	s := openStream(t, http1.client(t), n.URL()+n.subscribe(t, session+"/events", ""))
	gatewaytest.Publish(t, n.URL(), "demo", 30, codecNamed(t, "VP8"))
	s.want(t, whep.EventActive)
	v, answer := gatewaytest.Answer(t, resp.Body, nil, codecNamed(t, "VP8"))
	if resp := n.do(t, "PATCH", session, asSDP, answer); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the answer: got %d %s", resp.StatusCode, resp.Body)
	}
	for range 10 {
		nextFrame(t, v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v.PC.GracefulClose(); err != nil {
		t.Error(err)
	}
	for range s.events {
		if ctx.Err() != nil {
			t.Fatal("the stream goes on")
		}
	}
}
