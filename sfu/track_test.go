package sfu

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"

	"github.com/sluicemedia/sluice/egress"
)

// onAir is a publisher with one viewer, on air with keyframe number 100.
func onAir(t *testing.T, cfg TrackConfig) (*Rooms, *publisher, *viewer) {
	t.Helper()
	rs := newRooms(t, Config{})
	p := &publisher{src: newSource(t)}
	var err error
	if p.Claim, err = rs.Publish("r", "", ClaimConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if p.track, err = p.AddTrack(cfg, p.src); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	key := vp8Key
	if cfg.Codec.MimeType == h264.MimeType {
		key = []byte("\x78\x00\x02\x67s\x00\x02\x68p\x00\x02\x65i")
	}
	p.src.write(datagram(100, 1000, key))
	p.src.sync()
	a, v := play(subscribe(t, rs, "r"))
	if cfg.Kind == "audio" {
		return rs, p, a
	}
	return rs, p, v
}

func subscribe(t *testing.T, rs *Rooms, room string) *Subscription {
	t.Helper()
	s, err := rs.Subscribe(room, "", SubscriptionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestForwarding(t *testing.T) {
	rs, p, v := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
	p.src.write(datagram(101, 1000, vp8Delta))
	p.src.write(datagram(103, 4000, vp8Delta))
	p.src.write(datagram(103, 4000, vp8Delta)) // twice
	p.src.write(datagram(102, 4000, vp8Delta)) // late
	p.src.write(datagram(102, 4000, vp8Delta)) // and twice
	p.src.write([]byte("no RTP"))
	padding := datagram(104, 4000, []byte{0, 0, 3})
	padding[0] |= 0x20
	p.src.write(padding)
	p.src.sync()
	if got := v.seqs(); !slices.Equal(got, []uint16{100, 101, 103, 102, 104}) {
		t.Errorf("got %v", got)
	}
	last := v.packets()[4]
	if len(last.Payload) != 0 || last.Timestamp != 4000 {
		t.Errorf("padding: got %+v", last)
	}
	first := v.packets()[0]
	if !first.Key || first.Seq < 1<<16 || !bytes.Equal(first.Payload, vp8Key) || v.packets()[1].Key {
		t.Errorf("first: got %+v", first)
	}
	if p.track.Packet(first.Seq+2).Timestamp != 4000 || p.track.Packet(first.Seq+9) != nil {
		t.Error("retransmission cache has something else")
	}
	s := rs.Stats()
	if s.Packets != 5 || s.Duplicates != 2 || s.Malformed < 1 || s.Bytes != 12 || s.Lost != 0 {
		t.Errorf("stats: got %+v", s)
	}
	// Who joins gets it in order, from the keyframe on.
	_, late := play(subscribe(t, rs, "r"))
	if got := late.seqs(); !slices.Equal(got, []uint16{100, 101, 102, 103, 104}) {
		t.Errorf("backlog: got %v", got)
	}
	info, _ := rs.Info("r")
	if tr := info.Publications[0].Tracks; len(tr) != 1 || tr[0].Kind != "video" || tr[0].Codec != "VP8" || tr[0].Stats.Packets != 5 {
		t.Errorf("info: got %+v", tr)
	}
}

// What comes before Start reaches the viewers with the first packet after it.
func TestMediaBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
			t.Fatal(err)
		}
		_, v := play(subscribe(t, rs, "r"))
		p := publish(t, rs, "r", "", ClaimConfig{})
		p.src.write(datagram(1, 1, vp8Key))
		p.src.write(datagram(2, 1, vp8Delta))
		synctest.Wait()
		if v.bound() {
			t.Error("on air before Start")
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.src.write(datagram(3, 2, vp8Delta))
		synctest.Wait()
		if got := v.seqs(); !slices.Equal(got, []uint16{1, 2, 3}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestNewNumberingIsANewSource(t *testing.T) {
	rs, p, v := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
	p.src.write(datagram(40000, 77, vp8Key)) // held
	p.src.sync()
	if got := v.seqs(); !slices.Equal(got, []uint16{100}) {
		t.Errorf("a jump was believed at once: %v", got)
	}
	p.src.write(datagram(40001, 77, vp8Delta))
	p.src.sync()
	if got := v.seqs(); !slices.Equal(got, []uint16{40000, 40001}) || v.binds != 2 {
		t.Errorf("got %v after %d binds", got, v.binds)
	}
	_, late := play(subscribe(t, rs, "r"))
	if got := late.seqs(); !slices.Equal(got, []uint16{40000, 40001}) {
		t.Errorf("backlog: got %v", got)
	}
}

// The first packet of a keyframe may come after the rest of it.
func TestLateKeyframe(t *testing.T) {
	rs, p, v := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
	p.src.write(datagram(101, 2000, vp8Delta))
	p.src.write(datagram(103, 3000, []byte{0, 1}))
	p.src.write(datagram(104, 4000, vp8Delta))
	p.src.write(datagram(102, 3000, vp8Key))
	p.src.write(datagram(99, 900, vp8Key)) // an old one changes nothing
	p.src.sync()
	if got := v.packets(); !got[4].Key || got[5].Key {
		t.Errorf("keyframes: got %+v", got)
	}
	_, late := play(subscribe(t, rs, "r"))
	if got := late.seqs(); !slices.Equal(got, []uint16{102, 103, 104}) {
		t.Errorf("backlog: got %v", got)
	}
}

func TestParameterSetsOfTheirOwn(t *testing.T) {
	_, p, v := onAir(t, TrackConfig{Kind: "video", Codec: h264, SSRC: 7})
	for i, payload := range []string{"\x67s", "\x68p", "\x65i", "\x65j", "\x41d"} {
		p.src.write(datagram(uint16(101+i), 2000+uint32(i/4), []byte(payload)))
	}
	p.src.sync()
	var keys []bool
	for _, q := range v.packets() {
		keys = append(keys, q.Key)
	}
	if !slices.Equal(keys, []bool{true, true, false, false, false, false}) {
		t.Errorf("got %v", keys)
	}
	_, late := play(subscribe(t, p.room.rooms, "r"))
	if got := late.seqs(); !slices.Equal(got, []uint16{101, 102, 103, 104, 105}) {
		t.Errorf("backlog: got %v", got)
	}
}

// A publisher may send its parameter sets once only: they are repeated.
func TestParameterSetsAreRepeated(t *testing.T) {
	synctest.Test(t, testParameterSetsAreRepeated)
}

func testParameterSetsAreRepeated(t *testing.T) {
	rs, p, v := onAir(t, TrackConfig{Kind: "video", Codec: h264, SSRC: 7})
	p.src.write(datagram(101, 2000, []byte("\x41d")))
	p.src.write(datagram(103, 3000, []byte("\x7c\x85i"))) // IDR, two fragments
	p.src.write(datagram(104, 3000, []byte("\x7c\x45i")))
	p.src.write(datagram(102, 2500, []byte("\x41d"))) // late, from before
	p.src.write(datagram(105, 4000, []byte("\x41d")))
	p.src.write(datagram(104, 3000, []byte("\x7c\x45i")))
	p.src.sync()
	// One packet was put before 103, so that one and all after it move.
	if got := v.seqs(); !slices.Equal(got, []uint16{100, 101, 103, 104, 105, 102, 106}) {
		t.Errorf("got %v", got)
	}
	_, late := play(subscribe(t, rs, "r"))
	got := late.packets()
	if !slices.Equal(late.seqs(), []uint16{103, 104, 105, 106}) {
		t.Fatalf("backlog: got %v", late.seqs())
	}
	if !got[0].Key || got[1].Key || got[0].Timestamp != 3000 || got[0].Marker ||
		string(got[0].Payload) != "\x78\x00\x02\x67s\x00\x02\x68p" {
		t.Errorf("repeated: got %+v", got[0])
	}
	if p.track.Packet(got[0].Seq) != got[0] || p.track.Packet(got[1].Seq) != got[1] {
		t.Error("retransmission cache has something else")
	}
	if s := rs.Stats(); s.Packets != 6 || s.Duplicates != 1 || s.Lost != 0 || s.NACKs != 0 {
		t.Errorf("stats: got %+v", s)
	}
}

func TestHeaderExtensions(t *testing.T) {
	_, p, v := onAir(t, TrackConfig{Kind: "audio", Codec: opus, SSRC: 7, Extensions: map[uint8]egress.ExtensionKind{
		1: egress.ExtensionAudioLevel, 2: egress.ExtensionMID, 3: egress.ExtensionAbsCaptureTime,
		4: egress.ExtensionDependencyDescriptor, 14: egress.ExtensionTransportCC,
	}})
	b := datagram(101, 1, nil)
	b[0] |= 0x10
	b = append(b, 0xbe, 0xde, 0, 4, 0x10, 0x55, 0x20, 'm', 0xe1, 1, 2, 0x31, 7, 8, 0x40, 9, 0, 0, 0, 0)
	b = append(b, "opus"...)
	p.src.write(b)
	p.src.sync()
	for i := range b {
		b[i] = 0xff // the buffer is the source's
	}
	got := v.packets()
	q := got[len(got)-1]
	want := []egress.HeaderExtension{
		{Kind: egress.ExtensionAudioLevel, Value: []byte{0x55}}, {Kind: egress.ExtensionAbsCaptureTime, Value: []byte{7, 8}},
	}
	if string(q.Payload) != "opus" || len(q.Extensions) != 2 {
		t.Fatalf("got %+v", q)
	}
	for i, e := range q.Extensions {
		if e.Kind != want[i].Kind || !bytes.Equal(e.Value, want[i].Value) {
			t.Errorf("extension %d: got %+v, want %+v", i, e, want[i])
		}
	}
}

// Comfort noise comes with another payload type and must not be taken for the
// codec; its number is skipped, not missing.
func TestComfortNoise(t *testing.T) {
	_, p, v := onAir(t, TrackConfig{Kind: "audio", Codec: opus, SSRC: 7})
	b := datagram(101, 1, []byte{1})
	b[1] = comfortNoise
	p.src.write(b)
	p.src.sync()
	got := v.packets()
	if q := got[len(got)-1]; uint16(q.Seq) != 101 || len(q.Payload) != 0 {
		t.Errorf("got %+v", q)
	}
}

func TestFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
		p.src.write(datagram(103, 1000, vp8Delta))
		time.Sleep(reorderTime)
		synctest.Wait()
		sent := p.src.sent()
		if len(sent) != 1 {
			t.Fatalf("got %v", sent)
		}
		n, ok := sent[0].(*rtcp.TransportLayerNack)
		if !ok || n.MediaSSRC != 7 || n.SenderSSRC == 0 || len(n.Nacks) != 1 || !slices.Equal(n.Nacks[0].PacketList(), []uint16{101, 102}) {
			t.Fatalf("got %v", sent[0])
		}
		p.src.write(datagram(101, 1000, vp8Delta))
		p.src.write(datagram(102, 1000, vp8Delta))
		time.Sleep(10 * time.Second)
		if got := len(p.src.sent()); got != 1 {
			t.Errorf("asked again for what has come: %d", got)
		}
		if s := rs.Stats(); s.NACKs != 2 || s.Recovered != 2 || s.Lost != 0 {
			t.Errorf("stats: got %+v", s)
		}
		for range 50 {
			p.track.RequestKeyframe()
		}
		synctest.Wait()
		if sent = p.src.sent(); len(sent) != 2 {
			t.Fatalf("50 wishes became %v", sent[1:])
		}
		if _, ok := sent[1].(*rtcp.PictureLossIndication); !ok {
			t.Errorf("got %v", sent[1])
		}
		time.Sleep(requestRetry)
		synctest.Wait()
		if got := len(p.src.sent()); got != 3 {
			t.Errorf("no retry: %d sent", got)
		}
		p.src.write(datagram(104, 2000, vp8Key))
		time.Sleep(time.Minute)
		if got := rs.Stats().PLIs; got != 2 {
			t.Errorf("%d keyframe requests, want 2", got)
		}
	})
}

func TestNoFeedbackThatWasNotNegotiated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codec := vp8
		codec.RTCPFeedback = nil
		_, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: codec, SSRC: 7})
		p.src.write(datagram(104, 1000, vp8Delta))
		p.track.RequestKeyframe()
		time.Sleep(time.Minute)
		if sent := p.src.sent(); len(sent) != 0 {
			t.Errorf("got %v", sent)
		}
	})
}

