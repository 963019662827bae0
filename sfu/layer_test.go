package sfu

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// simulcast is a publisher of several layers. It numbers each anew, sends
// frames of one packet, 25 in a second, and keyframes on request only.
type simulcast struct {
	*Claim
	t      *testing.T
	rs     *Rooms
	layers map[string]*layer
	order  []string
}

// layer is one of them.
type layer struct {
	*source
	track     *Track
	size      size
	seq       uint16
	timestamp uint32
	padding   int
}

// vp8KeyOf is a keyframe of a size.
func vp8KeyOf(s size) []byte {
	b := []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a}
	b = binary.LittleEndian.AppendUint16(b, uint16(s.width))
	return binary.LittleEndian.AppendUint16(b, uint16(s.height))
}

// publishLayers is live with a keyframe on each layer, named "q" and so on.
func publishLayers(t *testing.T, rs *Rooms, sizes map[string]size, order ...string) *simulcast {
	t.Helper()
	p := &simulcast{t: t, rs: rs, layers: make(map[string]*layer), order: order}
	var err error
	if p.Claim, err = rs.Publish("r", "", ClaimConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for i, rid := range order {
		l := &layer{source: newSource(t), size: sizes[rid], seq: uint16(1000 * i), timestamp: uint32(1e6 * i)}
		cfg := TrackConfig{Kind: "video", Codec: vp8, SSRC: uint32(i + 1), RID: rid}
		if l.track, err = p.AddTrack(cfg, l); err != nil {
			t.Fatal(err)
		}
		p.layers[rid] = l
		l.key()
	}
	synctest.Wait()
	return p
}

func (l *layer) send(payload []byte) {
	l.seq++
	b := datagram(l.seq, l.timestamp, payload)
	b[1] |= 0x80 // marker
	l.write(b)
}

func (l *layer) key() { l.send(vp8KeyOf(l.size)) }

// run sends frames on some layers for a time.
func (p *simulcast) run(d time.Duration, rids ...string) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(40 * time.Millisecond)
		for _, rid := range p.order {
			l := p.layers[rid]
			l.timestamp += 3600
			if slices.Contains(rids, rid) {
				l.send(append([]byte{0x10, 0x01}, make([]byte, l.padding)...))
			}
		}
		synctest.Wait()
	}
}

func (p *simulcast) key(rid string) {
	p.layers[rid].key()
	synctest.Wait()
}

// requests counts the keyframe requests to a layer.
func (p *simulcast) requests(rid string) (n int) {
	for _, packet := range p.layers[rid].sent() {
		if _, ok := packet.(*rtcp.PictureLossIndication); ok {
			n++
		}
	}
	return n
}

func (p *simulcast) want(v *viewer, rid string) {
	p.t.Helper()
	synctest.Wait()
	if got, ok := v.from().(*Track); !ok || got.cfg.RID != rid {
		p.t.Errorf("got %+v, want layer %q", v.from(), rid)
	}
}

// three are sizes whose order is neither that of the names nor of the offer.
var three = map[string]size{"a": {640, 360}, "b": {1280, 720}, "c": {320, 180}}

func inLayers(t *testing.T, f func(p *simulcast)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		f(publishLayers(t, rs, three, "a", "b", "c"))
	})
}

// Who comes gets the largest layer, whatever its name and place.
func TestLayerBest(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		_, v := play(subscribe(t, rs, "r"))
		p.want(v, "b")
		info, _ := rs.Info("r")
		tracks := info.Publications[0].Tracks
		if len(tracks) != 1 || len(tracks[0].Layers) != 3 {
			t.Fatalf("got %+v", tracks)
		}
		for i, want := range []LayerInfo{{RID: "b", Width: 1280, Height: 720, Active: true}, {RID: "a", Width: 640, Height: 360, Active: true}, {RID: "c", Width: 320, Height: 180, Active: true}} {
			got := tracks[0].Layers[i]
			if got.FPS < 10 || got.FPS > 26 || got.Bitrate == 0 {
				t.Errorf("layer %s: %v frames/s, %d bit/s", got.RID, got.FPS, got.Bitrate)
			}
			got.FPS, got.Bitrate = 0, 0
			if got != want {
				t.Errorf("layer %d: got %+v, want %+v", i, got, want)
			}
		}
		if got := tracks[0].Stats.Packets; got != 3*26 {
			t.Errorf("got %d packets in all, want %d", got, 3*26)
		}
	})
}

