package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// socketBuffer is room for a burst of incoming packets and of outgoing ones.
const socketBuffer = 4 << 20

const maxOffer = 1 << 20

// forwarder is one broadcast: whoever published last, and its viewers.
type forwarder struct {
	api *webrtc.API
	mux *ice.UDPMuxDefault

	mu        sync.Mutex // guards what follows
	last      int        // number of the newest session
	sessions  map[string]*webrtc.PeerConnection
	tracks    map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP
	publisher *webrtc.PeerConnection
	video     webrtc.SSRC // of the publisher; 0: none yet
}

// newForwarder makes a forwarder that owns the socket.
func newForwarder(socket *net.UDPConn) (*forwarder, error) {
	if err := errors.Join(socket.SetReadBuffer(socketBuffer), socket.SetWriteBuffer(socketBuffer)); err != nil {
		return nil, fmt.Errorf("naive: socket buffers: %w", err)
	}
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		return nil, fmt.Errorf("naive: codecs: %w", err)
	}
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		return nil, fmt.Errorf("naive: interceptors: %w", err)
	}
	f := &forwarder{
		mux:      ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket}),
		sessions: map[string]*webrtc.PeerConnection{},
		tracks:   map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP{},
	}
	settings := webrtc.SettingEngine{}
	settings.SetICEUDPMux(f.mux)
	settings.SetIncludeLoopbackCandidate(true)
	f.api = webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	return f, nil
}

func (f *forwarder) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip", func(w http.ResponseWriter, r *http.Request) { f.open(w, r, f.publish) })
	mux.HandleFunc("POST /whep", func(w http.ResponseWriter, r *http.Request) { f.open(w, r, f.play) })
	mux.HandleFunc("DELETE /session/{id}", f.remove)
	return mux
}

// open answers an offer. Prepare gives the connection its tracks.
func (f *forwarder) open(w http.ResponseWriter, r *http.Request, prepare func(*webrtc.PeerConnection) error) {
	offer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pc, err := f.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	id := f.add(pc)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			f.askKeyframe()
		case webrtc.PeerConnectionStateFailed:
			f.end(id)
		default:
		}
	})
	answer, err := negotiate(pc, string(offer), prepare)
	if err != nil {
		f.end(id)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/session/"+id)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

// negotiate returns the answer with all candidates in it.
func negotiate(pc *webrtc.PeerConnection, offer string, prepare func(*webrtc.PeerConnection) error) (string, error) {
	if err := prepare(pc); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// publish makes what comes from the connection what viewers see.
func (f *forwarder) publish(pc *webrtc.PeerConnection) error {
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String(), "naive")
		if err != nil {
			return
		}
		f.mu.Lock()
		f.tracks[remote.Kind()] = local
		f.publisher = pc
		if remote.Kind() == webrtc.RTPCodecTypeVideo {
			f.video = remote.SSRC()
		}
		f.mu.Unlock()
		buf := make([]byte, 1500)
		for {
			n, _, err := remote.Read(buf)
			if err != nil {
				return
			}
			// One viewer's error must not end the broadcast of the others.
			_, _ = local.Write(buf[:n])
		}
	})
	return nil
}

// play adds the tracks that there are.
func (f *forwarder) play(pc *webrtc.PeerConnection) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, track := range f.tracks {
		sender, err := pc.AddTrack(track)
		if err != nil {
			return err
		}
		go f.listen(sender) // ends when its connection is closed
	}
	return nil
}

// listen passes a viewer's picture loss on. The interceptors see the RTCP of
// a viewer, and answer its NACKs, only as long as somebody reads it.
func (f *forwarder) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				f.askKeyframe()
			}
		}
	}
}

// askKeyframe asks the publisher, if one is there.
func (f *forwarder) askKeyframe() {
	f.mu.Lock()
	pc, ssrc := f.publisher, f.video
	f.mu.Unlock()
	if pc == nil || ssrc == 0 {
		return
	}
	// It fails when the publisher is leaving, and then nobody needs a keyframe.
	_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}})
}

func (f *forwarder) add(pc *webrtc.PeerConnection) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	id := strconv.Itoa(f.last)
	f.sessions[id] = pc
	return id
}

// end closes a session and tells whether there was one.
func (f *forwarder) end(id string) bool {
	f.mu.Lock()
	pc := f.sessions[id]
	delete(f.sessions, id)
	if pc != nil && pc == f.publisher {
		f.publisher, f.video = nil, 0
		clear(f.tracks)
	}
	f.mu.Unlock()
	if pc == nil {
		return false
	}
	_ = pc.Close()
	return true
}

func (f *forwarder) remove(w http.ResponseWriter, r *http.Request) {
	if !f.end(r.PathValue("id")) {
		http.NotFound(w, r)
	}
}

// Close ends all sessions and closes the socket.
func (f *forwarder) Close() error {
	f.mu.Lock()
	ids := make([]string, 0, len(f.sessions))
	for id := range f.sessions {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	for _, id := range ids {
		f.end(id)
	}
	return f.mux.Close()
}
