package gateway_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// An operator finds in the log why OBS or ffmpeg were turned away, at the
// default level, but not every look of a viewer who waits.
func TestRefusedSessionsAreLogged(t *testing.T) {
	log := &journal{}
	n := gatewaytest.Run(t, onLoopback(t), slog.New(slog.NewTextHandler(log, nil)), func(*gateway.Gateway) {})
	post := func(path, body string) {
		t.Helper()
		resp, err := n.Client.Post(n.URL()+path, "application/sdp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // only the log matters
		if resp.StatusCode < http.StatusBadRequest {
			t.Fatalf("%s: got %s, want a refusal", path, resp.Status)
		}
	}
	post("/whip/garden", "no offer")
	eventually(t, "the refusal is logged", func() bool { return log.count("session refused") == 1 })
	if log.count("problem=sdp-malformed") != 1 || log.count("room=garden") != 1 {
		t.Error("the line names neither problem nor room")
	}
	post("/whep/nobody", offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	for range 100 {
		post("/whip/garden", "no offer")
	}
	if got := log.count("session refused"); got < 2 || got > 60 {
		t.Errorf("got %d lines for 101 refusals, want a bounded number", got)
	}
	if log.count("not-live") != 0 {
		t.Error("a viewer who came too early is in the log")
	}
}
