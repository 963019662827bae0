package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// lossy is a WHEP server of pion's, with full ICE and as DTLS client, that sends
// one stamped packet each few milliseconds and leaves out some that are known.
type lossy struct {
	*httptest.Server
	t       *testing.T
	running sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context // of what it starts
	mu      sync.Mutex      // guards conns
	conns   []*webrtc.PeerConnection
}

const (
	// Of the server's numbers every 20th is left out, of those sent every 10th
	// carries no stamp of a row, so that both kinds of loss differ.
	lostByNumber = 20
	lostByStamp  = 10
)

func startLossy(t *testing.T) *lossy {
	t.Helper()
	l := &lossy{t: t}
	l.ctx, l.stop = context.WithCancel(t.Context())
	l.Server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(func() {
		l.Close()
		l.stop()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, pc := range l.conns {
			if err := pc.GracefulClose(); err != nil {
				t.Error(err)
			}
		}
		l.running.Wait()
	})
	return l
}

func (l *lossy) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusOK)
		return
	}
	offer, err := io.ReadAll(r.Body)
	if err == nil {
		var answer string
		if answer, err = l.answer(string(offer)); err == nil {
			w.Header().Set("Location", "session")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, answer)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func (l *lossy) answer(offer string) (string, error) {
	m, s := &webrtc.MediaEngine{}, webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	if err := errors.Join(m.RegisterDefaultCodecs(), s.SetAnsweringDTLSRole(webrtc.DTLSRoleClient)); err != nil {
		return "", err
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.conns = append(l.conns, pc)
	l.mu.Unlock()
	track, err := webrtc.NewTrackLocalStaticRTP(videoCapability, "video", "lossy")
	if err != nil {
		return "", err
	}
	if _, err := pc.AddTrack(track); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(a); err != nil {
		return "", err
	}
	<-gathered
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { l.running.Go(func() { l.send(track) }) })
		}
	})
	return pc.LocalDescription().SDP, nil
}

// send begins shortly before the numbers wrap.
func (l *lossy) send(track *webrtc.TrackLocalStaticRTP) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	payload := append([]byte{0x61, 0x9a}, make([]byte, stampLen)...)
	number := uint64(0)
	for n := 65_000; ; n++ {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		if n%lostByNumber == 0 {
			continue
		}
		if number++; number%lostByStamp == 0 {
			number++
		}
		stamp{number, time.Now().Add(-40 * time.Millisecond).UnixNano()}.put(payload[2:])
		h := rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * 90}
		if err := track.WriteRTP(&rtp.Packet{Header: h, Payload: payload}); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			l.t.Error(err)
			return
		}
	}
}

// TestExact: loss and latency that are known are what is reported; of a server with
// full ICE that is DTLS client, over both networks.
func TestExact(t *testing.T) {
	for _, tc := range []struct {
		name     string
		open     func(*fleet) (network, error)
		profiles []string
	}{
		{"AES-CM", newNetwork, []string{"cm"}},
		{"GCM 128", newNetwork, []string{"gcm128"}},
		{"GCM 256, portable", newPortableNetwork, []string{"gcm256", "cm"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := DefaultConfig()
			c.WHEP, c.Viewers, c.Sample, c.SRTP = startLossy(t).URL, []int{2}, 1, tc.profiles
			c.Duration, c.Settle, c.network = 2*time.Second, 200*time.Millisecond, tc.open
			report, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			s := report.Steps[0]
			m := s.Media
			if s.Viewers.Connected != 2 || s.Profile == "" || m.Stamps < 10*lostByStamp || m.Undecryptable != 0 || m.Late != 0 || m.Twice != 0 {
				t.Fatalf("got %+v", s)
			}
			// A step may begin and end anywhere in the row: one more or less for each viewer.
			if want := float64(m.Packets) / (lostByNumber - 1); float64(m.Missing) < want-2 || float64(m.Missing) > want+2 {
				t.Errorf("%d of %d packets are missing, want %.1f", m.Missing, m.Packets, want)
			}
			if want := float64(m.Stamps) / (lostByStamp - 1); float64(m.StampsMissing) < want-2 || float64(m.StampsMissing) > want+2 {
				t.Errorf("%d of %d stamps are missing, want %.1f", m.StampsMissing, m.Stamps, want)
			}
			// How much more depends on what else the machine does.
			if m.Latency.P50 < 40 || m.Latency.P50 > 1000 {
				t.Errorf("latency %+v, want 40 ms and a little more", m.Latency)
			}
			if m.Published != 0 || m.Short != nil || report.Stream != nil {
				t.Errorf("the report tells of a publisher: %+v", m)
			}
		})
	}
}

