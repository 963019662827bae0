package sfu

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// studio is a publisher with a camera and a microphone whose clock is off.
type studio struct {
	start      time.Time
	clockOff   time.Duration // of its NTP clock
	drift      float64       // of its clocks, seconds per second
	audioDelay time.Duration // from capture to arrival
	videoDelay time.Duration
	timing     *timing
	a, v       *trackTiming
}

const (
	audioRate, videoRate   = 48000, 90000
	audioFirst, videoFirst = math.MaxUint32 - 1000, 5 // timestamps of the moment start
)

func newStudio() *studio {
	s := &studio{start: time.Now()}
	s.timing = newTiming(s.start)
	s.a, s.v = s.timing.newTrack(audioRate), s.timing.newTrack(videoRate)
	return s
}

// rtp is the timestamp that the publisher gives to a moment.
func (s *studio) rtp(at time.Duration, first, rate uint32) uint32 {
	return first + uint32(int64(at.Seconds()*(1+s.drift)*float64(rate)))
}

func (s *studio) ntp(at time.Duration) uint64 {
	shown := s.start.Add(s.clockOff + at + time.Duration(float64(at)*s.drift))
	return uint64(shown.Unix()+2208988800)<<32 | uint64(shown.Nanosecond())<<32/1e9
}

func (s *studio) media(at time.Duration) {
	s.a.arrived(s.rtp(at-s.audioDelay, audioFirst, audioRate), s.start.Add(at))
	s.v.arrived(s.rtp(at-s.videoDelay, videoFirst, videoRate), s.start.Add(at))
}

func (s *studio) report(t *trackTiming, at, delay time.Duration) {
	first, rate := uint32(audioFirst), uint32(audioRate)
	if t == s.v {
		first, rate = videoFirst, videoRate
	}
	t.senderReport(s.ntp(at), s.rtp(at, first, rate), s.start.Add(at+delay))
}

// captured is when, by what viewers are told, that was captured which belongs
// to the moment at.
func (s *studio) captured(t *testing.T, at time.Duration) (a, v time.Duration) {
	t.Helper()
	read := func(tt *trackTiming, first uint32) time.Duration {
		got, ok := tt.clock(s.start.Add(at))
		if !ok {
			t.Fatalf("no clock at %v", at)
		}
		near := s.rtp(at, first, uint32(tt.rate))
		return at + time.Duration(float64(int32(got-near))/tt.rate*float64(time.Second))
	}
	return read(s.a, audioFirst), read(s.v, videoFirst)
}

func near(t *testing.T, what string, got, want, within time.Duration) {
	t.Helper()
	if abs(got-want) > within {
		t.Errorf("%s: got %v, want %v within %v", what, got, want, within)
	}
}

func TestClockNeedsMedia(t *testing.T) {
	s := newStudio()
	if _, ok := s.a.clock(s.start); ok {
		t.Error("a clock before the first packet")
	}
}

func TestClockByArrival(t *testing.T) {
	s := newStudio()
	s.audioDelay, s.videoDelay = 20*time.Millisecond, 50*time.Millisecond
	for at := time.Duration(0); at < 20*time.Second; at += 20 * time.Millisecond {
		s.media(at)
	}
	a, v := s.captured(t, 20*time.Second)
	near(t, "audio", a, 20*time.Second-20*time.Millisecond, 2*time.Millisecond)
	near(t, "video", v, 20*time.Second-50*time.Millisecond, 2*time.Millisecond)
}

// The least delayed packet counts, not the last.
func TestClockByArrivalIgnoresJitter(t *testing.T) {
	s := newStudio()
	rng := rand.New(rand.NewPCG(1, 2))
	for at := time.Duration(0); at < 20*time.Second; at += 20 * time.Millisecond {
		delay := time.Duration(rng.Int64N(int64(80 * time.Millisecond)))
		s.v.arrived(s.rtp(at, videoFirst, videoRate), s.start.Add(at+delay))
		s.a.arrived(s.rtp(at, audioFirst, audioRate), s.start.Add(at))
	}
	_, v := s.captured(t, 20*time.Second)
	near(t, "video", v, 20*time.Second, 5*time.Millisecond)
}

func TestClockByReports(t *testing.T) {
	cases := []struct {
		name     string
		clockOff time.Duration
		drift    float64
	}{
		{"right clock", 0, 0},
		{"seven hours ahead", 7 * time.Hour, 0},
		{"three years behind", -3 * 365 * 24 * time.Hour, 0},
		{"slow", 0, -100e-6},
		{"fast", time.Hour, 100e-6},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newStudio()
			s.clockOff, s.drift = c.clockOff, c.drift
			s.audioDelay, s.videoDelay = 20*time.Millisecond, 120*time.Millisecond // encoding takes long
			rng := rand.New(rand.NewPCG(3, 4))
			var last time.Duration
			for at := time.Duration(0); at < 10*time.Minute; at += 20 * time.Millisecond {
				s.media(at)
				if at%time.Second == 500*time.Millisecond {
					delay := 10*time.Millisecond + time.Duration(rng.Int64N(int64(20*time.Millisecond)))
					s.report(s.a, at, delay)
					s.report(s.v, at, delay)
				}
				if at > 30*time.Second && at%time.Second == 0 {
					a, v := s.captured(t, at)
					near(t, "lips against sound", v, a, 5*time.Millisecond)
					near(t, "delay", at-a, 10*time.Millisecond, 25*time.Millisecond)
					if t.Failed() {
						t.Fatalf("at %v", at)
					}
					last = at
				}
			}
			if last == 0 {
				t.Fatal("nothing was compared")
			}
		})
	}
}

