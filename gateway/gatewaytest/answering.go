package gatewaytest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Answer makes a viewer who answers an offer of the server's with the codecs
// given. The session is the caller's to end.
func Answer(t testing.TB, offer string, tune func(*webrtc.SettingEngine), list ...Codec) (v *Viewer, answer string) {
	t.Helper()
	list = numberedAs(t, offer, list)
	pc, err := newAPI(t, list, tune).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v = newViewer(t, pc, list)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		t.Fatalf("take the offer: %v\n%s", err, offer)
	}
	made, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(made); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gathered:
	case <-t.Context().Done():
		t.Fatal("no candidates")
	}
	return v, pc.LocalDescription().SDP
}

// numberedAs gives codecs the payload types that an offer has for them.
func numberedAs(t testing.TB, offer string, list []Codec) []Codec {
	t.Helper()
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(offer); err != nil {
		t.Fatalf("parse the offer: %v", err)
	}
	var out []Codec
	for _, c := range list {
		if pt, ok := payloadType(&parsed, c.Name); ok {
			c.Parameters.PayloadType = pt
			out = append(out, c)
		}
	}
	return out
}

func payloadType(d *sdp.SessionDescription, name string) (webrtc.PayloadType, bool) {
	for _, media := range d.MediaDescriptions {
		for _, a := range media.Attributes {
			pt, codec, _ := strings.Cut(a.Value, " ")
			codec, _, _ = strings.Cut(codec, "/")
			if n, err := strconv.ParseUint(pt, 10, 7); a.Key == "rtpmap" && err == nil && strings.EqualFold(codec, name) {
				return webrtc.PayloadType(n), true
			}
		}
	}
	return 0, false
}
