package egress

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

var discard = slog.New(slog.DiscardHandler)

func TestViewerLife(t *testing.T) {
	plane, v, far := start(t, gcm, defaultStreams())
	if v.Stream("video") == nil || v.Stream("audio") == nil || v.Stream("text") != nil {
		t.Fatal("the streams are not those of the configuration")
	}
	if err := v.Start(far.keys, viewerAddr); err == nil {
		t.Error("a second Start gave no error: sealing would begin anew under the same keys")
	}
	src := newTrack(48000)
	s := v.Stream("audio")
	s.Bind(src, audioFormat, nil)
	s.Write(src.packet(base, 0, "1"))
	far.take()

	moved := netip.MustParseAddrPort("[2001:db8::1]:6000")
	v.Move(moved)
	s.Write(src.packet(base+1, 960, "2"))
	if got := far.take(); len(got) != 1 || got[0].to != moved {
		t.Errorf("got %d datagrams, want one to the new address", len(got))
	}

	v.Stop()
	got := far.take()
	if len(got) != 1 || got[0].rtcp == nil {
		t.Fatalf("got %d datagrams at Stop, want one of RTCP", len(got))
	}
	bye, ok := got[0].rtcp[len(got[0].rtcp)-1].(*rtcp.Goodbye)
	if !ok || len(bye.Sources) != 1 || bye.Sources[0] != audioSSRC {
		t.Errorf("got %v, want a BYE of the one stream that was sent", got[0].rtcp)
	}
	v.Stop()
	s.Write(src.packet(base+2, 1920, "3"))
	s.Bind(src, audioFormat, []*Packet{src.packet(base+3, 0, "4")})
	s.Write(src.packet(base+4, 0, "5"))
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams after Stop", len(got))
	}
	if err := v.Start(far.keys, viewerAddr); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Stop: got %v, want %v", err, ErrClosed)
	}
	if st := plane.Stats(); st.Viewers != 0 || st.CatchingUp != 0 {
		t.Errorf("got %+v after Stop, want nothing left", st)
	}
}

func TestViewerStartRefusesKeys(t *testing.T) {
	plane := NewPlane(discard, newFarEnd(t, gcm))
	defer plane.Close()
	good := testKeys(t, gcm)
	for _, tc := range []struct {
		name   string
		change func(*Keys)
	}{
		{"no keys", func(k *Keys) { *k = Keys{} }},
		{"profile", func(k *Keys) { k.Profile = srtp.ProtectionProfileNullHmacSha1_80 }},
		{"own key", func(k *Keys) { k.LocalKey = k.LocalKey[1:] }},
		{"viewer's key", func(k *Keys) { k.RemoteKey = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := good
			tc.change(&k)
			v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
			if err := v.Start(k, viewerAddr); err == nil {
				t.Error("got no error")
			}
			v.Stop()
		})
	}
	if st := plane.Stats(); st.Viewers != 0 {
		t.Errorf("got %d viewers, want none", st.Viewers)
	}
}

func TestViewerAsksAgainAtStart(t *testing.T) {
	far := newFarEnd(t, gcm)
	plane := NewPlane(discard, far)
	far.plane = plane
	defer plane.Close()
	v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	src := newTrack(90000)
	s := v.Stream("video")
	s.Bind(src, videoFormat, nil)
	s.Write(src.key(base, 0, "nobody gets this"))
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	if src.asked() != 2 {
		t.Errorf("got %d keyframe requests, want one at Bind and one at Start", src.asked())
	}
	s.Write(src.packet(base+1, 0, "nor this"))
	s.Write(src.key(base+2, 0, "k"))
	if got := far.takeRTP(videoSSRC); payloads(got) != "k" {
		t.Errorf("got packets %q", payloads(got))
	}
}

func TestSenderReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, v, far := start(t, gcm, defaultStreams())
		src := newTrack(90000)
		src.silent = true // nothing received at Bind
		s := v.Stream("video")
		s.Bind(src, videoFormat, nil)
		src.mu.Lock()
		src.silent = false
		src.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		p := src.key(base, 90*100, "four") // captured and received now
		s.Write(p)
		got := far.take()
		if len(got) != 2 || got[0].rtcp == nil {
			t.Fatalf("got %d datagrams, want a report and the packet", len(got))
		}
		media := got[1].rtp.Timestamp
		began := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		reports := append(got[:1:1], far.take()...)
		if n := len(reports); n < 9 || n > 14 {
			t.Errorf("got %d reports in 10 s, want about one a second", n)
		}
		gaps := map[time.Duration]bool{}
		for i, r := range reports {
			sr, ok := r.rtcp[0].(*rtcp.SenderReport)
			if !ok || sr.SSRC != videoSSRC {
				t.Fatalf("report %d: got %v", i, r.rtcp[0])
			}
			sdes, ok := r.rtcp[1].(*rtcp.SourceDescription)
			if !ok || sdes.Chunks[0].Source != videoSSRC || sdes.Chunks[0].Items[0].Text != "gateway" {
				t.Errorf("report %d: got %v, want the CNAME", i, r.rtcp[1])
			}
			// Media time and wall-clock time must tell the same.
			elapsed := float64(int64(sr.NTPTime-ntpTime(began))) / (1 << 32)
			if d := float64(int32(sr.RTPTime-media)) - elapsed*90000; d < -2 || d > 2 {
				t.Errorf("report %d: timestamp is %v ticks off the clock", i, d)
			}
			if i > 0 {
				gaps[r.at.Sub(reports[i-1].at)] = true
				if sr.PacketCount != 1 || sr.OctetCount != 4 {
					t.Errorf("report %d: got %d packets and %d bytes", i, sr.PacketCount, sr.OctetCount)
				}
			}
		}
		if len(gaps) < 2 {
			t.Error("the reports are not jittered")
		}
		src.mu.Lock()
		src.silent = true
		src.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := far.take(); len(got) != 0 {
			t.Errorf("got %d reports of a source that has no clock", len(got))
		}
		s.Unbind(src)
		time.Sleep(2 * keepPast)
		synctest.Wait()
		if got := far.take(); len(got) != 0 {
			t.Errorf("got %d reports without a source", len(got))
		}
		v.mu.Lock()
		if n := len(s.past.segments); n != 0 {
			t.Errorf("got %d segments, want the source forgotten", n)
		}
		v.mu.Unlock()
		_ = plane.Close()
	})
}

func TestNTPTime(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC)
	if got, want := ntpTime(at), uint64(3976214400)<<32|1<<31; got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
}

func TestWriteErrors(t *testing.T) {
	plane, v, far := start(t, gcm, defaultStreams())
	src := newTrack(48000)
	s := v.Stream("audio")
	s.Bind(src, audioFormat, nil)
	s.Write(src.packet(base, 0, "0"))
	plane.settle()
	for i, tc := range []struct {
		err             error
		dropped, failed uint64
	}{
		{&net.OpError{Op: "write", Err: syscall.EAGAIN}, 1, 0},
		{&net.OpError{Op: "write", Err: syscall.ENOBUFS}, 2, 0},
		{&net.OpError{Op: "write", Err: syscall.EPERM}, 2, 1},
		{errBroken, 2, 2},
	} {
		far.mu.Lock()
		far.fail = tc.err
		far.mu.Unlock()
		s.Write(src.packet(base+1+uint64(i), 0, "x"))
		plane.settle()
		if st := plane.Stats(); st.Dropped != tc.dropped || st.WriteErrors != tc.failed {
			t.Errorf("%v: got %d dropped and %d failed, want %d and %d", tc.err, st.Dropped, st.WriteErrors, tc.dropped, tc.failed)
		}
	}
	far.mu.Lock()
	far.fail = nil
	far.mu.Unlock()
	s.Write(src.packet(base+5, 0, "5"))
	if got := far.takeRTP(audioSSRC); len(got) != 2 || got[1].SequenceNumber-got[0].SequenceNumber != 5 {
		t.Error("what was given up left no gap: the viewer would not ask for it")
	}
}

func TestPlaneClose(t *testing.T) {
	plane, v, far := start(t, gcm, defaultStreams())
	src := newTrack(48000)
	s := v.Stream("audio")
	s.Bind(src, audioFormat, nil)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				s.Write(src.packet(base+i, 0, "x"))
			}
		}
	})
	for plane.Stats().Packets < 100 {
		runtime.Gosched()
	}
	if err := plane.Close(); err != nil {
		t.Fatal(err)
	}
	sent := len(far.take())
	for range 1000 {
		runtime.Gosched()
	}
	close(stop)
	wg.Wait()
	if got := far.take(); sent == 0 || len(got) != 0 {
		t.Errorf("got %d datagrams after Close", len(got))
	}
	if err := plane.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	late := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	if err := late.Start(far.keys, viewerAddr); !errors.Is(err, ErrClosed) {
		t.Errorf("Start on a closed plane: got %v, want %v", err, ErrClosed)
	}
}

// The plane on a real socket, towards one that opens with pion.
func TestPlaneOnLoopback(t *testing.T) {
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	conn, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	to, err := netip.ParseAddrPort(peer.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	plane := NewPlane(discard, conn)
	defer plane.Close()
	far := newFarEnd(t, gcm)
	v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
	if err := v.Start(far.keys, to); err != nil {
		t.Fatal(err)
	}
	src := newTrack(90000)
	v.Stream("video").Bind(src, videoFormat, []*Packet{src.key(base, 0, "k"), src.packet(base+1, 0, "d")})
	if err := peer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, bufferSize)
	for range 3 { // sender report, two packets
		n, err := peer.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := far.WriteToUDPAddrPort(buf[:n], to); err != nil {
			t.Fatal(err)
		}
	}
	if got := far.takeRTP(videoSSRC); payloads(got) != "k d" {
		t.Errorf("got packets %q", payloads(got))
	}
}

