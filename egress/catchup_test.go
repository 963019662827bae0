package egress

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// camera makes the packets of a video source at 30 frames a second: a keyframe
// of keySize bytes every gop frames, the rest of the rate in the other frames.
type camera struct {
	*track
	seq     uint64
	frame   int
	gop     int
	key     int // bytes
	other   int // bytes
	started time.Time
}

func newCamera(bitrate, gop int) *camera {
	perGOP := bitrate / 8 * gop / 30
	key := min(perGOP/10, bitrate/8*2/5) // longer ones come at no lower rate
	return &camera{
		track: newTrack(90000), seq: base, gop: gop,
		key: key, other: (perGOP - key) / (gop - 1), started: time.Now(),
	}
}

// next makes the packets of the next frame, as if they had come in at a time.
func (c *camera) next(at time.Time) []*Packet {
	size := c.other
	if c.frame%c.gop == 0 {
		size = c.key
	}
	var out []*Packet
	for size > 0 {
		n := min(size, 1200)
		p := c.packet(c.seq, uint32(c.frame)*3000, strings.Repeat("v", n))
		p.Arrived = at
		p.Key = len(out) == 0 && c.frame%c.gop == 0
		c.seq++
		size -= n
		p.Marker = size == 0
		out = append(out, p)
	}
	c.frame++
	return out
}

// backlog makes what a cache holds after a time of the group of pictures.
func (c *camera) backlog(length time.Duration) []*Packet {
	var out []*Packet
	for t := time.Duration(0); t < length; t += time.Second / 30 {
		out = append(out, c.next(time.Now().Add(t-length))...)
	}
	return out
}

// arrival is one packet that came through the link.
type arrival struct {
	at     time.Time
	packet *rtp.Packet
}

// link carries what a far end is sent: so many bit/s, so long a queue, 20 ms
// each way. The viewer behind it sends transport-wide feedback every 100 ms.
type link struct {
	far   *farEnd
	rate  float64       // bit/s, 0: no limit
	queue time.Duration // longest wait

	// Guarded by far.mu.
	busy    time.Time // the link is, until then
	came    []arrival
	longest time.Duration // wait
	dropped int
	pending []arrival // to be reported
	missing []uint16  // to be asked for
}

const oneWay = 20 * time.Millisecond

func newLink(far *farEnd, rate float64, queue time.Duration) *link {
	l := &link{far: far, rate: rate, queue: queue}
	far.onRTP = func(sealed []byte, p *rtp.Packet) {
		now := time.Now()
		if l.busy.Before(now) {
			l.busy = now
		}
		wait := l.busy.Sub(now)
		l.longest = max(l.longest, wait)
		if wait > l.queue {
			l.dropped++
			l.missing = append(l.missing, p.SequenceNumber)
			return
		}
		if l.rate > 0 {
			l.busy = l.busy.Add(time.Duration(float64(len(sealed)+28) * 8 / l.rate * float64(time.Second)))
		}
		a := arrival{l.busy.Add(oneWay), p}
		l.came = append(l.came, a)
		if p.GetExtension(3) != nil {
			l.pending = append(l.pending, a)
		}
	}
	return l
}

// feedback reports what has arrived; it returns nil when nothing has.
func (l *link) feedback(clock time.Time) []byte {
	now := time.Now()
	l.far.mu.Lock()
	var told []arrival
	for len(l.pending) > 0 && !l.pending[0].at.After(now) {
		told = append(told, l.pending[0])
		l.pending = l.pending[1:]
	}
	l.far.mu.Unlock()
	if len(told) == 0 {
		return nil
	}
	number := func(a arrival) uint16 { return binary.BigEndian.Uint16(a.packet.GetExtension(3)) }
	first := number(told[0])
	// The far end's clock has nothing to do with ours.
	reference := uint32(told[0].at.Sub(clock) / (64 * time.Millisecond))
	origin := clock.Add(time.Duration(reference) * 64 * time.Millisecond)
	arrivals := make([]time.Duration, number(told[len(told)-1])-first+1)
	for i := range arrivals {
		arrivals[i] = -1
	}
	for _, a := range told {
		arrivals[number(a)-first] = a.at.Sub(origin)
	}
	return l.far.seal(pionFeedback(first, reference, arrivals))
}

