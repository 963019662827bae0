package egress

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A picture that a viewer is moved on to follows at once what was shown last,
// however much was left out, also after an earlier change between sources.
func TestTimestampOverASkipAfterAChangeOfLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		s := v.Stream("video")
		low, high := newTrack(90000), newTrack(90000)
		s.Bind(low, videoFormat, nil)
		s.Write(low.key(1<<16, 0, "low"))
		time.Sleep(900 * time.Millisecond)
		s.Unbind(low)
		var backlog []*Packet
		for n := range uint64(54) { // two packets a frame
			p := high.packet(1<<17+n, uint32(n/2)*3000, strings.Repeat("h", 1100))
			p.Marker = n%2 == 1
			backlog = append(backlog, p)
		}
		backlog[0].Key = true
		s.Bind(high, videoFormat, backlog)
		time.Sleep(paceTick)
		synctest.Wait()
		s.Write(high.key(1<<17+54, 27*3000, "key"))
		time.Sleep(time.Second)
		synctest.Wait()
		got := far.takeRTP(videoSSRC)
		n := len(got)
		if n < 3 || n > 30 || string(got[n-1].Payload) != "key" {
			t.Fatalf("got %d packets, want a few of the backlog and the keyframe", n)
		}
		if ticks := int32(got[n-1].Timestamp - got[n-2].Timestamp); ticks < 1 || ticks > 9000 {
			t.Errorf("the keyframe is %d ticks after what was sent before it, want it at once", ticks)
		}
		_ = plane.Close()
	})
}

// Two sources of one publisher share a clock: a picture of the second follows
// one of the first by the time between the two, however long each was under
// way. A clock that cannot be that of what comes is not believed.
func TestTimestampOverAChangeOfLayer(t *testing.T) {
	for _, c := range []struct {
		name string
		made time.Duration // the second picture, after the first, by the clocks
		want time.Duration // by what the viewer is told
	}{
		{"one clock", 40 * time.Millisecond, 40 * time.Millisecond},
		{"made before what was sent", -20 * time.Millisecond, 0},
		{"another publisher's clock", time.Hour, 90 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, v, far := start(t, gcm, defaultStreams())
				s := v.Stream("video")
				low, high := newTrack(90000), newTrack(90000)
				high.epoch = low.epoch.Add(-10 * time.Second) // its timestamps are ahead
				stamp := func(src *track, at time.Duration) uint32 {
					return uint32(int64(low.epoch.Add(at).Sub(src.epoch).Seconds() * 90000))
				}
				time.Sleep(time.Second)
				s.Bind(low, videoFormat, nil)
				// Both pictures are under way for some time.
				first := low.packet(1<<16, stamp(low, time.Second), "low")
				first.Key, first.Arrived = true, low.epoch.Add(time.Second+10*time.Millisecond)
				time.Sleep(10 * time.Millisecond)
				s.Write(first)
				time.Sleep(90 * time.Millisecond)
				s.Unbind(low)
				s.Bind(high, videoFormat, nil)
				second := high.packet(1<<17, stamp(high, time.Second+c.made), "high")
				second.Key, second.Arrived = true, time.Now()
				s.Write(second)
				got := far.takeRTP(videoSSRC)
				if len(got) != 2 || got[1].SequenceNumber != got[0].SequenceNumber+1 {
					t.Fatalf("got %v", got)
				}
				ticks := int32(got[1].Timestamp - got[0].Timestamp)
				if want := max(1, int32(c.want.Seconds()*90000)); ticks < want-2 || ticks > want+2 {
					t.Errorf("the second picture is %d ticks after the first, want %d", ticks, want)
				}
			})
		})
	}
}

// Hundreds of changes to and fro between two sources whose packets are under way
// for different times: what the viewer is told does not run away from the time
// gone by, and no step is much longer than the time between two pictures.
func TestTimestampsOverManyChanges(t *testing.T) {
	const changes, interval = 400, 40 * time.Millisecond
	for _, c := range []struct {
		name      string
		publisher int // of the second source; the first one's is 0
		delay     time.Duration
		longest   time.Duration // step
	}{
		{"layers of one publisher", 0, 60 * time.Millisecond, 110 * time.Millisecond},
		{"two publishers", 1, 60 * time.Millisecond, 50 * time.Millisecond},
		{"two publishers, one far behind", 1, 700 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, v, far := start(t, gcm, defaultStreams())
				s := v.Stream("video")
				sources := [2]*track{newTrack(90000), newTrack(90000)}
				sources[1].publisher, sources[1].delay = c.publisher, c.delay
				time.Sleep(time.Second)
				for i := range uint64(changes) {
					time.Sleep(interval)
					src := sources[i%2]
					stamp, _ := src.Expected(time.Now())
					if i > 0 {
						s.Unbind(sources[(i+1)%2])
					}
					s.Join(src, videoFormat, []*Packet{src.key(base+i, stamp, "k")})
				}
				got := far.takeRTP(videoSSRC)
				if len(got) != changes {
					t.Fatalf("got %d packets, want %d", len(got), changes)
				}
				elapsed := func(from, to int) time.Duration {
					return time.Duration(int32(got[to].Timestamp-got[from].Timestamp)) * time.Second / 90000
				}
				for i := 1; i < changes; i++ {
					if step := elapsed(i-1, i); step <= 0 || step > c.longest {
						t.Fatalf("change %d: the timestamp steps by %v", i, step)
					}
				}
				if off := elapsed(0, changes-1) - (changes-1)*interval; off.Abs() > c.delay {
					t.Errorf("after %d changes the timestamps are off by %v", changes, off)
				}
			})
		})
	}
}