// TestFailures: joins that fail are told apart by their reasons, and counted.
func TestFailures(t *testing.T) {
	answers := make(chan string, 6)
	for _, a := range []string{"", "", goodAnswer, "nonsense", "503", "503 later"} {
		answers <- a
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return
		}
		switch a := <-answers; a {
		case "":
			http.Error(w, "no\nsuch thing", http.StatusNotFound)
		case "503", "503 later":
			if strings.HasSuffix(a, "later") {
				w.Header().Set("Retry-After", "3")
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set("Location", "/s")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, a)
		}
	}))
	defer server.Close()
	c := DefaultConfig()
	c.WHEP, c.Viewers, c.Duration, c.Settle, c.JoinTimeout = server.URL, []int{6}, time.Millisecond, 0, 300*time.Millisecond
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := report.Steps[0]
	if s.Viewers.Refused != 2 || s.Join.RetryAfter != 1 || s.Join.Refusal == nil || s.Viewers.Failed != 4 || s.Viewers.Connected != 0 {
		t.Errorf("got %+v and %+v", s.Viewers, s.Join)
	}
	want := []Failure{
		{"POST: 404 Not Found no such thing", 2},
		{"ICE: no answer within 300ms", 1},
		{"the answer has no media section", 1},
	}
	for i, f := range s.Join.Failures {
		if i >= len(want) || f != want[i] {
			t.Errorf("reason %d: got %+v, want %+v", i, f, want)
		}
	}
	if len(s.Join.Failures) != len(want) || report.Served() {
		t.Errorf("got %+v", s.Join.Failures)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "2 were refused, 1 of them with Retry-After") ||
		!strings.Contains(text.String(), "2 could not join: POST: 404 Not Found no such thing") {
		t.Errorf("got %v and\n%s", err, text.String())
	}
}

// TestReplacesEnded: a viewer whose session the server has ended is told of, and
// another one comes for it in the next step.
func TestReplacesEnded(t *testing.T) {
	server := startLossy(t)
	c := DefaultConfig()
	c.WHEP, c.Viewers, c.Sample = server.URL, []int{2, 2, 2}, 1
	c.Duration, c.Settle = 700*time.Millisecond, 300*time.Millisecond
	steps := 0
	c.Progress = func(string) {
		if steps++; steps == 1 {
			server.mu.Lock()
			defer server.mu.Unlock()
			if err := server.conns[0].Close(); err != nil {
				t.Error(err)
			}
		}
	}
	report, err := Run(t.Context(), c)
	if err != nil || len(report.Steps) != 3 {
		t.Fatalf("got %+v, %v", report, err)
	}
	// The alert may come before the second step begins, or in it.
	second, third := report.Steps[1], report.Steps[2]
	if second.Join.Tried+third.Join.Tried != 1 || second.Join.Tried+second.Viewers.Closed != 1 {
		t.Errorf("got %+v, %+v", second, third)
	}
	if v := third.Viewers; v.Connected != 2 || v.Closed != 0 || v.Silent != 0 {
		t.Errorf("got %+v", v)
	}
}

// TestInterruptedJoin: a session that the server opens while the run is being ended
// is ended, too.
func TestInterruptedJoin(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const viewers = 3
	asked, ended := make(chan struct{}, viewers), make(chan string, viewers)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			ended <- r.URL.Path
			return
		}
		asked <- struct{}{}
		<-ctx.Done() // all have asked
		w.Header().Set("Location", "/session")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, goodAnswer)
	}))
	defer server.Close()
	go func() { // ends before Run can return
		for range viewers {
			<-asked
		}
		stop()
	}()
	c := DefaultConfig()
	c.WHEP, c.Viewers = server.URL, []int{viewers}
	report, err := Run(ctx, c)
	if err != nil || !report.Interrupted || len(report.Steps) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	if len(ended) != viewers {
		t.Errorf("%d sessions of %d were ended", len(ended), viewers)
	}
}
