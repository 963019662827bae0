package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

const obsTimeout = 8 * time.Second // of each request, connecting included

// OBSOptions say how an OBS is set up.
type OBSOptions struct {
	URL, Token string
	HTTP       *http.Client  // nil: a new one
	RetryDelay time.Duration // from a loss of the connection to the next POST; 0: 2 s
	// Video makes the access unit n in Annex B, nil: none is sent. It is called
	// 30 times a second. OBS sends keyframes in its own rhythm only.
	Video func(n int) []byte
	// Layers makes it of each layer of a simulcast instead, the largest first.
	Layers []func(n int) []byte
	// Audio makes the Opus frame n of 20 ms, nil: none is sent.
	Audio func(n int) []byte
	// Settings changes how pion reaches the network, nil: loopback only.
	Settings func(*webrtc.SettingEngine)
}

// OBS publishes as OBS Studio 32 was seen to do: no candidates in the offer, no
// PATCH, H264 announced as 42e01f whatever is sent, keyframe requests ignored,
// exactly 201 with a Location wanted, 8 s for everything. When the server says
// close_notify, it sends DELETE, waits and comes back with a new offer and the
// same SSRCs. When the server falls silent it gives up.
type OBS struct {
	options OBSOptions
	ssrc    [2]uint32 // audio, video; those of all sessions
	media   *obsMedia
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has ended

	mu        sync.Mutex // guards what follows
	err       error      // why it stopped by itself
	sessions  int
	deletes   []int // statuses of the DELETEs
	keyframes int   // keyframe requests, all ignored
	nacks     int   // packets asked for
	state     webrtc.PeerConnectionState
}

// StartOBS publishes until Stop. It returns once the first session is there.
func StartOBS(ctx context.Context, o OBSOptions) (*OBS, error) {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = 2 * time.Second
	}
	base := rand.Uint32()>>1 + 1
	b := &OBS{options: o, ssrc: [2]uint32{base, base + 1}, done: make(chan struct{})}
	var err error
	if b.media, err = newOBSMedia(len(o.Layers)); err != nil {
		return nil, err
	}
	s, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	go b.run(run, s)
	return b, nil
}

// obsSession is one connection of an OBS.
type obsSession struct {
	pc       *webrtc.PeerConnection
	location *url.URL
	ended    chan webrtc.PeerConnectionState // capacity 1: closed or failed
}

// run publishes and reconnects until ctx ends or OBS would give up.
func (b *OBS) run(ctx context.Context, s *obsSession) {
	defer close(b.done)
	for {
		state, stopped := b.play(ctx, s)
		// The PeerConnection first: its close_notify reaches the server before
		// the DELETE.
		closing := s.pc.GracefulClose()
		deleting := b.delete(context.WithoutCancel(ctx), s)
		switch {
		case stopped:
			b.fail(errors.Join(closing, deleting))
			return
		case state == webrtc.PeerConnectionStateFailed:
			b.fail(errors.New("obs: the server fell silent"))
			return
		}
		var err error
		if s, err = b.reconnect(ctx); err != nil {
			if ctx.Err() == nil {
				b.fail(err)
			}
			return
		}
	}
}

// play sends media until the session ends or OBS is stopped.
func (b *OBS) play(ctx context.Context, s *obsSession) (state webrtc.PeerConnectionState, stopped bool) {
	playing, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if b.options.Video != nil {
		wg.Go(func() { every(playing, time.Second/30, func(n int) { b.WriteVideo(b.options.Video(n)) }) })
	}
	if layers := b.options.Layers; len(layers) > 0 {
		wg.Go(func() {
			every(playing, time.Second/30, func(n int) {
				for i, unit := range layers {
					b.media.video(i, unit(n))
				}
			})
		})
	}
	if b.options.Audio != nil {
		wg.Go(func() { every(playing, 20*time.Millisecond, func(n int) { b.WriteAudio(b.options.Audio(n)) }) })
	}
	select {
	case state = <-s.ended:
		return state, false
	case <-ctx.Done():
		return state, true
	}
}

// every calls f in a fixed rhythm until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(n int)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		f(n)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reconnect tries as often and as slowly as OBS does.
func (b *OBS) reconnect(ctx context.Context) (*obsSession, error) {
	delay := b.options.RetryDelay
	var err error
	for range 25 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
		var s *obsSession
		if s, err = b.connect(ctx); err == nil {
			return s, nil
		}
		delay += delay / 2
	}
	return nil, err
}

