package egress

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// A keyframe that is there when its source becomes the stream's is sent at
// once, behind what the stream sent before, and no other is asked for.
func TestStreamJoin(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	from, to := newTrack(90000), newTrack(90000)
	s := v.Stream("video")
	s.Bind(from, videoFormat, nil)
	s.Write(from.key(base, 1000, "k1"))
	s.Write(from.packet(base+1, 4000, "d1"))
	var burst []*Packet
	for i := range uint64(200) { // more than a paced start would send at once
		burst = append(burst, to.packet(9000+base+i, 500000, strings.Repeat("k", 1000)))
	}
	burst[0].Key = true
	s.Join(to, videoFormat, burst)
	s.Write(to.packet(9000+base+200, 503000, "d2"))
	got := far.takeRTP(videoSSRC)
	if len(got) != 2+200+1 {
		t.Fatalf("got %d packets, want 203", len(got))
	}
	inSequence(t, got)
	if step := int32(got[2].Timestamp - got[1].Timestamp); step <= 0 || step > 90000 {
		t.Errorf("the timestamp steps by %d", step)
	}
	if from.asked() != 1 || to.asked() != 0 {
		t.Errorf("asked for %d and %d keyframes, want 1 and 0", from.asked(), to.asked())
	}
	// Without one it is asked for, and waited for.
	s.Join(from, videoFormat, nil)
	s.Write(from.packet(base+2, 7000, "d"))
	if got := far.takeRTP(videoSSRC); len(got) != 0 || from.asked() != 2 {
		t.Errorf("got %d packets, %d requests", len(got), from.asked())
	}
}

// A stream that is held sends nothing of what it was to catch up with, and goes
// on in its sender reports. It goes on with a keyframe.
func TestStreamHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		cam := newCamera(2_000_000, 60)
		s := v.Stream("video")
		s.Bind(cam.track, videoFormat, cam.backlog(2*time.Second))
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		sent := len(far.takeRTP(videoSSRC))
		s.Hold()
		s.Hold()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		packets, reports := 0, 0
		for _, r := range far.take() {
			if r.rtp != nil {
				packets++
			}
			for _, p := range r.rtcp {
				if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == videoSSRC {
					reports++
				}
			}
		}
		if sent == 0 || packets != 0 {
			t.Errorf("%d packets before and %d after, want some and none", sent, packets)
		}
		if reports < 4 || reports > 7 {
			t.Errorf("%d sender reports in 5 s", reports)
		}
		s.Write(cam.packet(1<<40, 0, "d"))
		s.Write(cam.track.key(1<<40+1, 3000, "k"))
		time.Sleep(10 * time.Millisecond)
		if got := far.takeRTP(videoSSRC); payloads(got) != "k" {
			t.Errorf("goes on with %q", payloads(got))
		}
		_ = plane.Close()
	})
}