// nack asks for what the queue dropped; it returns nil when nothing was.
func (l *link) nack() []byte {
	l.far.mu.Lock()
	missing := l.missing
	l.missing = nil
	l.far.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	return l.far.seal(&rtcp.TransportLayerNack{
		SenderSSRC: 1, MediaSSRC: videoSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
	})
}

// joining binds a backlog to a viewer behind a link, keeps the camera running
// for a time, and returns when the stream was live, if it was.
func joining(t *testing.T, v *Viewer, l *link, cam *camera, f Format, length, watch time.Duration) (live time.Duration) {
	t.Helper()
	s := v.Stream("video")
	backlog := cam.backlog(length)
	clock := time.Now().Add(-time.Hour)
	began := time.Now()
	s.Bind(cam, f, backlog)
	frame, report := began, began
	for time.Since(began) < watch {
		time.Sleep(time.Millisecond)
		now := time.Now()
		for now.Sub(frame) >= time.Second/30 {
			frame = frame.Add(time.Second / 30)
			for _, p := range cam.next(frame) {
				s.Write(p)
			}
		}
		if now.Sub(report) >= 100*time.Millisecond {
			report = now
			for _, b := range [][]byte{l.feedback(clock), l.nack()} {
				if b == nil {
					continue
				}
				time.AfterFunc(oneWay, func() {
					if err := v.HandleRTCP(b); err != nil {
						t.Errorf("feedback refused: %v", err)
					}
				})
			}
		}
		if v.plane.Stats().CatchingUp == 0 && live == 0 {
			live = time.Since(began)
		}
	}
	synctest.Wait() // the shard has done what is due
	return live
}

func TestCatchupOnSlowLink(t *testing.T) {
	for _, age := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 3900 * time.Millisecond} {
		t.Run(age.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane, v, far := start(t, gcm, defaultStreams())
				l := newLink(far, 3e6, 300*time.Millisecond)
				live := joining(t, v, l, newCamera(1.5e6, 120), videoFormat, age, 8*time.Second)
				t.Logf("live after %v, longest wait %v", live, l.longest)
				if l.dropped > 0 {
					t.Errorf("the queue dropped %d packets, want none", l.dropped)
				}
				if live == 0 {
					t.Error("still catching up after 8 s")
				}
				var all []*rtp.Packet
				for _, a := range l.came {
					all = append(all, a.packet)
				}
				inSequence(t, all)
				if last := all[len(all)-1]; last.GetExtension(3) != nil {
					t.Error("a live packet carries a transport-wide sequence number")
				}
				_ = plane.Close()
			})
		})
	}
}

// Without transport-wide feedback, NACKs are all there is to tell of a queue
// that overflows. They come late: there is loss, but it stops and is repaired.
func TestCatchupBlindOnSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		l := newLink(far, 3e6, 300*time.Millisecond)
		cam := newCamera(1.5e6, 300)
		live := joining(t, v, l, cam, plainFormat, 3*time.Second, 12*time.Second)
		t.Logf("live after %v, %d dropped of %d", live, l.dropped, len(l.came))
		if live < 2*time.Second { // zero: never
			t.Errorf("live after %v, want slower than what such a link carries", live)
		}
		came := map[uint16]bool{}
		for _, a := range l.came {
			came[a.packet.SequenceNumber] = true
		}
		if n := int(v.Stats().Packets); len(came) < n-1 || l.dropped > n/5 {
			t.Errorf("got %d of %d packets and %d dropped, want all, and not many dropped", len(came), n, l.dropped)
		}
		_ = plane.Close()
	})
}

func TestCatchupOnGoodLink(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
	}{{"steered", videoFormat}, {"blind", plainFormat}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane, v, far := start(t, gcm, defaultStreams())
				l := newLink(far, 0, time.Hour)
				live := joining(t, v, l, newCamera(0.8e6, 300), tc.format, 9*time.Second, 3*time.Second)
				t.Logf("live after %v", live)
				if live == 0 || live > 1500*time.Millisecond {
					t.Errorf("live after %v, want within 1.5 s", live)
				}
				first, n := l.came[0].at, 0
				for _, a := range l.came {
					if a.at.Sub(first) < 100*time.Millisecond {
						n += len(a.packet.Payload)
					}
				}
				if key := int(0.8e6 / 8); n < key/3 {
					t.Errorf("got %d bytes in the first 100 ms, want at least a third of the keyframe", n)
				}
				_ = plane.Close()
			})
		})
	}
}

