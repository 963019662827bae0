package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// run steps through time and returns when requests were sent.
func (r *requests) run(from time.Time, d time.Duration, each func(at time.Duration)) (sent []time.Duration) {
	for at := time.Duration(0); at < d; at += 10 * time.Millisecond {
		if each != nil {
			each(at)
		}
		if send, _ := r.due(from.Add(at)); send {
			sent = append(sent, at)
		}
	}
	return sent
}

func TestRequestsAreMerged(t *testing.T) {
	var r requests
	start := time.Now()
	sent := r.run(start, 3*time.Second, func(at time.Duration) {
		r.want() // viewers without end
		r.want()
		r.arrived(start.Add(at - 5*time.Millisecond)) // whose wish is fulfilled at once
		r.want()
	})
	if len(sent) != 6 {
		t.Fatalf("got %d requests in 3 s: %v", len(sent), sent)
	}
	for i := 1; i < len(sent); i++ {
		if gap := sent[i] - sent[i-1]; gap < requestSpacing {
			t.Errorf("requests %v apart", gap)
		}
	}
}

func TestRequestsAreRetriedAndGivenUp(t *testing.T) {
	var r requests
	start := time.Now()
	r.want()
	sent := r.run(start, time.Minute, nil)
	if len(sent) != requestTries || sent[0] != 0 || sent[1] != requestRetry {
		t.Errorf("got requests at %v", sent)
	}
	if !r.next().IsZero() {
		t.Error("still something to do")
	}
	r.want()
	if sent = r.run(start.Add(time.Minute), time.Second, nil); len(sent) != 1 {
		t.Errorf("a new viewer: got %v", sent)
	}
}

func TestObedience(t *testing.T) {
	var r requests
	now := time.Now()
	ask := func() {
		t.Helper()
		now = now.Add(time.Second)
		r.want()
		if send, _ := r.due(now); !send {
			t.Fatal("not sent")
		}
	}
	if r.known() || r.obedient() {
		t.Error("known before the first request")
	}
	for range answersNeeded {
		if r.obedient() {
			t.Error("obedient too soon")
		}
		ask()
		r.arrived(now.Add(answerTime - 1))
	}
	if !r.obedient() || !r.known() {
		t.Error("not obedient")
	}
	r.arrived(now.Add(time.Hour)) // nobody asked
	if !r.obedient() {
		t.Error("a keyframe of its own makes it disobedient")
	}
	ask()
	if at := r.next(); !at.Equal(now.Add(answerTime)) {
		t.Errorf("next look after %v", at.Sub(now))
	}
	if _, disobeyed := r.due(now.Add(answerTime - 1)); disobeyed {
		t.Error("disobeyed too soon")
	}
	if _, disobeyed := r.due(now.Add(answerTime)); !disobeyed || r.obedient() {
		t.Error("still obedient without an answer")
	}
	if _, disobeyed := r.due(now.Add(answerTime)); disobeyed {
		t.Error("told twice")
	}
}

func TestRequestAsNegotiated(t *testing.T) {
	now := time.Now()
	pli := webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}
	fir := webrtc.RTCPFeedback{Type: "ccm", Parameter: "fir"}
	request := func(f ...webrtc.RTCPFeedback) rtcp.Packet {
		r := newReceiver(f, 1, 2, now)
		r.want()
		pkts, _, _ := r.due(now)
		if len(pkts) == 0 {
			return nil
		}
		return pkts[0]
	}
	if p, ok := request(fir, pli).(*rtcp.PictureLossIndication); !ok || p.SenderSSRC != 1 || p.MediaSSRC != 2 {
		t.Errorf("both: got %v", p)
	}
	if p, ok := request(fir).(*rtcp.FullIntraRequest); !ok || len(p.FIR) != 1 || p.FIR[0].SSRC != 2 || p.FIR[0].SequenceNumber != 1 {
		t.Errorf("FIR: got %v", p)
	}
	if p := request(webrtc.RTCPFeedback{Type: "nack"}); p != nil {
		t.Errorf("none: got %v", p)
	}
}

func TestNACKsAreSplit(t *testing.T) {
	now := time.Now()
	r := newReceiver(feedbackAll, 1, 2, now)
	r.arrived(1<<16, 1, false, false, now)
	r.arrived(1<<16+151, 1, false, false, now)
	pkts, _, next := r.due(now)
	seen := 0
	for _, p := range pkts {
		n, ok := p.(*rtcp.TransportLayerNack)
		if !ok {
			t.Fatalf("got %T", p)
		}
		one := 0
		for _, pair := range n.Nacks {
			one += len(pair.PacketList())
		}
		if one > nacksPerPacket {
			t.Errorf("%d numbers in one packet", one)
		}
		seen += one
	}
	if seen != 148 || next.IsZero() { // three are within the reorder tolerance
		t.Errorf("asked for %d, next look %v", seen, next)
	}
	if s := r.stats(now); s.NACKs != 148 || s.Packets != 2 || s.Bytes != 2 {
		t.Errorf("stats: got %+v", s)
	}
}

func TestMeter(t *testing.T) {
	now := time.Now()
	m := meter{epoch: now}
	for i := range 100 {
		m.add(125, now.Add(time.Duration(i)*100*time.Millisecond)) // 10 kbit/s
	}
	if got := m.rate(now.Add(10 * time.Second)); got < 9000 || got > 11000 {
		t.Errorf("got %d bit/s, want 10000", got)
	}
	if got := m.rate(now.Add(13 * time.Second)); got != 0 {
		t.Errorf("after silence: got %d bit/s", got)
	}
	if got := m.rate(now.Add(1000 * time.Hour)); got != 0 {
		t.Errorf("much later: got %d bit/s", got)
	}
}