// A publisher that obeys keyframe requests is asked for a new keyframe when the
// cached one is old; when it does not answer for once, the cache is as good.
func TestOldGroupOfAnObedientPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
		seq := uint16(100)
		write := func(payload []byte) {
			seq++
			p.src.write(datagram(seq, uint32(seq)*10, payload))
			synctest.Wait()
		}
		for range answersNeeded {
			time.Sleep(2 * probeGroup)
			_, v := play(subscribe(t, rs, "r"))
			if len(v.seqs()) == 0 {
				t.Error("no backlog while nothing is known")
			}
			synctest.Wait()
			write(vp8Key)
		}
		if got := rs.Stats().PLIs; got != answersNeeded {
			t.Fatalf("%d requests to learn from, want %d", got, answersNeeded)
		}
		time.Sleep(oldGroup / 2)
		write(vp8Delta)
		_, v := play(subscribe(t, rs, "r"))
		if len(v.seqs()) != 2 || rs.Stats().PLIs != answersNeeded {
			t.Error("a young group was not used")
		}
		time.Sleep(oldGroup)
		_, v = play(subscribe(t, rs, "r"))
		synctest.Wait()
		if len(v.seqs()) != 0 || rs.Stats().PLIs != answersNeeded+1 {
			t.Errorf("an old group: got %v, %d requests", v.seqs(), rs.Stats().PLIs)
		}
		write(vp8Key)
		if len(v.seqs()) != 1 || v.binds != 1 {
			t.Errorf("got %v after %d binds", v.seqs(), v.binds)
		}
		time.Sleep(oldGroup + 1)
		_, v = play(subscribe(t, rs, "r"))
		time.Sleep(answerTime)
		synctest.Wait()
		if len(v.seqs()) != 1 || v.binds != 2 {
			t.Errorf("not answered: got %v after %d binds", v.seqs(), v.binds)
		}
		_, v = play(subscribe(t, rs, "r"))
		if len(v.seqs()) != 1 {
			t.Error("no backlog though the publisher obeys no more")
		}
	})
}

