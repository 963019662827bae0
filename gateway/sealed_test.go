package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// sealedRun is one room with a fast publisher, and viewers who open all.
type sealedRun struct {
	t       *testing.T
	node    node
	room    string
	viewers map[string]*gatewaytest.SealedViewer
	p       *gatewaytest.StampedPublisher
	source  int    // of its first layer: the next publisher's, and not its layers', has other tens
	jump    uint16 // between rounds
	burst   int    // packets of a round
	ask     int    // how many of them are asked for again, of each kind
}

// sealedProfiles are all that a viewer may offer.
var sealedProfiles = map[string]dtls.SRTPProtectionProfile{
	"GCM-128": dtls.SRTP_AEAD_AES_128_GCM, "GCM-256": dtls.SRTP_AEAD_AES_256_GCM, "CM": dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

func newSealedRun(t *testing.T, n node) *sealedRun {
	t.Helper()
	r := &sealedRun{t: t, node: n, room: "sealed", viewers: map[string]*gatewaytest.SealedViewer{}, jump: 2500, burst: 120, ask: 6}
	if os.Getenv("SLUICE_LONG") != "" {
		r.jump, r.burst = 0, 2000 // every number is a packet
	}
	return r
}

// join lets viewers in while the publisher sends: with and without
// retransmission stream, in either DTLS role, for each profile.
func (r *sealedRun) join() {
	r.t.Helper()
	for name, profile := range sealedProfiles {
		for i := range 4 {
			o := gatewaytest.SealedOptions{Profile: profile, RTX: i&1 != 0, Passive: i&2 != 0, TransportCC: i == 1}
			key := fmt.Sprintf("%s rtx=%t passive=%t", name, o.RTX, o.Passive)
			r.viewers[key] = gatewaytest.ViewSealed(r.t, r.node.Node, r.room, o)
		}
	}
}

// all tells whether something holds for all viewers.
func (r *sealedRun) all(what func(*gatewaytest.SealedViewer) bool) bool {
	for _, v := range r.viewers {
		if !what(v) {
			return false
		}
	}
	return true
}

// write publishes packets no faster than the viewers take them, as long as they
// do: who waits for a keyframe is not waited for.
func (r *sealedRun) write(packets int) (last int) {
	r.t.Helper()
	const window = 16 // times the viewers: what the system lets a socket hold by default
	for i := range packets {
		last = r.p.Write()
		if i%8 != 7 {
			continue
		}
		tick := time.NewTicker(time.Millisecond / 2)
		for limit := time.Now().Add(20 * time.Millisecond); time.Now().Before(limit); {
			if r.all(func(v *gatewaytest.SealedViewer) bool {
				s, n := v.Newest("video")
				return s/10 == r.source/10 && n >= last-window
			}) {
				break
			}
			<-tick.C
		}
		tick.Stop()
	}
	return last
}

// until publishes until something holds for all viewers.
func (r *sealedRun) until(what string, holds func(*gatewaytest.SealedViewer) bool) {
	r.t.Helper()
	limit := time.Now().Add(patience)
	for !r.all(holds) {
		if time.Now().After(limit) {
			r.report()
			r.t.Fatalf("never: %s", what)
		}
		r.write(36)
	}
}

// round publishes, waits until all has come, and lets everyone ask for some of
// it again.
func (r *sealedRun) round() {
	r.t.Helper()
	last := r.write(r.burst)
	repaired := time.Now()
	r.eventually("all has come", func() bool {
		if time.Since(repaired) > 200*time.Millisecond {
			repaired = time.Now()
			last = r.write(1) // it tells of what was lost before it
			for _, v := range r.viewers {
				v.Repair()
			}
		}
		if len(r.faults()) > 0 {
			r.report()
			r.t.FailNow()
		}
		return r.all(func(v *gatewaytest.SealedViewer) bool {
			_, n := v.Newest("video")
			return n == last && v.Missing() == 0
		})
	})
	for _, v := range r.viewers {
		v.Ask(r.ask)
	}
	asked := time.Now()
	r.eventually("all that was asked for has come again", func() bool {
		if time.Since(asked) > 200*time.Millisecond {
			asked = time.Now()
			for _, v := range r.viewers {
				v.Repair()
			}
		}
		return r.all(func(v *gatewaytest.SealedViewer) bool { return v.Unanswered() == 0 })
	})
	r.p.Jump(r.jump)
}

// eventually waits, and says in the end who is behind.
func (r *sealedRun) eventually(what string, cond func() bool) {
	r.t.Helper()
	limit := time.Now().Add(patience)
	eventually(r.t, what, func() bool {
		if cond() {
			return true
		}
		if time.Since(limit) > -time.Second {
			r.report()
			r.t.Fatalf("never: %s", what)
		}
		return false
	})
}

func (r *sealedRun) faults() (all []string) {
	for name, v := range r.viewers {
		_, faults := v.Counts()
		for _, f := range faults {
			all = append(all, name+": "+f)
		}
	}
	return all
}

// report logs what everyone got and fails for what was wrong with it.
func (r *sealedRun) report() {
	r.t.Helper()
	for name, v := range r.viewers {
		c, _ := v.Counts()
		source, number := v.Newest("video")
		r.t.Logf("%s: %d datagrams, %d packets, %d again, %d reports, %d wraps, %d sources; newest %d of %d, missing %d, unanswered %d",
			name, c.Datagrams, c.Media, c.Again, c.Reports, c.Wraps, c.Sources, number, source, v.Missing(), v.Unanswered())
		if c.Datagrams != c.Media+c.Again+c.Reports {
			r.t.Errorf("%s: %d datagrams came and %d were opened", name, c.Datagrams, c.Media+c.Again+c.Reports)
		}
	}
	for _, f := range r.faults() {
		r.t.Error(f)
	}
}

// choose selects a layer for everyone. One that nothing came of for a moment,
// because the machine was busy, is unknown until something does.
func (r *sealedRun) choose(rid string) {
	r.t.Helper()
	body := fmt.Sprintf(`{"rid":%q}`, rid)
	for _, v := range r.viewers {
		for limit := time.Now().Add(patience); ; {
			r.write(16)
			got := r.node.do(r.t, "POST", v.Path+"/layer", []string{"Content-Type", "application/json"}, body)
			if got.StatusCode == http.StatusOK {
				break
			}
			if got.StatusCode != http.StatusUnprocessableEntity || time.Now().After(limit) {
				r.t.Fatalf("%s: got %d %s", body, got.StatusCode, got.Body)
			}
		}
	}
}

// watches tells whether a viewer's picture comes from a source.
func watches(source int) func(*gatewaytest.SealedViewer) bool {
	return func(v *gatewaytest.SealedViewer) bool { s, _ := v.Newest("video"); return s == source }
}

// publish lets another publisher take the room.
func (r *sealedRun) publish(codec string, source int, rids ...string) {
	r.t.Helper()
	if r.p != nil {
		r.p.Close()
	}
	// Near the wrap of the publisher's own numbers.
	r.source = source
	r.p = gatewaytest.PublishStamped(r.t, r.node.Node, r.room, codec, source, 65400, rids...)
	r.until(fmt.Sprintf("source %d", source), watches(source))
}

// TestViewersOpenEveryPacket: a viewer with each SRTP profile opens every
// datagram with pion, and finds what was published, through wraps of sequence
// numbers on both sides, retransmission, changes of address, of publisher, of
// codec and of layer. With SLUICE_LONG every number of a wrap is a packet, else
// most of them are left out by the publisher.
func TestViewersOpenEveryPacket(t *testing.T) {
	t.Parallel()
	r := newSealedRun(t, start(t))
	r.publish("VP8", 10)
	r.write(36)
	waitLive(t, r.node.LocalURL(), r.room)
	r.join()
	gone := gatewaytest.ViewSealed(t, r.node.Node, r.room, gatewaytest.SealedOptions{Profile: dtls.SRTP_AEAD_AES_128_GCM})
	r.until("a picture", watches(10))
	wraps := func(n int) func(*gatewaytest.SealedViewer) bool {
		return func(v *gatewaytest.SealedViewer) bool { c, _ := v.Counts(); return c.Wraps >= n }
	}
	for round := 0; !r.all(wraps(1)); round++ {
		r.round()
		switch round {
		case 2:
			gone.Vanish() // packets to it are refused from here on
		case 4:
			for _, v := range r.viewers {
				v.Move()
			}
		case 200:
			t.Fatal("there is no wrap")
		}
	}
	r.round()
	r.publish("VP8", 20)
	r.round()
	r.publish("H264", 30)
	r.round()
	r.publish("VP8", gatewaytest.NumberedSource, "a", "b", "c")
	for _, layer := range []int{2, 1, 0, 2} {
		r.choose(string(rune('a' + layer)))
		r.until("the layer", watches(gatewaytest.NumberedSource+layer))
		r.round()
	}
	r.report()
}

// TestPacketsOfAllSizes sends payloads of one byte, those of GStreamer, and what
// does not fit a frame of the network, over IPv4 and IPv6.
func TestPacketsOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			r := newSealedRun(t, node{gatewaytest.StartOn(t, host)})
			r.jump, r.burst = 0, len(gatewaytest.StampedSizes)
			r.ask = 2 // large ones soon use up what a viewer may be sent again
			r.publish("VP8", gatewaytest.OddSource)
			r.write(36)
			waitLive(t, r.node.LocalURL(), r.room)
			r.join()
			r.until("a picture", watches(gatewaytest.OddSource))
			for range 8 {
				r.round()
			}
			r.report()
			for name, v := range r.viewers {
				c, _ := v.Counts()
				for _, size := range gatewaytest.StampedSizes {
					if c.Sizes[size] < 7 { // who catches up may leave some of the first round out
						t.Errorf("%s: %d payloads of %d bytes came, want 7", name, c.Sizes[size], size)
					}
				}
			}
		})
	}
}