// A viewer who is still behind when the next keyframe comes goes on with that.
func TestCatchupJumpsToKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		src := newTrack(90000)
		s := v.Stream("video")
		frame := func(seq uint64, n uint32, name string) []*Packet {
			a, b := src.packet(seq, n*3000, name+strings.Repeat(".", 1100)), src.packet(seq+1, n*3000, name+strings.Repeat("!", 1100))
			b.Marker = true
			return []*Packet{a, b}
		}
		var backlog []*Packet
		for n := range uint32(100) {
			backlog = append(backlog, frame(base+2*uint64(n), n, "a")...)
		}
		backlog[0].Key = true
		s.Bind(src, videoFormat, backlog)
		time.Sleep(paceTick) // some are out, in the middle of a frame or not
		synctest.Wait()
		k := frame(base+200, 100, "k")
		k[0].Key = true
		s.Write(k[0])
		s.Write(k[1])
		s.Write(backlog[150]) // late, and skipped
		time.Sleep(time.Second)
		synctest.Wait()
		s.Write(src.packet(base+202, 101*3000, "live"))
		got := far.takeRTP(videoSSRC)
		inSequence(t, got)
		n := len(got)
		if n < 5 || n > 60 || got[n-3].Payload[0] != 'k' || string(got[n-1].Payload) != "live" {
			t.Fatalf("got %d packets, want the beginning, the new keyframe, and live", n)
		}
		if !got[n-4].Marker || got[n-4].Payload[0] != 'a' {
			t.Error("the frame before the jump is not complete")
		}
		// What was left out must not show in the timestamps: a receiver would
		// wait for the moment that they tell.
		if d := int32(got[n-3].Timestamp - got[n-4].Timestamp); d < 1 || d > 9000 {
			t.Errorf("got the new keyframe %d ticks after the frame before it, want it at once", d)
		}
		if d := got[n-1].Timestamp - got[n-3].Timestamp; d != 3000 {
			t.Errorf("got the frame after the keyframe %d ticks after it, want 3000", d)
		}
		if plane.Stats().CatchingUp != 0 {
			t.Error("still catching up")
		}
		far.nack(v, videoSSRC, got[n-3].SequenceNumber, got[n-4].SequenceNumber)
		again := far.takeRTP(videoRTX)
		if len(again) != 2 || again[0].Payload[2] == again[1].Payload[2] {
			t.Fatalf("got %d retransmissions around the jump, want the two packets asked for", len(again))
		}
		for _, p := range again {
			if first := got[n-3]; p.Payload[2] == 'k' && p.Timestamp != first.Timestamp {
				t.Errorf("the keyframe was sent again as of %d, first as of %d", p.Timestamp, first.Timestamp)
			} else if first := got[n-4]; p.Payload[2] == 'a' && p.Timestamp != first.Timestamp {
				t.Errorf("the frame before the jump was sent again as of %d, first as of %d", p.Timestamp, first.Timestamp)
			}
		}
		_ = plane.Close()
	})
}

// Near the end of the queue there is no reason to skip anything.
func TestCatchupKeepsShortQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		cam := newCamera(4e6, 12)
		backlog := cam.backlog(400 * time.Millisecond)
		s := v.Stream("video")
		s.Bind(cam, videoFormat, backlog)
		want := len(backlog)
		for range 6 {
			for _, p := range cam.next(time.Now()) {
				s.Write(p)
				want++
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := far.takeRTP(videoSSRC); len(got) != want {
			t.Errorf("got %d packets, want all %d", len(got), want)
		}
		_ = plane.Close()
	})
}

func TestCatchupBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFarEnd(t, gcm)
		plane := NewPlane(discard, far)
		far.plane = plane
		v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
		src := newTrack(90000)
		s := v.Stream("video")
		s.Bind(src, videoFormat, []*Packet{src.key(base, 0, "k")})
		s.Write(src.packet(base+1, 3000, "d"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := far.take(); len(got) != 0 {
			t.Fatalf("got %d datagrams before the keys", len(got))
		}
		if err := v.Start(far.keys, viewerAddr); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := far.takeRTP(videoSSRC); payloads(got) != "k d" {
			t.Errorf("got packets %q after Start", payloads(got))
		}
		_ = plane.Close()
	})
}

