package egress

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// came waits for the shard to have done what is due, and returns what was sent.
func came(far *farEnd) []received {
	synctest.Wait()
	far.mu.Lock()
	defer far.mu.Unlock()
	got := far.got
	far.got = nil
	return got
}

// rtpOf is how many packets of an SSRC are among what came.
func rtpOf(got []received, ssrc uint32) (n int) {
	for _, r := range got {
		if r.rtp != nil && r.rtp.SSRC == ssrc {
			n++
		}
	}
	return n
}

// watching is a viewer of a video and an audio track that have begun.
func watching(t *testing.T) (plane *Plane, v *Viewer, far *farEnd, video, audio *track) {
	t.Helper()
	plane, v, far = start(t, gcm, defaultStreams())
	video, audio = newTrack(90000), newTrack(48000)
	v.Stream("video").Bind(video, videoFormat, nil)
	v.Stream("audio").Bind(audio, audioFormat, nil)
	p := video.key(base, 0, "k")
	p.Marker = true
	v.Stream("video").Write(p)
	v.Stream("audio").Write(audio.packet(base, 0, "s"))
	came(far)
	return plane, v, far, video, audio
}

// The first packets of a frame wait for the rest, a millisecond at most. The last
// one, and audio, waits for nothing.
func TestShardHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far, video, audio := watching(t)
		s := v.Stream("video")
		s.Write(video.packet(base+1, 3000, "first"))
		time.Sleep(holdTime / 2)
		s.Write(video.packet(base+2, 3000, "second"))
		if n := rtpOf(came(far), videoSSRC); n != 0 {
			t.Errorf("got %d packets before the frame was complete, want 0", n)
		}
		time.Sleep(holdTime / 2)
		if n := rtpOf(came(far), videoSSRC); n != 2 {
			t.Errorf("got %d packets after %v, want 2", n, holdTime)
		}

		s.Write(video.packet(base+3, 3000, "third"))
		last := video.packet(base+4, 3000, "last")
		last.Marker = true
		s.Write(last)
		if n := rtpOf(came(far), videoSSRC); n != 2 {
			t.Errorf("got %d packets when the frame was complete, want 2", n)
		}

		s.Write(video.packet(base+5, 6000, "held"))
		v.Stream("audio").Write(audio.packet(base+1, 960, "s"))
		got := came(far)
		if rtpOf(got, audioSSRC) != 1 {
			t.Error("audio waited")
		}
		if rtpOf(got, videoSSRC) != 0 {
			t.Error("audio cut the beginning of a frame off from the rest")
		}
		time.Sleep(holdTime)
		if n := rtpOf(came(far), videoSSRC); n != 1 {
			t.Errorf("got %d packets of what was held, want 1", n)
		}
		_ = plane.Close()
	})
}

// A keyframe of several hundred packets is spread over some milliseconds, and
// audio that comes meanwhile goes before the rest of it.
func TestShardSpreadsLargeFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far, video, audio := watching(t)
		s := v.Stream("video")
		const packets = 300
		for i := range uint64(packets) {
			p := video.packet(base+1+i, 3000, strings.Repeat("k", 1000))
			p.Key, p.Marker = i == 0, i == packets-1
			s.Write(p)
		}
		var bursts []int
		got := came(far)
		sum := rtpOf(got, videoSSRC)
		bursts = append(bursts, sum)
		v.Stream("audio").Write(audio.packet(base+1, 960, "s"))
		if got := came(far); rtpOf(got, audioSSRC) != 1 || rtpOf(got, videoSSRC) != 0 {
			t.Error("audio waited for the rest of a keyframe")
		}
		all := got
		for sum < packets && len(bursts) < 20 {
			time.Sleep(spreadTick)
			got := came(far)
			n := rtpOf(got, videoSSRC)
			bursts, sum, all = append(bursts, n), sum+n, append(all, got...)
		}
		t.Logf("bursts of %v", bursts)
		if sum != packets {
			t.Fatalf("got %d packets, want %d", sum, packets)
		}
		for _, n := range bursts {
			if n > (packets+spreadTicks-1)/spreadTicks {
				t.Errorf("a burst of %d packets of %d", n, packets)
			}
		}
		if len(bursts) < spreadTicks || len(bursts) > 3*spreadTicks {
			t.Errorf("spread over %d ticks, want a few", len(bursts))
		}
		next := uint16(0)
		for _, r := range all {
			if r.rtp == nil || r.rtp.SSRC != videoSSRC {
				continue
			}
			if next != 0 && r.rtp.SequenceNumber != next {
				t.Fatalf("got sequence number %d, want %d", r.rtp.SequenceNumber, next)
			}
			next = r.rtp.SequenceNumber + 1
		}
		_ = plane.Close()
	})
}

