package whep_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/sfu"
)

// events reads a session's event stream until it ends.
type events struct {
	kinds   chan string // closed when the stream has ended
	err     error       // of the end; read when kinds is closed
	reading sync.WaitGroup
}

// listen opens the stream of a session's Link URL.
func (n *node) listen(t *testing.T, session string) *events {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, session+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := n.client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the events: %v, %v", response, err)
	}
	e := &events{kinds: make(chan string, 64)}
	e.reading.Go(func() {
		defer close(e.kinds)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				e.kinds <- kind
			}
		}
		e.err = lines.Err()
	})
	t.Cleanup(func() { cancel(); e.reading.Wait() })
	return e
}

// want waits for one of these events, and for no other but counts of viewers;
// "" is the end of the stream.
func (e *events) want(t *testing.T, kind string) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case got, ok := <-e.kinds:
			if !ok && kind == "" || ok && got == kind {
				return
			}
			if !ok || got != "viewercount" {
				t.Fatalf("got the event %q (%t), want %q", got, ok, kind)
			}
		case <-limit:
			t.Fatalf("no event, want %q", kind)
		}
	}
}

// TestViewersLinger: without a publisher viewers stay for a while, are told,
// and then are sent away properly.
func TestViewersLinger(t *testing.T) {
	const linger = 300 * time.Millisecond
	n := newNodeWith(t, sfu.Config{Linger: linger})
	end := n.publish(t)
	v, s, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	e := n.listen(t, s.Location())
	e.want(t, "active")
	v.plays(t)
	end()
	left := time.Now()
	e.want(t, "inactive")
	e.want(t, "")
	if e.err != nil {
		t.Errorf("the stream ended with %v", e.err)
	}
	if stayed := time.Since(left); stayed < linger-50*time.Millisecond {
		t.Errorf("sent away after %v, want %v", stayed, linger)
	}
	poll(t, "close_notify", func() bool { return v.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
	n.gone(t)
}

// TestPublisherBackInTime: the same sessions go on, as one stream of packets.
func TestPublisherBackInTime(t *testing.T) {
	n := newNode(t)
	end := n.publish(t)
	v, s, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	e := n.listen(t, s.Location())
	e.want(t, "active")
	last := v.newest(t, nil)
	for range 2 {
		end()
		e.want(t, "inactive")
		end = n.publish(t)
		e.want(t, "active")
		next := v.newest(t, last)
		// A second is far more than the gap, and far less than a new random start.
		if gap := next.Timestamp - last.Timestamp; next.SSRC != last.SSRC || next.SequenceNumber-last.SequenceNumber > 1000 || gap == 0 || gap > 20*90000 {
			t.Errorf("%v came after %v", next, last)
		}
		last = next
	}
}

// newest waits for the first packets after a given one, and returns the last.
func (v *viewer) newest(t *testing.T, after *rtp.Packet) (p *rtp.Packet) {
	t.Helper()
	limit := time.After(patience)
	for fresh := 0; fresh < 5; {
		select {
		case p = <-v.packets:
			if after == nil || p.SequenceNumber-after.SequenceNumber-1 < 1<<15 {
				fresh++
			}
		case <-limit:
			t.Fatal("no media")
		}
	}
	return p
}

// TestDataChannelIsLeftOut: players exist that always open one. Its section is
// rejected, stays in the answer, and nothing else suffers.
func TestDataChannelIsLeftOut(t *testing.T) {
	n := newNode(t)
	n.publish(t)
	v := newViewer(t)
	if _, err := v.pc.CreateDataChannel("", nil); err != nil {
		t.Fatal(err)
	}
	s, err := n.playInto(t, v)
	if err != nil {
		t.Fatal(err)
	}
	answer := v.pc.RemoteDescription().SDP
	if !strings.Contains(answer, "m=application 0 ") || strings.Count(answer, "m=") != 3 {
		t.Errorf("the answer is\n%s", answer)
	}
	v.plays(t)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	n.gone(t)
}
