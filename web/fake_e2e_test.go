//go:build e2e

package web_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/web"
)

// fake is a gateway small enough to be bent at will: one publication, real media, and
// switches for what a test wants to go wrong.
type fake struct {
	url string
	api *webrtc.API
	// deaf makes the media socket lose everything, both ways.
	deaf *atomic.Bool

	mu       sync.Mutex
	token    string // "" lets everybody in
	refusal  *refusal
	sessions map[string]*fakeSession
	advice   any  // what it says of every session; nil: all is well
	dark     bool // viewers get the sound alone
	tracks   map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP
	ask      func() // asks the publisher for a keyframe
	requests []string
	number   int
}

type refusal struct {
	status int
	header map[string]string
	body   any
}

type fakeSession struct {
	pc    *webrtc.PeerConnection
	offer string
}

// lossyConn loses everything while deaf is set.
type lossyConn struct {
	net.PacketConn
	deaf *atomic.Bool
}

func (c lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.deaf.Load() {
			return n, addr, err
		}
	}
}

func (c lossyConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.deaf.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, addr)
}

func newFake(t *testing.T, more ...func(*http.ServeMux)) *fake {
	t.Helper()
	f := &fake{
		deaf:     new(atomic.Bool),
		sessions: make(map[string]*fakeSession),
		tracks:   make(map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP),
		ask:      func() {},
	}
	var lc net.ListenConfig
	socket, err := lc.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open the media socket: %v", err)
	}
	mux := webrtc.NewICEUDPMux(nil, lossyConn{PacketConn: socket, deaf: f.deaf})
	var settings webrtc.SettingEngine
	settings.SetLite(true)
	settings.SetICEUDPMux(mux)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	media := new(webrtc.MediaEngine)
	registry := new(interceptor.Registry)
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		t.Fatal(err)
	}
	f.api = webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))

	pages, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.Handle("/{$}", pages.Index)
	routes.Handle("/play/{room}", pages.Play)
	routes.Handle("/publish/{room}", pages.Publish)
	routes.Handle("/meet/{room}", pages.Meet)
	routes.Handle("/assets/", pages.Assets)
	routes.Handle("/testdata/", http.FileServer(http.Dir(".")))
	routes.HandleFunc("POST /whip/{room}", f.guard(f.publish))
	routes.HandleFunc("POST /whip/{room}/{publication}", f.guard(f.publish))
	routes.HandleFunc("POST /whep/{room}", f.guard(f.play))
	routes.HandleFunc("POST /whep/{room}/{publication}", f.guard(f.play))
	routes.HandleFunc("PATCH /s/{id}", f.restart)
	routes.HandleFunc("DELETE /s/{id}", f.end)
	routes.HandleFunc("GET /s/{id}/status", f.status)
	routes.HandleFunc("GET /v1/rooms", f.guard(f.rooms))
	// No room has a password here; where one has, the path of join goes before.
	routes.HandleFunc("POST /v1/rooms/{room}/{action}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	})
	for _, add := range more {
		add(routes)
	}
	server := httptest.NewServer(f.log(routes))
	f.url = server.URL
	t.Cleanup(func() {
		f.closeAll()
		server.CloseClientConnections()
		server.Close()
		_ = mux.Close() // the socket is only for this test
		_ = socket.Close()
	})
	return f
}

func (f *fake) log(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
		f.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// seen counts the requests that begin with a prefix such as "PATCH /s/".
func (f *fake) seen(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(slices.Collect(func(yield func(string) bool) {
		for _, line := range f.requests {
			if strings.HasPrefix(line, prefix) && !yield(line) {
				return
			}
		}
	}))
}

func (f *fake) refuse(r *refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = r
}

func (f *fake) want(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = token
}

// advise makes the gateway say that something is wrong; "": all is well.
func (f *fake) advise(title, next string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advice = nil
	if title != "" {
		f.advice = map[string]string{"title": title, "next": next, "type": "/problems/some"}
	}
}

func (f *fake) status(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	advice := f.advice
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"state": "live", "cause": nil, "advice": advice}) // the browser went away
}

// blind keeps the video from viewers.
func (f *fake) blind(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dark = yes
}

// closeAll says goodbye to everybody, as a draining gateway does.
func (f *fake) closeAll() {
	f.mu.Lock()
	sessions := f.sessions
	f.sessions = make(map[string]*fakeSession)
	clear(f.tracks)
	f.mu.Unlock()
	for _, s := range sessions {
		_ = s.pc.Close() // nothing depends on how it ends
	}
}