// What cannot be sent for seconds is given up, counted, and leaves a gap that the
// viewer asks for.
func TestQueueIsBounded(t *testing.T) {
	far := newFarEnd(t, gcm)
	plane := newPlane(discard, far) // nobody empties the queue
	far.plane = plane
	v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	src := newTrack(90000)
	s := v.Stream("video")
	s.Bind(src, videoFormat, nil)
	for i := range uint64(maxQueue + 10) {
		s.Write(src.key(base+i, 0, "x"))
	}
	if got := plane.Stats().Dropped; got != 10 {
		t.Errorf("got %d packets given up, want 10", got)
	}
	if got := far.takeRTP(videoSSRC); len(got) != maxQueue {
		t.Errorf("got %d packets, want %d", len(got), maxQueue)
	}
	s.Write(src.packet(base+maxQueue+10, 0, "on"))
	got := far.takeRTP(videoSSRC)
	if len(got) != 1 {
		t.Fatalf("got %d packets after it, want 1", len(got))
	}
	far.nack(v, videoSSRC, got[0].SequenceNumber-1) // it was never sent: now it is, under its number
	if late := far.takeRTP(videoSSRC); len(late) != 1 || late[0].SequenceNumber != got[0].SequenceNumber-1 {
		t.Errorf("got %d packets for one that was given up, want it", len(late))
	}
}

// A change of source does not lose what was written before it.
func TestBindSendsWhatWaits(t *testing.T) {
	far := newFarEnd(t, gcm)
	plane := newPlane(discard, far)
	far.plane = plane
	v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	one, other := newTrack(90000), newTrack(90000)
	s := v.Stream("video")
	s.Bind(one, videoFormat, nil)
	s.Write(one.key(base, 0, "a"))
	s.Write(one.packet(base+1, 0, "b"))
	s.Bind(other, videoFormat, nil)
	s.Write(one.packet(base+2, 0, "of nobody now")) // dropped: no keyframe
	s.Write(other.key(base+900, 0, "c"))
	s.Unbind(other)
	s.Write(other.packet(base+901, 0, "of nobody"))
	got := far.takeRTP(videoSSRC)
	if p := payloads(got); p != "a b c" {
		t.Errorf("got packets %q", p)
	}
	inSequence(t, got)
}