// A selected layer is changed to with its next keyframe, which is asked for;
// until then the old one goes on.
func TestLayerSelect(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, rs, "r")
		_, v := play(s)
		asked := p.requests("c")
		if err := s.Select(Selection{RID: "c"}); err != nil {
			t.Fatal(err)
		}
		p.run(time.Second, "a", "b", "c")
		p.want(v, "b")
		before := len(v.packets())
		if p.requests("c") == asked {
			t.Error("no keyframe was asked for")
		}
		if before < 25 {
			t.Errorf("the old layer stopped: %d packets", before)
		}
		p.key("c")
		p.want(v, "c")
		got := v.packets()
		if len(got) != 1 || !got[0].Key {
			t.Fatalf("got %d packets of the new layer, want its keyframe", len(got))
		}
		p.run(200*time.Millisecond, "a", "b", "c")
		if got := v.seqs(); len(got) != 6 || got[5] != p.layers["c"].seq {
			t.Errorf("got %v", got)
		}
		// And back to what the gateway thinks best.
		if err := s.Select(Selection{}); err != nil {
			t.Fatal(err)
		}
		p.key("b")
		p.want(v, "b")
		if _, selected := s.Layers(); selected != "b" {
			t.Errorf("told of %q", selected)
		}
	})
}

func TestLayerSelectLimits(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, rs, "r")
		_, v := play(s)
		for _, c := range []struct {
			want Selection
			rid  string
		}{
			{Selection{MaxWidth: 1000}, "a"},
			{Selection{MaxHeight: 180}, "c"},
			{Selection{MaxWidth: 4000, MaxHeight: 4000}, "b"},
			{Selection{RID: "a", MaxHeight: 360}, "a"},
		} {
			if err := s.Select(c.want); err != nil {
				t.Fatalf("%+v: %v", c.want, err)
			}
			for _, rid := range p.order {
				p.key(rid)
			}
			p.want(v, c.rid)
		}
		for _, want := range []Selection{{RID: "x"}, {MaxWidth: 100}, {RID: "b", MaxHeight: 360}} {
			wantErr(t, "select", s.Select(want), ErrNoLayer)
		}
		p.want(v, "a")
		p.run(2*time.Second, "a", "b")
		wantErr(t, "a silent layer", s.Select(Selection{RID: "c"}), ErrNoLayer)
		p.Close()
		wantErr(t, "after the end", s.Select(Selection{RID: "a"}), ErrNotLive)
		if err := s.Select(Selection{}); err != nil {
			t.Errorf("automatic: %v", err)
		}
		s.Close()
		wantErr(t, "a viewer that left", s.Select(Selection{}), ErrClosed)
	})
}

// A layer that stops gives its viewers to the next one within two seconds, and
// gets them back.
func TestLayerStops(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		_, v := play(subscribe(t, rs, "r"))
		p.want(v, "b")
		p.run(layerSilence+surveyInterval+80*time.Millisecond, "a", "c")
		p.want(v, "a")
		if got := v.packets(); len(got) > 0 && got[0].Key {
			t.Error("the next layer was shown from an old keyframe before a new one was waited for")
		}
		if p.requests("a") == 0 {
			t.Error("no keyframe was asked for")
		}
		p.run(answerTime+40*time.Millisecond, "a", "c") // none comes: the old one is better than nothing
		if got := v.packets(); len(got) == 0 || !got[0].Key {
			t.Error("the next layer does not begin with its keyframe")
		}
		info, _ := rs.Info("r")
		for _, l := range info.Publications[0].Tracks[0].Layers {
			if l.Active != (l.RID != "b") {
				t.Errorf("layer %s: active is %v", l.RID, l.Active)
			}
		}
		p.run(time.Second, "a", "b", "c")
		p.want(v, "a")
		p.key("b")
		p.want(v, "b")
		// Nothing comes of any: the viewer stays where it is.
		p.run(5 * time.Second)
		p.want(v, "b")
	})
}

// A viewer of a selected layer that stops gets the next one below.
func TestLayerSelectedStops(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, rs, "r")
		_, v := play(s)
		if err := s.Select(Selection{RID: "a"}); err != nil {
			t.Fatal(err)
		}
		p.key("a")
		p.want(v, "a")
		p.run(2*time.Second, "b", "c")
		p.want(v, "c")
		p.run(time.Second, "a", "b", "c")
		p.key("a")
		p.want(v, "a")
	})
}