func (f *fake) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		token, refusal := f.token, f.refusal
		f.mu.Unlock()
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			status := http.StatusUnauthorized
			if r.Header.Get("Authorization") != "" {
				status = http.StatusForbidden
			}
			problem(w, status, map[string]string{"type": "/problems/unauthorized"})
			return
		}
		if refusal != nil {
			for name, value := range refusal.header {
				w.Header().Set(name, value)
			}
			problem(w, refusal.status, refusal.body)
			return
		}
		next(w, r)
	}
}

func problem(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the browser went away
}

func (f *fake) publish(w http.ResponseWriter, r *http.Request) {
	f.answer(w, r, func(pc *webrtc.PeerConnection) error {
		pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String(), "main")
			if err != nil {
				return
			}
			f.mu.Lock()
			f.tracks[remote.Kind()] = local
			if remote.Kind() == webrtc.RTPCodecTypeVideo {
				ssrc := uint32(remote.SSRC())
				f.ask = func() { _ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}) }
			}
			f.mu.Unlock()
			for {
				packet, _, err := remote.ReadRTP()
				if err != nil {
					return
				}
				packet.Extension, packet.Extensions = false, nil
				f.mu.Lock()
				dark := f.dark && remote.Kind() == webrtc.RTPCodecTypeVideo
				f.mu.Unlock()
				if dark {
					continue
				}
				_ = local.WriteRTP(packet) // a viewer that left is not an error
			}
		})
		return nil
	})
}

func (f *fake) play(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	tracks := []*webrtc.TrackLocalStaticRTP{}
	for _, track := range f.tracks {
		tracks = append(tracks, track)
	}
	ask := f.ask
	f.mu.Unlock()
	if len(tracks) == 0 {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusConflict, map[string]string{"type": "/problems/not-live", "title": "not live"})
		return
	}
	f.answer(w, r, func(pc *webrtc.PeerConnection) error {
		for _, track := range tracks {
			sender, err := pc.AddTrack(track)
			if err != nil {
				return err
			}
			go func() { // ends with the connection
				for {
					packets, _, err := sender.ReadRTCP()
					if err != nil {
						return
					}
					if slices.ContainsFunc(packets, func(p rtcp.Packet) bool { _, is := p.(*rtcp.PictureLossIndication); return is }) {
						ask()
					}
				}
			}()
		}
		pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
			if state == webrtc.PeerConnectionStateConnected {
				ask()
			}
		})
		return nil
	})
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request, prepare func(*webrtc.PeerConnection) error) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pc, err := f.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	f.mu.Lock()
	f.number++
	id := strconv.Itoa(f.number)
	f.sessions[id] = &fakeSession{pc: pc, offer: string(offer)}
	f.mu.Unlock()
	if err := prepare(pc); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer, err := negotiate(pc, string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/s/"+id)
	w.Header().Set("Etag", `"1"`)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer) // the browser went away
}

func negotiate(pc *webrtc.PeerConnection, offer string) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// restart takes the credentials of a fragment into the old offer and answers that.
func (f *fake) restart(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16)) // an empty body fails below
	f.mu.Lock()
	s := f.sessions[r.PathValue("id")]
	f.mu.Unlock()
	if s == nil || r.Header.Get("If-Match") == "" {
		problem(w, http.StatusNotFound, map[string]string{})
		return
	}
	offer := s.offer
	for _, name := range []string{"a=ice-ufrag:", "a=ice-pwd:"} {
		offer = replaceLines(offer, name, lineOf(string(body), name))
	}
	answer, err := negotiate(s.pc, offer)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, map[string]string{"detail": err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/trickle-ice-sdpfrag")
	w.Header().Set("Etag", `"2"`)
	_, _ = io.WriteString(w, lineOf(answer, "a=ice-ufrag:")+"\r\n"+lineOf(answer, "a=ice-pwd:")+"\r\n") // as above
}

func lineOf(sdp, prefix string) string {
	for line := range strings.SplitSeq(sdp, "\r\n") {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}

func replaceLines(sdp, prefix, with string) string {
	lines := strings.Split(sdp, "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, prefix) {
			lines[i] = with
		}
	}
	return strings.Join(lines, "\r\n")
}

func (f *fake) end(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	s := f.sessions[r.PathValue("id")]
	delete(f.sessions, r.PathValue("id"))
	f.mu.Unlock()
	if s == nil {
		problem(w, http.StatusNotFound, map[string]string{})
		return
	}
	_ = s.pc.Close() // nothing depends on how it ends
}

func (f *fake) rooms(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	live := len(f.tracks) > 0
	f.mu.Unlock()
	items := []map[string]any{}
	if live {
		items = append(items,
			map[string]any{"name": "garden", "live": true, "publications": 1, "viewers": 1},
			map[string]any{"name": "stage-2.main", "live": true, "publications": 2, "viewers": 1208},
			map[string]any{"name": "quiet", "live": false},
		)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "next": nil}) // as above
}