// connect opens one session.
func (b *OBS) connect(ctx context.Context) (*obsSession, error) {
	ctx, cancel := context.WithTimeout(ctx, obsTimeout)
	defer cancel()
	s := &obsSession{ended: make(chan webrtc.PeerConnectionState, 1)}
	var err error
	if s.pc, err = b.newPeer(); err != nil {
		return nil, err
	}
	s.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		b.mu.Lock()
		b.state = state
		b.mu.Unlock()
		if state == webrtc.PeerConnectionStateClosed || state == webrtc.PeerConnectionStateFailed {
			select {
			case s.ended <- state:
			default:
			}
		}
	})
	if err := b.negotiate(ctx, s); err != nil {
		return nil, errors.Join(err, s.pc.GracefulClose())
	}
	b.mu.Lock()
	b.sessions++
	b.mu.Unlock()
	return s, nil
}

// negotiate does the one POST of a session.
func (b *OBS) negotiate(ctx context.Context, s *obsSession) error {
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("obs: %w", err)
	}
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("obs: %w", err)
	}
	r, err := b.do(ctx, http.MethodPost, b.options.URL, []byte(obsOffer(offer.SDP, b.ssrc, len(b.options.Layers))))
	if err != nil {
		return err
	}
	answer := r.body
	if r.status != http.StatusCreated || r.location == "" || len(answer) == 0 {
		return fmt.Errorf("obs: POST answered %d with Location %q and %d bytes", r.status, r.location, len(answer))
	}
	if err := sameLayers(string(answer), len(b.options.Layers)); err != nil {
		return err
	}
	if strings.HasPrefix(r.location, "http") {
		s.location, err = url.Parse(r.location)
	} else {
		at := *r.from
		at.Path, at.RawPath, at.RawQuery = r.location, "", ""
		s.location = &at
	}
	if err != nil {
		return fmt.Errorf("obs: Location: %w", err)
	}
	if i := bytes.Index(answer, []byte("v=0")); i > 0 {
		answer = answer[i:]
	}
	err = s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
	if err != nil {
		return fmt.Errorf("obs: answer: %w", err)
	}
	return nil
}

// obsResponse is a response that was read to its end.
type obsResponse struct {
	status   int
	location string
	from     *url.URL // what answered, after redirects
	body     []byte
}

// do sends one request; the token goes wherever a redirect leads.
func (b *OBS) do(ctx context.Context, method, at string, body []byte) (*obsResponse, error) {
	request, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	request.Header.Set("User-Agent", "Mozilla/5.0 (OBS-Studio/32.2.2; Linux x86_64; en-US)")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/sdp")
	}
	if b.options.Token != "" {
		request.Header.Set("Authorization", "Bearer "+b.options.Token)
	}
	client := *b.options.HTTP
	client.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		if method == http.MethodDelete {
			return http.ErrUseLastResponse
		}
		next.Header.Set("Authorization", request.Header.Get("Authorization"))
		return nil
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	return &obsResponse{response.StatusCode, response.Header.Get("Location"), response.Request.URL, text}, nil
}

func (b *OBS) delete(ctx context.Context, s *obsSession) error {
	ctx, cancel := context.WithTimeout(ctx, obsTimeout)
	defer cancel()
	r, err := b.do(ctx, http.MethodDelete, s.location.String(), nil)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.deletes = append(b.deletes, r.status)
	b.mu.Unlock()
	if r.status != http.StatusOK {
		return fmt.Errorf("obs: DELETE answered %d", r.status)
	}
	return nil
}

func (b *OBS) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// WriteVideo sends one access unit in Annex B, as the frame that follows a 30th
// of a second after the last. Without a connection it is lost.
func (b *OBS) WriteVideo(unit []byte) { b.media.video(0, unit) }

// WriteAudio sends one Opus frame of 20 ms.
func (b *OBS) WriteAudio(frame []byte) { b.media.audio(frame) }

// Stop ends the stream as OBS does: close_notify, then DELETE. It returns what
// went wrong then, or why OBS had stopped by itself before.
func (b *OBS) Stop() error {
	b.cancel()
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Done is closed when OBS has stopped, by itself or by Stop.
func (b *OBS) Done() <-chan struct{} { return b.done }

// OBSReport is what an OBS has seen so far.
type OBSReport struct {
	Sessions         int   // POSTs that were answered with 201
	Deletes          []int // statuses of the DELETEs
	KeyframeRequests int   // all ignored
	NACKs            int   // packets asked for
	State            webrtc.PeerConnectionState
	SSRC             [2]uint32 // audio, video
}

// Report returns what was seen so far.
func (b *OBS) Report() OBSReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	return OBSReport{
		Sessions: b.sessions, Deletes: append([]int(nil), b.deletes...), KeyframeRequests: b.keyframes,
		NACKs: b.nacks, State: b.state, SSRC: b.ssrc,
	}
}