func TestCatchupOverflow(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	src := newTrack(90000)
	s := v.Stream("video")
	// The pacer does not get at the stream before it is full: it is not told.
	v2 := v.plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	s2 := v2.Stream("video")
	s2.Bind(src, videoFormat, []*Packet{src.key(base, 0, "k")})
	for i := range uint64(maxWaiting + 1) {
		s2.Write(src.packet(base+1+i, 0, "x"))
		if i%maxQueue == maxQueue-1 {
			v.plane.settle()
		}
	}
	v.plane.settle()
	if s2.catchup != nil || !s2.waitKey || src.asked() != 1 {
		t.Errorf("got %d keyframe requests, want the queue given up and one request", src.asked())
	}

	s.Bind(src, videoFormat, []*Packet{src.key(base, 0, "k")})
	s.paceNow()
	v.mu.Lock()
	s.abandon()
	v.mu.Unlock()
	s.Write(src.packet(base+1, 3000, "lost"))
	s.Write(src.key(base+2, 6000, "k2"))
	got := far.takeRTP(videoSSRC)
	if payloads(got) != "k k2" || got[1].Timestamp-got[0].Timestamp != 6000 {
		t.Fatalf("got packets %q, want to go on with the next keyframe on the same clock", payloads(got))
	}
	inSequence(t, got)
}

// Audio has no keyframes to wait for: given up, it goes on with what comes next.
func TestCatchupOverflowOfAudio(t *testing.T) {
	far := newFarEnd(t, gcm)
	far.plane = NewPlane(discard, far)
	t.Cleanup(func() { _ = far.plane.Close() })
	v := far.plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	src, s := newTrack(48000), v.Stream("audio")
	s.Bind(src, audioFormat, []*Packet{src.packet(base, 0, "first")})
	for i := range uint64(maxWaiting + 1) { // before there are keys
		s.Write(src.packet(base+1+i, 0, "x"))
		if i%1024 == 1023 {
			v.plane.settle()
		}
	}
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	s.Write(src.packet(base+maxWaiting+2, 960, "next"))
	if got := payloads(far.takeRTP(audioSSRC)); got != "next" {
		t.Errorf("got %.40q, want what came after the queue was given up", got)
	}
}

func TestCatchupReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		s := v.Stream("video")
		first, second := newCamera(8e6, 120), newTrack(90000)
		s.Bind(first, videoFormat, first.backlog(3*time.Second))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait() // the tick of this moment is over
		far.take()
		s.Bind(second, videoFormat, []*Packet{second.key(base, 0, "k")})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := far.takeRTP(videoSSRC); payloads(got) != "k" {
			t.Errorf("got %d packets, want only that of the new source", len(got))
		}
		s.Bind(first, videoFormat, newCamera(8e6, 120).backlog(3*time.Second))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait() // the tick of this moment is over
		s.Unbind(first)
		far.take()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if got := far.takeRTP(videoSSRC); len(got) != 0 {
			t.Errorf("got %d packets after Unbind", len(got))
		}
		_ = plane.Close()
	})
}

// Audio needs no pacing: it is small, and goes before the picture.
func TestCatchupOfAudio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		src := newTrack(48000)
		var backlog []*Packet
		for i := range uint64(500) {
			backlog = append(backlog, src.packet(base+i, uint32(i)*960, strings.Repeat("o", 160)))
		}
		v.Stream("audio").Bind(src, audioFormat, backlog)
		synctest.Wait()
		if got := far.takeRTP(audioSSRC); len(got) != 500 {
			t.Errorf("got %d packets at once, want 500", len(got))
		}
		_ = plane.Close()
	})
}

// A busy shard comes by late at every tick; viewers catch up all the same.
func TestCatchupOnBusyShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFarEnd(t, gcm)
		plane := newPlane(discard, far)
		far.plane = plane
		v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
		if err := v.Start(far.keys, viewerAddr); err != nil {
			t.Fatal(err)
		}
		cam := newCamera(2.5e6, 600)
		s := v.Stream("video")
		s.Bind(cam, videoFormat, cam.backlog(1900*time.Millisecond))
		began, frames := time.Now(), 0
		for plane.paceNow(began); plane.Stats().CatchingUp > 0; plane.paceNow(time.Now()) {
			time.Sleep(80 * time.Millisecond)
			for ; frames < int(time.Since(began).Seconds()*30); frames++ {
				for _, p := range cam.next(time.Now()) {
					s.Write(p)
				}
			}
			if time.Since(began) > 4*time.Second {
				t.Fatal("still catching up after 4 s")
			}
		}
		inSequence(t, far.takeRTP(videoSSRC))
		_ = plane.Close()
	})
}
