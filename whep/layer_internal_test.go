package whep

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/sfu"
)

// layerSource is a layer of one keyframe, and then nothing.
type layerSource struct {
	first sync.Once
	done  chan struct{}
}

func (s *layerSource) Read(b []byte) (n int, err error) {
	s.first.Do(func() {
		n = copy(b, "\x80\xe0\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x10\x10\x00\x00\x9d\x01\x2a\x80\x02\x68\x01")
	})
	if n > 0 {
		return n, nil
	}
	<-s.done
	return 0, io.EOF
}

func (*layerSource) WriteRTCP([]rtcp.Packet) error { return nil }

// TestLayersAreLookedUpForReadersOnly: a viewer without a reader costs nothing
// when layers change, and the first who reads is told how they are.
func TestLayersAreLookedUpForReadersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rooms := sfu.NewRooms(sfu.Config{}, slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		defer rooms.Close()
		defer close(done)
		claim, err := rooms.Publish("r", "", sfu.ClaimConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer claim.Close()
		add := func(rid string) {
			_, err := claim.AddTrack(sfu.TrackConfig{
				Kind: "video", Codec: webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000}, RID: rid,
			}, &layerSource{done: done})
			if err != nil {
				t.Fatal(err)
			}
		}
		add("h")
		if err := claim.Start(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		v := &viewer{video: 1}
		v.sub, err = rooms.Subscribe("r", "", sfu.SubscriptionConfig{OnAir: v.onAir, LayersChanged: v.tellLayers})
		if err != nil {
			t.Fatal(err)
		}
		defer v.sub.Close()
		v.sub.Start(nil, nil)
		time.Sleep(2 * time.Second)
		v.mu.Lock()
		layers, untold := v.layers, v.untold
		v.mu.Unlock()
		if layers != nil || !untold {
			t.Errorf("nobody reads: got %v, untold %t, want nothing, untold", layers, untold)
		}

		s := opened(t, v, EventLayers)
		got, _ := read(s, "")
		if len(got) != 1 || !strings.Contains(got[0], `"rid":"h","width":640,"height":360`) {
			t.Fatalf("the first reader got %q, want the layer h", got)
		}
		add("l")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, _ = read(s, ""); len(got) != 1 || !strings.Contains(got[0], `"rid":"l"`) {
			t.Errorf("the reader got %q, want the layer l", got)
		}
		if got, _ = read(opened(t, v, EventLayers), ""); len(got) != 1 || !strings.Contains(got[0], `"rid":"l"`) {
			t.Errorf("another reader got %q, want the layer l", got)
		}
	})
}