// TestFanOutDoesNotAllocate: what a packet costs does not grow with viewers.
func TestFanOutDoesNotAllocate(t *testing.T) {
	for _, viewers := range []int{0, 100} {
		track, claim := unread(t)
		for range viewers {
			track.attach(&discard{}, egress.Format{}, nil, false)
		}
		b := datagram(1, 1, make([]byte, 1100))
		copy(b[12:], vp8Delta)
		seq := uint16(0)
		now := time.Now()
		track.receive(datagram(0, 0, vp8Key), now)
		n := testing.AllocsPerRun(1000, func() {
			seq++
			binary.BigEndian.PutUint16(b[2:], seq)
			track.receive(b, now)
		})
		if n > 0 {
			t.Errorf("%d viewers: %v allocations per packet, want less than one", viewers, n)
		}
		claim.Close()
	}
}

func BenchmarkFanOut(b *testing.B) {
	track, claim := unread(b)
	for range 1000 {
		track.attach(&discard{}, egress.Format{}, nil, false)
	}
	packet := datagram(1, 1, make([]byte, 1100))
	copy(packet[12:], vp8Delta)
	now := time.Now()
	b.ReportAllocs()
	seq := uint16(0)
	for b.Loop() {
		seq++
		binary.BigEndian.PutUint16(packet[2:], seq)
		track.receive(packet, now)
	}
	claim.Close()
}