// Every viewer gets a report about every second, whenever it came, and none
// after it has left.
func TestReportWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := NewPlane(discard, nowhere{})
		keys := testKeys(t, gcm)
		src := newTrack(48000)
		const viewers = 60
		var reporting []*Viewer
		for range viewers {
			v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
			if err := v.Start(keys, viewerAddr); err != nil {
				t.Fatal(err)
			}
			v.Stream("audio").Bind(src, audioFormat, nil)
			v.Stream("audio").Write(src.packet(base, 0, "s"))
			reporting = append(reporting, v)
			time.Sleep(70 * time.Millisecond)
		}
		count := func(v *Viewer) uint32 {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.Stream("audio").rtcpIndex
		}
		last, at := map[*Viewer]uint32{}, map[*Viewer]time.Time{}
		for _, v := range reporting {
			last[v] = count(v)
		}
		for range 1200 { // a minute
			time.Sleep(reportTick)
			synctest.Wait()
			for i, v := range reporting {
				n := count(v)
				if n == last[v] {
					continue
				}
				if n != last[v]+1 {
					t.Fatalf("viewer %d got %d reports in one tick", i, n-last[v])
				}
				if gap := time.Since(at[v]); !at[v].IsZero() && (gap < reportInterval/2 || gap > 3*reportInterval/2) {
					t.Errorf("viewer %d got a report %v after the last", i, gap)
				}
				last[v], at[v] = n, time.Now()
			}
		}
		for i, v := range reporting {
			if at[v].IsZero() {
				t.Errorf("viewer %d got no report", i)
			}
			v.Stop()
		}
		time.Sleep(2 * reportInterval)
		synctest.Wait()
		sh := plane.shards[0]
		sh.owner.Lock()
		if n := sh.reports.count; n != 0 {
			t.Errorf("%d viewers are still in the wheel", n)
		}
		sh.owner.Unlock()
		_ = plane.Close()
	})
}

// Viewers are spread over the shards, and leave them.
func TestPlacement(t *testing.T) {
	plane := NewPlane(discard, nowhere{}, nowhere{}, nowhere{})
	defer plane.Close()
	var viewers []*Viewer
	for range 30 {
		viewers = append(viewers, plane.NewViewer(ViewerConfig{Streams: defaultStreams()}))
	}
	counts := func() string {
		return fmt.Sprint(plane.shards[0].viewers.Load(), plane.shards[1].viewers.Load(), plane.shards[2].viewers.Load())
	}
	if got := counts(); got != "10 10 10" {
		t.Errorf("got %s viewers, want 10 in each shard", got)
	}
	for _, v := range viewers {
		v.Stop()
		v.Stop()
	}
	if got := counts(); got != "0 0 0" {
		t.Errorf("got %s viewers after all left", got)
	}
}

func TestLoadMeter(t *testing.T) {
	at := time.Unix(1000, 0)
	var m loadMeter
	if got := m.load(at); got != (Load{}) {
		t.Errorf("got %+v of a shard that did nothing", got)
	}
	for range 100 { // 4 ms of every 10
		m.worked(at, at.Add(4*time.Millisecond))
		m.waited(3 * time.Millisecond)
		at = at.Add(10 * time.Millisecond)
	}
	m.waited(70 * time.Millisecond)
	if got := m.load(at).Delay; got != 70*time.Millisecond {
		t.Errorf("got a delay of %v, want 70ms", got)
	}
	got := m.load(at.Add(time.Millisecond))
	if got.Busy < 0.39 || got.Busy > 0.41 {
		t.Errorf("got a busy share of %v, want 0.4", got.Busy)
	}
	if got := m.load(at.Add(5 * time.Second)); got.Busy != 0 || got.Delay != 0 {
		t.Errorf("got %+v long after the work", got)
	}
}

// A shard that does not get on shows what waits for it.
func TestPlaneLoadOfStalledShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(discard, nowhere{}) // nobody does the shard's work
		v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
		v.Stream("audio").Write(newTrack(48000).packet(base, 0, "waits"))
		time.Sleep(300 * time.Millisecond)
		if got := plane.Load().Delay; got != 300*time.Millisecond {
			t.Errorf("got a delay of %v, want 300ms", got)
		}
		_ = plane.Close()
	})
}

func TestPlaneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far, video, _ := watching(t)
		far.mu.Lock()
		far.fail = syscall.EAGAIN
		far.mu.Unlock()
		v.Stream("video").Write(video.packet(base+1, 3000, "held"))
		time.Sleep(5 * holdTime)
		synctest.Wait()
		got := plane.Load()
		if got.Dropped != 1 {
			t.Errorf("got %d dropped, want 1", got.Dropped)
		}
		if got.Delay < holdTime || got.Delay > 2*holdTime {
			t.Errorf("got a delay of %v, want that of a packet held back", got.Delay)
		}
		_ = plane.Close()
	})
}
