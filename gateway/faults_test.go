package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// latest is how soon after it can be known a cause must be named.
const latest = 5 * time.Second

// fault is something that goes wrong with a session.
type fault struct {
	name string
	role session.Role
	want session.Cause
	// state is what the session is then.
	state string
	// known is how long after the injection the cause can be known: it is part of
	// its definition.
	known time.Duration
	// inject makes it happen in a room of its own and returns the session.
	inject func(t *testing.T, r *rig, room string) *peer
	// before are causes that are right until this one can be known.
	before []session.Cause
}

// series is the metric that counts it.
func (f *fault) series() string {
	name := "sluice_session_causes"
	if f.state == "ended" {
		name = "sluice_session_end_total"
	}
	return fmt.Sprintf("%s{cause=%q,role=%q}", name, f.want, f.role)
}

// finding is what was seen of a fault.
type finding struct {
	health health
	took   time.Duration // from the injection to the cause
	shown  []string      // other causes before
	metric float64       // the value of its series then
}

const pub, view = session.RolePublisher, session.RoleViewer

func badPublisher(o peerOptions) func(*testing.T, *rig, string) *peer {
	return func(t *testing.T, r *rig, room string) *peer {
		t.Helper()
		return r.publisher(t, room, o)
	}
}

func badViewer(o peerOptions) func(*testing.T, *rig, string) *peer {
	return func(t *testing.T, r *rig, room string) *peer {
		t.Helper()
		waiting(t, r, room)
		return r.viewer(t, room, o)
	}
}

