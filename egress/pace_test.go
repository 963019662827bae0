package egress

import (
	"testing"
	"time"
)

// epoch is where the tests of pure functions begin.
var epoch = time.Unix(1000, 0)

func TestRateControl(t *testing.T) {
	const media = 1e6
	ms := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }
	clean := func(sent int) linkReport {
		return linkReport{acknowledged: 3e6, received: 50, newest: ms(sent)}
	}
	with := func(r linkReport, change func(*linkReport)) linkReport {
		change(&r)
		return r
	}
	type step struct {
		at     int // ms
		report linkReport
		want   float64
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"slow start", []step{{100, clean(50), 6e6}, {200, clean(150), 9e6}}},
		{"no growth on packets sent before the last change", []step{{100, clean(50), 6e6}, {110, clean(60), 6e6}, {120, clean(100), 6e6}, {220, clean(101), 9e6}}},
		{"a queue that begins holds", []step{{100, with(clean(50), func(r *linkReport) { r.queued = 20 * time.Millisecond }), 4e6}}},
		{"a queue cuts below what came through", []step{
			{100, with(clean(50), func(r *linkReport) { r.queued = 41 * time.Millisecond }), 2.4e6},
			{200, clean(150), 2.4e6 * growSlow},
		}},
		{"what came through is no reason to go faster in a queue", []step{
			{100, with(clean(50), func(r *linkReport) { r.queued, r.acknowledged = 50*time.Millisecond, 50e6 }), 4e6},
		}},
		{"a queue of unknown rate halves", []step{
			{100, with(clean(50), func(r *linkReport) { r.queued, r.acknowledged = 50*time.Millisecond, 0 }), 2e6},
		}},
		{"never below the floor", []step{
			{100, with(clean(50), func(r *linkReport) { r.queued, r.acknowledged = time.Second, 1e5 }), floorFactor * media},
		}},
		{"a bad radio holds", []step{{100, with(clean(50), func(r *linkReport) { r.lost = 3 }), 4e6}}},
		{"one lost of many is nothing", []step{{100, with(clean(50), func(r *linkReport) { r.lost = 1 }), 6e6}}},
		{"a flood cuts", []step{{100, with(clean(50), func(r *linkReport) { r.lost = 10 }), 2.4e6}}},
		{"loss with a queue cuts", []step{
			{100, with(clean(50), func(r *linkReport) { r.lost, r.queued = 3, 20*time.Millisecond }), 2.4e6},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newRateControl(media, false, epoch)
			for i, s := range tc.steps {
				c.observe(s.report, ms(s.at))
				if d := c.rate - s.want; d < -1 || d > 1 {
					t.Errorf("step %d: got %.0f bit/s, want %.0f", i, c.rate, s.want)
				}
			}
		})
	}
}

func TestRateControlStart(t *testing.T) {
	for _, tc := range []struct{ media, want float64 }{
		{0, 4e6}, {0.8e6, 4e6}, {1.5e6, 4e6}, {4e6, 10e6}, {1e9, maxRate},
	} {
		if c := newRateControl(tc.media, true, epoch); c.rate != tc.want {
			t.Errorf("media of %.0f bit/s: got a start at %.0f, want %.0f", tc.media, c.rate, tc.want)
		}
	}
}

func TestRateControlWithoutReports(t *testing.T) {
	run := func(c rateControl, from, to time.Duration) rateControl {
		for at := from; at <= to; at += paceTick {
			c.tick(epoch.Add(at))
		}
		return c
	}
	blind := run(newRateControl(1e6, true, epoch), 0, 450*time.Millisecond)
	if want := 4e6 * growBlind * growBlind * growBlind * growBlind; blind.rate < want-1 || blind.rate > want+1 {
		t.Errorf("blind for 450 ms: got %.0f bit/s, want %.0f", blind.rate, want)
	}
	blind.missing(epoch.Add(time.Second))
	if half := 4e6 * growBlind * growBlind * growBlind * growBlind / 2; blind.rate < half-1 || blind.rate > half+1 {
		t.Errorf("after NACKs: got %.0f bit/s, want half, %.0f", blind.rate, half)
	}
	after := blind.rate
	blind.missing(epoch.Add(time.Second + blindInterval/2)) // the same queue, still
	if blind = run(blind, time.Second, time.Second+4*blindInterval); blind.rate < after*growSlow-1 || blind.rate > after*growSlow+1 {
		t.Errorf("400 ms after NACKs: got %.0f bit/s, want %.0f", blind.rate, after*growSlow)
	}

	quiet := run(newRateControl(1e6, false, epoch), 0, blindAfter-paceTick)
	if quiet.rate != 4e6 {
		t.Errorf("reports to be expected: got %.0f bit/s, want no growth before %v", quiet.rate, blindAfter)
	}
	if quiet = run(quiet, blindAfter, blindAfter+paceTick); quiet.rate <= 4e6 {
		t.Error("reports to be expected, none came: want growth as without")
	}
	quiet.observe(linkReport{received: 10, newest: epoch}, epoch.Add(time.Second))
	rate := quiet.rate
	quiet.missing(epoch.Add(2 * time.Second))
	if quiet = run(quiet, 2*time.Second, 3*time.Second); quiet.rate != rate {
		t.Errorf("a report came: got %.0f bit/s, want %.0f: neither time nor NACKs change it", quiet.rate, rate)
	}
}

func TestSendLog(t *testing.T) {
	ms := time.Millisecond
	l := &sendLog{}
	// Across the wrap of the numbers, 10 ms apart: 1000 bytes each is 800 kbit/s.
	for i := range 10 {
		l.sent(uint16(65530+i), 1000, epoch.Add(time.Duration(i)*10*ms))
	}
	feed := func(base uint16, reference uint32, arrivals ...time.Duration) (linkReport, bool) {
		t.Helper()
		raw, err := pionFeedback(base, reference, arrivals).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseTransportFeedback(raw)
		if err != nil {
			t.Fatal(err)
		}
		return l.report(f)
	}
	r, ok := feed(65530, 0xffffff, 0, 10*ms, -1, 30*ms)
	if !ok || r.received != 3 || r.lost != 1 || r.queued != 0 || !r.newest.Equal(epoch.Add(30*ms)) {
		t.Errorf("got %+v %v", r, ok)
	}
	if want := 2000 * 8 / 0.030; r.acknowledged < want-1 || r.acknowledged > want+1 {
		t.Errorf("got %.0f bit/s acknowledged, want %.0f", r.acknowledged, want)
	}
	if r, ok := feed(65530, 0xffffff, 0, 10*ms); ok {
		t.Errorf("told again: got %+v, want nothing", r)
	}
	// The reference time wraps; it is 64 ms later. All queue for 25 ms more.
	r, ok = feed(65534, 0, 1*ms, 11*ms, 21*ms)
	if !ok || r.received != 3 || r.queued != 25*ms {
		t.Errorf("got %+v %v, want a queue of 25 ms", r, ok)
	}
	if r, ok := feed(100, 1, 0); ok {
		t.Errorf("a number never sent: got %+v", r)
	}
}
