package conformance

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

const (
	payloadSize = 1100 // bytes of media in a packet
	ptOpus      = 111
	ptH264      = 96
	ptRTX       = 97
	ptVP8       = 98
)

// feed is one RTP stream that an agent sends. Its fields down to reports are
// set before it is started.
type feed struct {
	pt, rtxPT  uint8
	ssrc, rtx  uint32
	clock      uint32
	every      time.Duration
	payloader  rtp.Payloader
	frame      func(n int, key bool) []byte
	keyEvery   int              // frames from keyframe to keyframe; 0: on request only, and the first
	disobeys   bool             // keyframe requests are ignored
	extensions []headerElement  // of every packet; under mu once started
	wideCC     bool             // the value of extension 0 is the transport-wide number
	lose       func(n int) bool // which packets are not sent at first, by their number from 0
	reports    bool             // sender reports are sent, each half second

	mu      sync.Mutex // guards what follows
	seq     uint16
	base    uint32    // timestamp at began
	began   time.Time // timestamps follow the clock, however late a frame is
	frames  int       // sent so far
	keys    []time.Time
	packets uint32
	octets  uint32
	rtxSeq  uint16
	kept    []*rtp.Packet
	sent    []uint16 // sequence numbers that went out at first
}

// headerElement is one header extension element.
type headerElement struct {
	id    uint8
	value []byte
}

func h264Feed() *feed {
	return &feed{
		pt: ptH264, rtxPT: ptRTX, ssrc: rand.Uint32(), rtx: rand.Uint32(), clock: 90000, every: time.Second / 30, //nolint:gosec // not a secret
		payloader: &codecs.H264Payloader{}, frame: frameH264, keyEvery: keyframeInterval, reports: true,
	}
}

func vp8Feed(width, height int) *feed {
	return &feed{
		pt: ptVP8, ssrc: rand.Uint32(), clock: 90000, every: time.Second / 30, //nolint:gosec // not a secret
		payloader: &codecs.VP8Payloader{EnablePictureID: true}, keyEvery: keyframeInterval, reports: true,
		frame: func(n int, key bool) []byte { return frameVP8(n, key, width, height) },
	}
}

func opusFeed() *feed {
	return &feed{
		pt: ptOpus, ssrc: rand.Uint32(), clock: 48000, every: 20 * time.Millisecond, payloader: &codecs.OpusPayloader{}, //nolint:gosec // not a secret
		frame: func(n int, _ bool) []byte { return frameOpus(n) }, keyEvery: 1, reports: true,
	}
}

// start sends a feed until the agent is shut.
func (a *Agent) start(feeds ...*feed) {
	for _, f := range feeds {
		f.seq, f.base, f.began = uint16(rand.Uint32()>>17), rand.Uint32(), time.Now() //nolint:gosec // not a secret
		a.running.Go(func() { a.feed(f) })
	}
}

func (a *Agent) feed(f *feed) {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	asked := a.keyframes.Load()
	served := 0 // RTCP datagrams looked at for NACKs
	var reported time.Time
	for n := 0; ; n++ {
		requests := a.keyframes.Load()
		key := f.due(n) || requests != asked && !f.disobeys
		asked = requests
		a.sendFrame(f, n, key)
		if f.reports && time.Since(reported) >= 500*time.Millisecond {
			reported = time.Now()
			a.sendReport(f, reported)
		}
		served = a.repair(f, served)
		select {
		case <-tick.C:
		case <-a.stop:
			return
		}
	}
}

// due tells whether frame n is a keyframe by itself.
func (f *feed) due(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return n == 0 || f.keyEvery > 0 && n%f.keyEvery == 0
}

func (a *Agent) sendFrame(f *feed, n int, key bool) {
	f.mu.Lock()
	ts := f.timestamp(time.Now())
	payloads := f.payloader.Payload(payloadSize, f.frame(n, key))
	var out []*rtp.Packet
	for i, payload := range payloads {
		p := &rtp.Packet{Header: rtp.Header{
			Version: 2, PayloadType: f.pt, SSRC: f.ssrc, SequenceNumber: f.seq, Timestamp: ts,
			Marker: f.clock == 90000 && i == len(payloads)-1,
		}, Payload: payload}
		for i, e := range f.extensions {
			if i == 0 && f.wideCC {
				e.value = []byte{byte(f.packets >> 8), byte(f.packets)}
			}
			_ = p.SetExtension(e.id, e.value) // ids and lengths are ours
		}
		f.seq++
		f.kept = keep(f.kept, p)
		if f.lose == nil || !f.lose(int(f.packets)) {
			out = append(out, p)
			f.sent = keep(f.sent, p.SequenceNumber)
		}
		f.packets++
		f.octets += uint32(len(payload))
	}
	if key {
		f.keys = keep(f.keys, time.Now())
	}
	f.frames++
	f.mu.Unlock()
	for _, p := range out {
		a.writeRTP(p)
	}
}

// timestamp is the RTP time of an instant. f.mu is held.
func (f *feed) timestamp(at time.Time) uint32 {
	return f.base + uint32(at.Sub(f.began).Seconds()*float64(f.clock))
}