func waiting(t *testing.T, r *rig, room string) {
	t.Helper()
	if _, err := r.Rooms().Create(room, sfu.Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
}

// sending is a publisher that is connected and sends.
func sending(ctx context.Context, t *testing.T, r *rig, room string, video, audio func(int) []byte) *peer {
	t.Helper()
	p := r.publisher(t, room, peerOptions{}).connected(t)
	p.sends(t, ctx, video, audio)
	eventually(t, "it is on air", func() bool {
		info, err := r.Rooms().Info(room)
		return err == nil && info.Live
	})
	return p
}

// viewing is a viewer of a publisher that sends that.
func viewing(t *testing.T, r *rig, room string, video func(int) []byte) *peer {
	t.Helper()
	waiting(t, r, room)
	sending(t.Context(), t, r, room, video, sound)
	return r.viewer(t, room, peerOptions{}).connected(t)
}

// keyless is a clip of which only the first keyframe comes, or none.
func keyless(t *testing.T, first bool) func(int) []byte {
	t.Helper()
	frame := clip(t, "gop300.h264")
	return func(n int) []byte {
		if n == 0 && first {
			return frame(0)
		}
		return frame(1 + n%299)
	}
}

// faults of sessions that live on: the cause is shown while they do.
func presentFaults() []fault {
	return []fault{
		{"publisher never comes", pub, session.CauseNoICE, "connecting", 0, badPublisher(peerOptions{deaf: true}), nil},
		{"publisher's checks are lost", pub, session.CauseNoICE, "connecting", 0, badPublisher(peerOptions{lose: loseSTUN}), nil},
		{"viewer's checks are lost", view, session.CauseNoICE, "connecting", 0, badViewer(peerOptions{lose: loseSTUN}), nil},
		{"publisher's checks have another password", pub, session.CauseICERefused, "connecting", 0, badPublisher(peerOptions{answer: otherPassword}), nil},
		{"viewer's checks have another password", view, session.CauseICERefused, "connecting", 0, badViewer(peerOptions{answer: otherPassword}), nil},
		{"publisher's DTLS is lost", pub, session.CauseDTLSTimeout, "connecting", 0, badPublisher(peerOptions{lose: loseDTLS}), nil},
		{"viewer's DTLS is lost", view, session.CauseDTLSTimeout, "connecting", 0, badViewer(peerOptions{lose: loseDTLS}), nil},
		{"no RTP", pub, session.CauseNoRTP, "silent", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return r.publisher(t, room, peerOptions{}).connected(t)
		}, nil},
		{"SRTP is lost", pub, session.CauseNoRTP, "silent", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			p := r.publisher(t, room, peerOptions{lose: loseMedia}).connected(t)
			p.sends(t, t.Context(), clip(t, "gop300.h264"), sound)
			return p
		}, nil},
		{"sound, no video", pub, session.CauseNoVideo, "live", 10 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, nil, sound)
		}, nil},
		{"the encoder hangs", pub, session.CauseSilent, "silent", 0, hung(pub), nil},
		{"the encoder hangs, seen by a viewer", view, session.CauseSilent, "silent", 0, hung(view), nil},
		{"unknown payload type", pub, session.CauseUnknownPackets, "silent", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			o := peerOptions{codecs: []string{"H264"}, offer: renumber("102", "97"), answer: renumber("97", "102")}
			p := r.publisher(t, room, o).connected(t)
			p.sends(t, t.Context(), clip(t, "gop300.h264"), nil)
			return p
		}, nil},
		{"H264 with B-frames", pub, session.CauseBFrames, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, clip(t, "bframes.h264"), sound)
		}, []session.Cause{session.CauseProfile}},
		{"H264 with a pyramid of B-frames", pub, session.CauseBFrames, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, clip(t, "bpyramid.h264"), nil)
		}, []session.Cause{session.CauseProfile}},
		{"H264 with B-frames, seen by a viewer", view, session.CauseBFrames, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return viewing(t, r, room, clip(t, "bframes.h264"))
		}, []session.Cause{session.CauseProfile}},
		{"profile differs from the SDP", pub, session.CauseProfile, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, clip(t, "high.h264"), sound)
		}, nil},
		{"profile differs, seen by a viewer", view, session.CauseProfile, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return viewing(t, r, room, clip(t, "high.h264"))
		}, nil},
		{"no keyframe at all", pub, session.CauseNoKeyframe, "live", 10 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, keyless(t, false), sound)
		}, nil},
		{"30 s without a keyframe", pub, session.CauseNoKeyframe, "live", 15 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return sending(t.Context(), t, r, room, keyless(t, true), sound)
		}, nil},
		{"30 s without a keyframe, seen by a viewer", view, session.CauseNoKeyframe, "live", 15 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return viewing(t, r, room, keyless(t, true))
		}, nil},
		{"nobody is on air", view, session.CauseNotLive, "silent", 0, badViewer(peerOptions{}), nil},
		{"the publisher leaves", view, session.CauseNotLive, "silent", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			waiting(t, r, room)
			p := sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			v := r.viewer(t, room, peerOptions{}).connected(t)
			r.end(t, p)
			return v
		}, nil},
		{"codec refused", view, session.CauseCodecRefused, "live", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			waiting(t, r, room)
			v := r.viewer(t, room, peerOptions{codecs: []string{"VP8", "opus"}}).connected(t)
			sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			return v
		}, nil},
	}
}

// hung is a publisher, or its viewer, whose media stops.
func hung(role session.Role) func(*testing.T, *rig, string) *peer {
	return func(t *testing.T, r *rig, room string) *peer {
		t.Helper()
		waiting(t, r, room)
		ctx, stop := context.WithCancel(t.Context())
		p := sending(ctx, t, r, room, clip(t, "gop300.h264"), sound)
		seen := p
		if role == view {
			seen = r.viewer(t, room, peerOptions{}).connected(t)
		}
		stop()
		return seen
	}
}

// end is DELETE.
func (r *rig) end(t *testing.T, p *peer) {
	t.Helper()
	if a, err := r.request(t, http.MethodDelete, p.location, "", ""); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("DELETE: got %d (%v)", a.StatusCode, err)
	}
}