// Lips and sound stay together also while only one track has a report, and no
// report makes what viewers are told jump.
func TestClockChangesOverSmoothly(t *testing.T) {
	s := newStudio()
	s.audioDelay, s.videoDelay = 20*time.Millisecond, 100*time.Millisecond
	var wasA, wasV time.Duration
	const step = 20 * time.Millisecond
	for at := time.Duration(0); at < 30*time.Second; at += step {
		s.media(at)
		if at == 2*time.Second {
			s.report(s.a, at, time.Millisecond)
		}
		if at == 6*time.Second {
			s.report(s.v, at, time.Millisecond)
		}
		a, v := s.captured(t, at)
		if at > 0 {
			near(t, "step of audio", a-wasA, step, time.Millisecond)
			near(t, "step of video", v-wasV, step, time.Millisecond)
		}
		if at == 6*time.Second {
			near(t, "both still by arrival", a-v, 80*time.Millisecond, 5*time.Millisecond)
		}
		wasA, wasV = a, v
	}
	near(t, "in the end by reports", wasA, wasV, time.Millisecond)
}

func TestClockSurvivesStrangeReports(t *testing.T) {
	s := newStudio()
	second := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for n := range 10 {
		s.media(second(n))
	}
	s.report(s.a, second(9), 0)
	s.report(s.v, second(9), 0)
	s.v.senderReport(0, 1, s.start.Add(second(9)))                    // no NTP clock
	s.v.senderReport(s.ntp(second(9)), 1<<31, s.start.Add(second(9))) // another stream's timestamp
	s.report(s.v, second(10), 4*time.Second)                          // one that was stuck
	a, v := s.captured(t, second(30))
	near(t, "audio", a, second(30), 5*time.Millisecond)
	near(t, "video", v, second(30), 5*time.Millisecond)

	s.clockOff = -time.Hour // set back
	for n := range 5 {
		s.media(second(31 + n))
		s.report(s.a, second(31+n), 0)
		s.report(s.v, second(31+n), 0)
	}
	a, v = s.captured(t, second(40))
	near(t, "audio after the step", a, second(40), 5*time.Millisecond)
	near(t, "video after the step", v, second(40), 5*time.Millisecond)
	s.clockOff = time.Hour // and forth
	for n := range 2 {
		s.media(second(41 + n))
		s.report(s.a, second(41+n), 0)
		s.report(s.v, second(41+n), 0)
	}
	a, v = s.captured(t, second(50))
	near(t, "audio after the second step", a, second(50), 5*time.Millisecond)
	near(t, "video after the second step", v, second(50), 5*time.Millisecond)
}

func TestClockOfANewNumbering(t *testing.T) {
	s := newStudio()
	s.media(0)
	s.v.arrived(123456789, s.start.Add(time.Second))
	if got, _ := s.v.clock(s.start.Add(2 * time.Second)); got != 123456789+videoRate {
		t.Errorf("got %d", got)
	}
}

// A publisher whose timestamps begin anew has the report of the old ones no
// longer: what viewers are told follows the packets until the next.
func TestClockOfANewNumberingAfterReports(t *testing.T) {
	for name, jump := range map[string]uint32{"ahead": 1 << 30, "back": 1 << 31, "by eleven seconds": 11 * videoRate} {
		t.Run(name, func(t *testing.T) {
			s := newStudio()
			s.audioDelay, s.videoDelay = 20*time.Millisecond, 100*time.Millisecond
			media := func(at time.Duration, jump uint32) {
				s.a.arrived(s.rtp(at-s.audioDelay, audioFirst, audioRate), s.start.Add(at))
				s.v.arrived(s.rtp(at-s.videoDelay, videoFirst+jump, videoRate), s.start.Add(at))
			}
			media(0, 0)
			s.report(s.a, 0, 0)
			s.report(s.v, 0, 0)
			told := func(at time.Duration) time.Duration {
				t.Helper()
				got, ok := s.v.clock(s.start.Add(at))
				if !ok {
					t.Fatal("no clock")
				}
				return s.v.ticks(int32(got - s.rtp(at, videoFirst+jump, videoRate)))
			}
			media(time.Second, jump)
			near(t, "by arrival", told(time.Second), -s.videoDelay, time.Millisecond)
			s.v.senderReport(s.ntp(2*time.Second), s.rtp(2*time.Second, videoFirst+jump, videoRate), s.start.Add(2*time.Second))
			near(t, "by the next report", told(20*time.Second), 0, time.Millisecond)
			a, _ := s.captured(t, 20*time.Second)
			near(t, "sound", a, 20*time.Second, time.Millisecond)
		})
	}
}

// A track that has ended holds nobody back from reports.
func TestClockForgetsEndedTracks(t *testing.T) {
	s := newStudio()
	s.media(0)
	s.timing.drop(s.v)
	s.report(s.a, time.Second, 0)
	if !s.timing.synced() {
		t.Error("waits for a track that is gone")
	}
}

func FuzzSenderReport(f *testing.F) {
	f.Add(uint64(1)<<63, uint32(7), int64(5), uint32(9))
	f.Fuzz(func(t *testing.T, ntp uint64, rtp uint32, after int64, next uint32) {
		s := newStudio()
		s.media(0)
		at := s.start.Add(time.Duration(after % int64(time.Hour)))
		s.a.senderReport(ntp, rtp, at)
		s.v.senderReport(ntp+uint64(next)<<32, next, at)
		s.v.senderReport(^ntp, rtp, at)
		s.v.arrived(next, at)
		if _, ok := s.v.clock(at); !ok {
			t.Error("no clock")
		}
	})
}