// unread is a track of a live claim that nobody reads.
func unread(t testing.TB) (*Track, *Claim) {
	t.Helper()
	rs := NewRooms(Config{}, nopLog())
	t.Cleanup(rs.Close)
	c, err := rs.Publish("r", "", ClaimConfig{})
	if err != nil {
		t.Fatal(err)
	}
	track, err := newTrack(c, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return track, c
}

// discard is not empty, so that no two have the same address.
type discard struct{ _ byte }

func (*discard) Bind(egress.Source, egress.Format, []*egress.Packet) {}
func (*discard) Write(*egress.Packet)                                {}
func (*discard) Unbind(egress.Source)                                {}
func (*discard) Hold()                                               {}
func (*discard) Join(egress.Source, egress.Format, []*egress.Packet) {}

// FuzzTrack: no sequence of datagrams may make a track panic, break the order
// of its cache, or hand out a packet under two numbers.
func FuzzTrack(f *testing.F) {
	f.Add([]byte("\x00\x01\x67\x00\x02\x65\x00\x03\x41\x00\x02\x65"), uint8(codecH264))
	f.Add([]byte("\x00\x01\x10\xff\x01\x10\xff\x02\x10"), uint8(codecVP8))
	f.Fuzz(func(t *testing.T, b []byte, c uint8) {
		track, claim := unread(t)
		defer claim.Close()
		track.codec = codec(c % 6)
		track.params.codec = track.codec
		v := &viewer{}
		track.attach(v, egress.Format{}, nil, false)
		now := time.Now()
		for ; len(b) >= 3; b = b[3:] {
			now = now.Add(time.Millisecond)
			track.receive(datagram(binary.BigEndian.Uint16(b), uint32(b[2]), b[2:]), now)
			track.receive(b, now)
		}
		seen := make(map[uint64]*egress.Packet)
		for _, p := range v.packets() {
			if seen[p.Seq] != nil || p.Seq < 1<<16 {
				t.Fatalf("number %d twice, or too small", p.Seq)
			}
			seen[p.Seq] = p
			if again := track.Packet(p.Seq); again != nil && again != p {
				t.Fatalf("number %d is another packet now", p.Seq)
			}
		}
		group := track.cache.lend()
		for i, p := range group {
			if i == 0 && !p.Key || i > 0 && p.Seq <= group[i-1].Seq {
				t.Fatalf("cache out of order: %v", seqsOf(group))
			}
		}
	})
}

func TestAddTrackRefusals(t *testing.T) {
	rs := newRooms(t, Config{})
	c, err := rs.Publish("r", "", ClaimConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.AddTrack(TrackConfig{Kind: "data"}, newSource(t)); err == nil {
		t.Error("a track of neither kind was taken")
	}
	for range maxRunning {
		if _, err := c.AddTrack(TrackConfig{Kind: "audio", Codec: opus}, newSource(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.AddTrack(TrackConfig{Kind: "audio", Codec: opus}, newSource(t))
	wantErr(t, "one too many", err, ErrTooMany)
}

func TestClockOfATrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7})
		time.Sleep(time.Second)
		if got, ok := p.track.Clock(time.Now()); !ok || got != 1000+90000 {
			t.Errorf("by arrival: got %d, %v", got, ok)
		}
		p.track.SenderReport(1<<40, 1000+90000+45000, time.Now()) // half a second more
		time.Sleep(time.Minute)
		if got, _ := p.track.Clock(time.Now()); got != 1000+61*90000+45000 {
			t.Errorf("by report: got %d", got)
		}
	})
}

func TestCodecOf(t *testing.T) {
	for mime, want := range map[string]codec{
		"video/H264": codecH264, "video/H265": codecH265, "video/VP8": codecVP8, "video/vp9": codecVP9,
		"video/AV1": codecAV1, "video/theora": codecOther, "audio/opus": codecOther, "": codecOther,
	} {
		if got := codecOf(mime); got != want {
			t.Errorf("%q: got %d, want %d", mime, got, want)
		}
	}
}