// A layer whose source ends is gone at once.
func TestLayerEnds(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		_, v := play(subscribe(t, rs, "r"))
		p.layers["b"].close()
		p.want(v, "a")
		if info, _ := rs.Info("r"); len(info.Publications[0].Tracks[0].Layers) != 2 {
			t.Errorf("got %+v", info.Publications[0].Tracks[0].Layers)
		}
		// It comes back with another SSRC.
		l := p.layers["b"]
		l.source = newSource(t)
		if _, err := p.AddTrack(TrackConfig{Kind: "video", Codec: vp8, SSRC: 9, RID: "b"}, l); err != nil {
			t.Fatal(err)
		}
		l.seq = 7
		p.key("b")
		p.run(surveyInterval+80*time.Millisecond, "a", "b", "c")
		p.key("b")
		p.want(v, "b")
	})
}

// A publisher who obeys no keyframe request and has stopped making keyframes on
// the selected layer: after two groups of pictures the selection is void.
func TestLayerSelectionGivenUp(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(3*time.Second, "a", "b", "c")
		p.key("c") // 3 s after the first
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, rs, "r")
		_, v := play(s)
		if err := s.Select(Selection{RID: "c"}); err != nil {
			t.Fatal(err)
		}
		p.run(6*time.Second, "a", "b", "c")
		p.key("c")
		p.want(v, "b")
		if s.selection != (Selection{}) {
			t.Errorf("the selection is still %+v", s.selection)
		}
	})
}

// Where the size cannot be read, the bit rate ranks.
func TestLayerRankByRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		p := publishLayers(t, rs, nil, "x", "y")
		p.layers["x"].padding, p.layers["y"].padding = 100, 300
		p.run(3*time.Second, "x", "y")
		_, v := play(subscribe(t, rs, "r"))
		p.want(v, "y")
		p.layers["x"].padding = 310 // hardly more: no reason to change
		p.run(4*time.Second, "x", "y")
		p.key("x")
		p.want(v, "y")
	})
}

// LayersChanged comes when there is something to tell, and not too often.
func TestLayersChanged(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		told := make(chan string, 64)
		var s *Subscription
		s, err := rs.Subscribe("r", "", SubscriptionConfig{LayersChanged: func() {
			layers, selected := s.Layers()
			for _, l := range layers {
				if !l.Active {
					selected += " -" + l.RID
				}
			}
			told <- selected
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		play(s)
		synctest.Wait()
		p.run(3*time.Second, "a", "b", "c")
		if err := s.Select(Selection{RID: "c"}); err != nil {
			t.Fatal(err)
		}
		p.key("c")
		p.run(3*time.Second, "b", "c")
		close(told)
		var got []string
		for what := range told {
			got = append(got, what)
		}
		if len(got) > 8 {
			t.Errorf("told %d times in 6 s", len(got))
		}
		got = slices.Compact(got) // bit rates are told of, too
		if !slices.Equal(got, []string{"b", "c", "c -a"}) {
			t.Errorf("told %q", got)
		}
	})
}

// PLIs of all viewers are merged for each layer: spec row WHEP-PLAY-02.
func TestLayerRequestsAreMerged(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		before := p.requests("c")
		for range 50 {
			s := subscribe(t, rs, "r")
			play(s)
			if err := s.Select(Selection{RID: "c"}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			p.run(500*time.Millisecond, "a", "b", "c")
		}
		if got := p.requests("c") - before; got < 1 || got > 4 {
			t.Errorf("got %d requests in 1.5 s, want at most 4", got)
		}
	})
}

// Nothing of that leaks or panics when layers come and go in any order.
func TestLayerChurn(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		s := subscribe(t, rs, "r")
		_, v := play(s)
		for n := range 20 {
			rid := p.order[n%3]
			l := p.layers[rid]
			l.close()
			synctest.Wait()
			l.source = newSource(t)
			if _, err := p.AddTrack(TrackConfig{Kind: "video", Codec: vp8, SSRC: uint32(100 + n), RID: rid}, l); err != nil {
				t.Fatal(err)
			}
			if err := s.Select(Selection{RID: p.order[(n+1)%3]}); err != nil && !errors.Is(err, ErrNoLayer) {
				t.Fatal(err)
			}
			p.key(rid)
			p.run(100*time.Millisecond, p.order...)
		}
		if !v.bound() {
			t.Error("the viewer gets nothing any more")
		}
	})
}