// sendReport sends a sender report with a name (RFC 3550 section 6.4.1).
func (a *Agent) sendReport(f *feed, now time.Time) {
	f.mu.Lock()
	sr := &rtcp.SenderReport{SSRC: f.ssrc, NTPTime: ntpTime(now), RTPTime: f.timestamp(now), PacketCount: f.packets, OctetCount: f.octets}
	f.mu.Unlock()
	a.writeRTCP(sr, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: f.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "conformance"}},
	}}})
}

// ntpTime is an instant in the format of NTP.
func ntpTime(t time.Time) uint64 {
	const epoch = 2208988800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// repair answers the NACKs in what came since, on RTX where the feed has it.
func (a *Agent) repair(f *feed, served int) int {
	reports := a.reports()
	if served > len(reports) {
		served = 0 // the oldest were forgotten
	}
	for _, r := range reports[served:] {
		for _, p := range r.packets {
			if nack, ok := p.(*rtcp.TransportLayerNack); ok && nack.MediaSSRC == f.ssrc {
				for _, pair := range nack.Nacks {
					for _, seq := range pair.PacketList() {
						a.resend(f, seq)
					}
				}
			}
		}
	}
	return len(reports)
}

func (a *Agent) resend(f *feed, seq uint16) {
	f.mu.Lock()
	i := slices.IndexFunc(f.kept, func(p *rtp.Packet) bool { return p.SequenceNumber == seq })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	p := f.kept[i].Clone()
	if f.rtxPT != 0 { // RFC 4588 section 4
		p.PayloadType, p.SSRC = f.rtxPT, f.rtx
		p.Payload = append([]byte{byte(seq >> 8), byte(seq)}, p.Payload...)
		p.SequenceNumber = f.rtxSeq
		f.rtxSeq++
	}
	f.mu.Unlock()
	a.writeRTP(p)
}

// bare leaves out the header extensions from now on.
func (f *feed) bare() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extensions = nil
}

// progress is how many frames were sent.
func (f *feed) progress() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frames
}

// pli asks for a keyframe of what the agent receives.
func (a *Agent) pli(ssrc uint32) {
	a.writeRTCP(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: ssrc})
}

// nack asks for packets again.
func (a *Agent) nack(ssrc uint32, lost ...uint16) {
	a.writeRTCP(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(lost)})
}

// receive reports what was received in each interval, as players do.
func (a *Agent) receive(every time.Duration) {
	a.again(every, func() { a.writeRTCP(&rtcp.ReceiverReport{SSRC: 1, Reports: a.receptions()}) })
}

// receptions are report blocks without loss.
func (a *Agent) receptions() []rtcp.ReceptionReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	var blocks []rtcp.ReceptionReport
	for i := len(a.packetsIn) - 1; i >= max(0, len(a.packetsIn)-200); i-- {
		p := &a.packetsIn[i]
		if !slices.ContainsFunc(blocks, func(b rtcp.ReceptionReport) bool { return b.SSRC == p.SSRC }) {
			blocks = append(blocks, rtcp.ReceptionReport{SSRC: p.SSRC, LastSequenceNumber: uint32(p.SequenceNumber)})
		}
	}
	return blocks
}

// publish goes on air with Opus and H264 by hand and returns the video feed.
func (t *T) publish() (*Agent, *feed) {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	a.post(t.Room.WHIP).connect()
	video := h264Feed()
	a.keepAlive(2 * time.Second)
	a.start(opusFeed(), video)
	return a, video
}

// view plays what is on air by hand: Opus and H264.
func (t *T) view() *Agent {
	a := t.agent([]Media{opusSection("recvonly"), h264Section("recvonly")})
	t.openLive(a)
	a.connect()
	a.keepAlive(2 * time.Second)
	a.receive(500 * time.Millisecond)
	return a
}

// openLive posts a viewer's offer until the server says that somebody is on
// air: a publisher is so when its first packet has arrived, which takes a
// moment.
func (t *T) openLive(a *Agent) {
	if t.Room.WHEP == "" {
		t.Skipf("the target has no WHEP endpoint to watch the publisher by")
	}
	var resp *Response
	live := t.Until(connectPatience, func() bool {
		resp = t.PostOffer(t.Room.WHEP, a.Offer)
		return resp.Status == http.StatusCreated || a.optional && resp.Status >= 500
	})
	live = live && resp.Status == http.StatusCreated
	if !live && a.optional {
		t.Skipf("the server does not play this codec: %v", resp)
	}
	if !live {
		t.Fatalf("expected 201 to a viewer's offer, got %v", resp)
	}
	a.adopt(t.opened(resp, a.Offer))
}

// plays waits until media of a payload type comes, later than now.
func (a *Agent) plays(payloadType int, d time.Duration) bool {
	from := time.Now()
	return a.t.Until(d, func() bool { return a.count(payloadType, from) > 0 })
}

// reported tells whether a receiver report for a stream came.
func (a *Agent) reported(ssrc uint32) bool {
	for _, r := range a.reports() {
		for _, p := range r.packets {
			rr, ok := p.(*rtcp.ReceiverReport)
			if ok && slices.ContainsFunc(rr.Reports, func(b rtcp.ReceptionReport) bool { return b.SSRC == ssrc }) {
				return true
			}
		}
	}
	return false
}

// slow changes how often keyframes come by themselves.
func (f *feed) slow(every int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keyEvery = every
}