// nowhere is a PacketWriter that takes everything.
type nowhere struct{}

func (nowhere) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

// sending starts a viewer that is sent one video packet by each call of next.
func sending(t testing.TB, profile srtp.ProtectionProfile) (next func()) {
	t.Helper()
	plane := newPlane(discard, nowhere{})
	t.Cleanup(func() { _ = plane.Close() })
	v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
	if err := v.Start(testKeys(t, profile), viewerAddr); err != nil {
		t.Fatal(err)
	}
	s := v.Stream("video")
	src := newTrack(90000)
	p := src.key(base, 0, strings.Repeat("v", 1200))
	p.Extensions = []HeaderExtension{{ExtensionOrientation, []byte{1}}}
	s.Bind(src, videoFormat, nil)
	s.Write(p)
	return func() { // one packet is changed over and over: nobody else has it
		p.Seq++
		p.Timestamp += 3000
		s.Write(p)
		plane.settle()
	}
}

func TestWriteAllocations(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(500, sending(t, tc.profile)); got > tc.allocs {
				t.Errorf("got %v allocations a packet, want at most %v", got, tc.allocs)
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, tc := range profiles {
		b.Run(tc.name, func(b *testing.B) {
			next := sending(b, tc.profile)
			b.SetBytes(1200)
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

// TestViewerMemory holds what a viewer costs who has caught up, is live and has
// reported.
func TestViewerMemory(t *testing.T) {
	const viewers, limit = 300, 6 << 10
	sounding := Format{PayloadType: 111, ClockRate: 48000} // browsers offer no NACK for Opus
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			far := newFarEnd(t, tc.profile)
			plane := NewPlane(discard, nowhere{})
			defer plane.Close()
			audio, video := newTrack(48000), newTrack(90000)
			backlog := []*Packet{video.key(base, 0, "k"), video.packet(base+1, 0, "d")}
			live := video.packet(base+2, 3000, "e")
			sound := audio.packet(base, 0, "s")
			report := far.seal(&rtcp.ReceiverReport{SSRC: 1})
			goroutines := runtime.NumGoroutine()
			before := heap()
			all := make([]*Viewer, viewers)
			for i := range all {
				v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
				if err := v.Start(far.keys, viewerAddr); err != nil {
					t.Fatal(err)
				}
				v.Stream("audio").Bind(audio, sounding, nil)
				v.Stream("audio").Write(sound)
				v.Stream("video").Bind(video, videoFormat, backlog)
				v.Stream("video").paceNow()
				v.Stream("video").Write(live)
				plane.settle()
				if err := v.HandleRTCP(bytes.Clone(report)); err != nil {
					t.Fatal(err)
				}
				all[i] = v
			}
			after := heap()
			each := int64(after-before) / viewers
			t.Logf("%d bytes a viewer", each)
			if each > limit {
				t.Errorf("got %d bytes a viewer, want at most %d", each, limit)
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("got %d goroutines for %d viewers, want none", n-goroutines, viewers)
			}
			runtime.KeepAlive(all)
		})
	}
}

// heap is the live heap in bytes; pools need two collections to be emptied.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slowSocket lets somebody look at what is being sent.
type slowSocket func(b []byte)

func (s slowSocket) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	s(b)
	return len(b), nil
}

// Nothing is sent after Close: not even the good-bye of a viewer who is just
// leaving by himself.
func TestCloseWaitsForWhoLeaves(t *testing.T) {
	sending, closed := make(chan struct{}), make(chan struct{})
	early := false
	plane := NewPlane(discard, slowSocket(func(b []byte) {
		if b[1] != typeReceiverReport { // the first of the good-bye
			return
		}
		close(sending)
		select {
		case <-closed:
			early = true
		case <-time.After(100 * time.Millisecond):
		}
	}))
	v := plane.NewViewer(ViewerConfig{Streams: defaultStreams()})
	if err := v.Start(testKeys(t, gcm), viewerAddr); err != nil {
		t.Fatal(err)
	}
	src := newTrack(48000)
	src.silent = true
	v.Stream("audio").Bind(src, audioFormat, nil)
	v.Stream("audio").Write(src.packet(base, 0, "s"))
	left := make(chan struct{})
	go func() {
		v.Stop() // sends what waits, too
		close(left)
	}()
	<-sending
	_ = plane.Close()
	close(closed)
	<-left
	if early {
		t.Error("the plane was closed before the good-bye was sent")
	}
}
