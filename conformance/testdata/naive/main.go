// Command naive is a WHIP and WHEP forwarder as a tutorial would write it: stock
// pion, no rule of the standards but those that pion keeps by itself. The suite
// is run against it to see that it tells such a server from a conforming one.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// room forwards one publisher to any number of viewers.
type room struct{ audio, video *webrtc.TrackLocalStaticRTP }

type server struct {
	api   *webrtc.API
	next  atomic.Int64
	rooms sync.Map // by name
	peers sync.Map // by id
}

func (s *server) room(name string) *room {
	// Neither fails: the codecs are known.
	audio, _ := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "naive")
	video, _ := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "naive")
	r, _ := s.rooms.LoadOrStore(name, &room{audio, video})
	return r.(*room)
}

// publish forwards what comes.
func publish(pc *webrtc.PeerConnection, r *room) error {
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		out := r.audio
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			out = r.video
			go func() { // viewers who join need keyframes
				for range time.Tick(2 * time.Second) {
					if pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}}) != nil {
						return
					}
				}
			}()
		}
		for {
			packet, _, err := track.ReadRTP()
			if err != nil || out.WriteRTP(packet) != nil {
				return
			}
		}
	})
	return nil
}

// play sends both tracks, whatever the offer wants.
func play(pc *webrtc.PeerConnection, r *room) error {
	for _, track := range []*webrtc.TrackLocalStaticRTP{r.audio, r.video} {
		sender, err := pc.AddTrack(track)
		if err != nil {
			return err
		}
		go func() { // pion answers NACKs when somebody reads
			buf := make([]byte, 1500)
			for {
				if _, _, err := sender.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	return nil
}

// handler answers offers.
func (s *server) handler(attach func(*webrtc.PeerConnection, *room) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pc, err := s.api.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		offer, err := io.ReadAll(r.Body)
		if err == nil {
			err = attach(pc, s.room(r.PathValue("room")))
		}
		if err == nil {
			err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)})
		}
		if err != nil {
			_ = pc.Close()
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		answer, err := pc.CreateAnswer(nil)
		if err == nil {
			err = pc.SetLocalDescription(answer)
		}
		if err != nil {
			_ = pc.Close()
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		<-gathered
		id := fmt.Sprint(s.next.Add(1))
		s.peers.Store(id, pc)
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/session/"+id)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, pc.LocalDescription().SDP)
	}
}

func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	pc, ok := s.peers.LoadAndDelete(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	_ = pc.(*webrtc.PeerConnection).Close()
}

func main() {
	engine, registry, settings := &webrtc.MediaEngine{}, &interceptor.Registry{}, webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	_ = engine.RegisterDefaultCodecs() // fails for codecs that collide
	_ = webrtc.RegisterDefaultInterceptors(engine, registry)
	s := &server{api: webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))}
	http.HandleFunc("POST /whip/{room}", s.handler(publish))
	http.HandleFunc("POST /whep/{room}", s.handler(play))
	http.HandleFunc("DELETE /session/{id}", s.remove)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr()) // for whoever has started it
	log.Fatal(http.Serve(l, nil))
}