// faults that end sessions.
func endFaults() []fault {
	foreign := []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_32}
	return []fault{
		{"publisher with another fingerprint", pub, session.CauseFingerprint, "ended", 0, badPublisher(peerOptions{offer: otherFingerprint}), nil},
		{"viewer with another fingerprint", view, session.CauseFingerprint, "ended", 0, badViewer(peerOptions{offer: otherFingerprint}), nil},
		{"publisher without an SRTP profile in common", pub, session.CauseNoProfile, "ended", 0, badPublisher(peerOptions{profiles: foreign}), nil},
		{"viewer without an SRTP profile in common", view, session.CauseNoProfile, "ended", 0, badViewer(peerOptions{profiles: foreign}), nil},
		{"publisher is cut off", pub, session.CauseConsentLost, "ended", 30 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			p := sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			p.lose.Store(loseSTUN | loseDTLS | loseMedia)
			return p
		}, []session.Cause{session.CauseSilent}},
		{"viewer is cut off", view, session.CauseConsentLost, "ended", 30 * time.Second, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			v := viewing(t, r, room, clip(t, "gop300.h264"))
			v.lose.Store(loseSTUN | loseDTLS | loseMedia)
			return v
		}, nil},
		{"closed by the publisher", pub, session.CausePeerClosed, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return closing(t, sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound))
		}, nil},
		{"closed by the viewer", view, session.CausePeerClosed, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			return closing(t, viewing(t, r, room, clip(t, "gop300.h264")))
		}, nil},
		{"deleted", pub, session.CauseDeleted, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			p := sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			r.end(t, p)
			return p
		}, nil},
		{"replaced", pub, session.CauseReplaced, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			if _, err := r.Rooms().Create(room, sfu.Settings{Replace: true}); err != nil {
				t.Fatal(err)
			}
			p := sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			return p
		}, nil},
		{"kicked", view, session.CauseKicked, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			v := viewing(t, r, room, clip(t, "gop300.h264"))
			h, _ := r.status(t, v)
			a, err := r.request(t, http.MethodDelete, r.LocalURL()+"/v1/rooms/"+room+"/sessions/"+h.ID, "", "")
			if err != nil || a.StatusCode != http.StatusNoContent {
				t.Fatalf("kick: got %d (%v)", a.StatusCode, err)
			}
			return v
		}, nil},
		{"the room is deleted", pub, session.CauseRoomEnded, "ended", 0, func(t *testing.T, r *rig, room string) *peer {
			t.Helper()
			waiting(t, r, room)
			p := sending(t.Context(), t, r, room, clip(t, "gop300.h264"), sound)
			if err := r.Rooms().Delete(room); err != nil {
				t.Fatal(err)
			}
			return p
		}, nil},
	}
}

func closing(t *testing.T, p *peer) *peer {
	t.Helper()
	if err := p.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFaults injects one fault after the other into a node and wants the one
// right cause within 5 s after it can be known: in the session's object, with
// advice, in the log and as a label of the metrics.
func TestFaults(t *testing.T) {
	r := newRig(t)
	faults := append(presentFaults(), endFaults()...)
	// All at once: most of them wait, and t.Parallel would do few at a time.
	found := make([]finding, len(faults))
	var watching sync.WaitGroup
	t.Cleanup(watching.Wait)
	for i, f := range faults {
		p := f.inject(t, r, fmt.Sprintf("fault%d", i))
		watching.Go(func() { found[i] = r.watch(t, p, f) })
	}
	watching.Wait()
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			h := found[i].health
			if h.Cause == nil || *h.Cause != string(f.want) {
				t.Fatalf("%s was not named: the session is %s; it had shown %q", f.want, h.State, found[i].shown)
			}
			if took := found[i].took; took > f.known+latest {
				t.Errorf("%s was named after %v, want it within %v", f.want, took, f.known+latest)
			} else {
				t.Logf("%s after %v", f.want, took.Round(100*time.Millisecond))
			}
			for _, other := range found[i].shown {
				if !slices.Contains(f.before, session.Cause(other)) {
					t.Errorf("%s was shown before", other)
				}
			}
			if h.State != f.state || h.Role != string(f.role) {
				t.Errorf("got a %s that is %s, want a %s that is %s", h.Role, h.State, f.role, f.state)
			}
			if h.Advice == nil || h.Advice.Title == "" || h.Advice.Next == "" || h.Advice.Type != "/problems/"+string(f.want) {
				t.Errorf("got the advice %+v", h.Advice)
			}
			if got := found[i].metric; got < 1 {
				t.Errorf("%s is %v, want 1 or more", f.series(), got)
			}
			eventually(t, "the log names session and cause", func() bool { return r.log.tells("session="+h.ID, "cause="+string(f.want)) })
		})
	}
}

// watch asks until the session shows the cause.
func (r *rig) watch(t *testing.T, p *peer, f fault) (found finding) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < f.known+2*latest {
		found.health, _ = r.status(t, p)
		found.took = time.Since(began)
		if c := found.health.Cause; c != nil && *c == string(f.want) {
			found.metric = r.metric(t, f.series())
			return found
		} else if c != nil && !slices.Contains(found.shown, *c) {
			found.shown = append(found.shown, *c)
		}
		<-tick.C
	}
	return found
}

// tells looks for a line that has all of these.
func (j *journal) tells(parts ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
lines:
	for line := range strings.Lines(j.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		return true
	}
	return false
}

// TestFaultDrained: a node that stops tells its sessions so, and the log.
func TestFaultDrained(t *testing.T) {
	r := newRig(t)
	p := sending(t.Context(), t, r, "demo", clip(t, "gop300.h264"), sound)
	var h health
	eventually(t, "it is live", func() bool { h, _ = r.status(t, p); return h.State == "live" })
	if h.Cause != nil {
		t.Fatalf("got the cause %s before the stop", *h.Cause)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if !r.log.tells("session ended", "session="+h.ID, "cause=drained") {
		t.Error("the log does not say that the session was drained")
	}
	for _, s := range r.Sessions().ListEnded() {
		if s.Cause != session.CauseDrained {
			t.Errorf("got %s, want drained", s.Cause)
		}
	}
	if n := r.Sessions().Stats().Ended[pub][session.CauseDrained]; n != 1 {
		t.Errorf("%d sessions were drained, want 1", n)
	}
}

// TestRefusals: offers that become no session are refused with their cause: in
// the answer, in the log and as a label of the metrics.
func TestRefusals(t *testing.T) {
	r := newRig(t, withTokens(t), func(c *gateway.Config) { c.MaxPublications = 1 })
	open := newRig(t, func(c *gateway.Config) { c.MaxPublications = 1 })
	sending(t.Context(), t, open, "demo", clip(t, "gop300.h264"), sound)
	offers := newPeer(t, peerOptions{})
	offers.addTracks(t, peerOptions{})
	sdp := offers.offer(t)
	exotic := strings.NewReplacer("H264/", "H263/", "opus/", "speex/").Replace(sdp)
	for _, tt := range []struct {
		name        string
		rig         *rig
		path, token string
		offer       string
		status      int
		want        string
		role        session.Role
	}{
		{"token wrong", r, "/whip/demo", "wrong-token", sdp, 401, "invalid-token", pub},
		{"token missing", r, "/whip/demo", "", sdp, 401, "unauthorized", pub},
		{"token of another grant", r, "/whip/demo", "watch-key-1", sdp, 403, "insufficient-scope", pub},
		{"token wrong, viewer", r, "/whep/demo", "wrong-token", sdp, 401, "invalid-token", view},
		{"codec refused", open, "/whip/other", "", exotic, 422, "sdp-no-common-codec", pub},
		{"publication busy", open, "/whip/demo", "", sdp, 409, "publication-busy", pub},
		{"room full", open, "/whip/demo/second", "", sdp, 503, "room-full", pub},
		{"not live", open, "/whep/nobody", "", sdp, 409, "not-live", view},
	} {
		t.Run(tt.name, func(t *testing.T) {
			offer := tt.offer
			if tt.role == view {
				offer = strings.ReplaceAll(offer, "a=sendrecv", "a=recvonly")
			}
			a, err := tt.rig.request(t, http.MethodPost, tt.rig.LocalURL()+tt.path, tt.token, offer)
			if err != nil || a.StatusCode != tt.status || !strings.Contains(a.Body, `"/problems/`+tt.want+`"`) {
				t.Errorf("got %d %s (%v), want %d %s", a.StatusCode, a.Body, err, tt.status, tt.want)
			}
			series := fmt.Sprintf("sluice_session_refused_total{cause=%q,role=%q}", tt.want, tt.role)
			if got := tt.rig.metric(t, series); got < 1 {
				t.Errorf("%s is %v, want 1 or more", series, got)
			}
			// Viewers who wait for a publisher would fill the log.
			if told := tt.rig.log.tells("session refused", "problem="+tt.want); told != (tt.want != "not-live") {
				t.Errorf("told by the log: %t", told)
			}
		})
	}
}
