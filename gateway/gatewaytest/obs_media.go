package gatewaytest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

const (
	obsOpus    = 111
	obsH264    = 96
	obsPayload = 1200 // bytes of an RTP payload at most
	// Header extension ids of the mid and the rid.
	obsMIDID = 1
	obsRIDID = 2
)

var (
	obsAudioCodec = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
		SDPFmtpLine: "minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1",
	}
	obsVideoCodec = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine:  "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1",
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "goog-remb"}},
	}
)

// obsEngine knows what OBS knows: two codecs, sender reports, and a NACK
// responder that sends again under the same SSRC, of some streams only.
func obsEngine(repaired [2]uint32) (*webrtc.MediaEngine, *interceptor.Registry, error) {
	var engine webrtc.MediaEngine
	var chain interceptor.Registry
	for pt, c := range map[webrtc.PayloadType]webrtc.RTPCodecCapability{obsOpus: obsAudioCodec, obsH264: obsVideoCodec} {
		kind := webrtc.RTPCodecTypeVideo
		if pt == obsOpus {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: pt}, kind); err != nil {
			return nil, nil, fmt.Errorf("obs: %w", err)
		}
	}
	responder, err := nack.NewResponderInterceptor(nack.ResponderSize(4096))
	if err != nil {
		return nil, nil, fmt.Errorf("obs: %w", err)
	}
	reports, err := report.NewSenderInterceptor()
	if err != nil {
		return nil, nil, fmt.Errorf("obs: %w", err)
	}
	chain.Add(someRepaired{responder, repaired})
	chain.Add(reports)
	return &engine, &chain, nil
}

// obsMedia packetizes. Like the encoders of OBS it outlives connections, so
// sequence numbers and timestamps run on.
type obsMedia struct {
	mu          sync.Mutex // guards the packetizers
	sound       rtp.Packetizer
	screens     []rtp.Packetizer // of each layer
	audioTrack  *webrtc.TrackLocalStaticRTP
	videoTracks []*webrtc.TrackLocalStaticRTP
}

// newOBSMedia is for so many layers; 0: no simulcast.
func newOBSMedia(layers int) (*obsMedia, error) {
	m := &obsMedia{
		sound: rtp.NewPacketizer(obsPayload+12, obsOpus, 0, &codecs.OpusPayloader{}, rtp.NewRandomSequencer(), 48000),
	}
	var err error
	if m.audioTrack, err = webrtc.NewTrackLocalStaticRTP(obsAudioCodec, "audio", "obs"); err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	for i := range max(1, layers) {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if layers > 0 {
			options = append(options, webrtc.WithRTPStreamID(strconv.Itoa(i)))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(obsVideoCodec, "video", "obs", options...)
		if err != nil {
			return nil, fmt.Errorf("obs: %w", err)
		}
		m.videoTracks = append(m.videoTracks, track)
		m.screens = append(m.screens, rtp.NewPacketizer(obsPayload+12, obsH264, 0, &codecs.H264Payloader{}, rtp.NewRandomSequencer(), 90000))
	}
	return m, nil
}

func (m *obsMedia) audio(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.sound.Packetize(frame, 960) {
		_ = m.audioTrack.WriteRTP(p) // fails without a connection: the frame is lost
	}
}

func (m *obsMedia) video(layer int, unit []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	track := m.videoTracks[layer]
	for _, p := range m.screens[layer].Packetize(unit, 3000) {
		_ = p.SetExtension(obsMIDID, []byte("1")) // one byte always fits
		if rid := track.RID(); rid != "" {
			_ = p.SetExtension(obsRIDID, []byte(rid)) // as above
		}
		_ = track.WriteRTP(p) // fails without a connection
	}
}

// obsTemplate is an offer of OBS 32.2.2.
const obsTemplate = `v=0
o=rtc 1031053456 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=ice-options:ice2,trickle trickle
a=fingerprint:FINGERPRINT
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:AUDIO cname:CNAME
a=ssrc:AUDIO msid:CNAME CNAME-audio
a=msid:CNAME CNAME-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=setup:actpass
a=ice-ufrag:UFRAG
a=ice-pwd:PWD
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=sendonly
a=ssrc:VIDEO cname:CNAME
a=ssrc:VIDEO msid:CNAME CNAME-video
a=msid:CNAME CNAME-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
a=setup:actpass
a=ice-ufrag:UFRAG
a=ice-pwd:PWD
`

// obsOffer is the template with the secrets of pion's own offer.
func obsOffer(own string, ssrc [2]uint32, layers int) string {
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)^a=` + key + `:(\S.*?)\r?$`).FindStringSubmatch(own)
		if m == nil {
			return ""
		}
		return m[1]
	}
	cname := fmt.Sprintf("%016x", rand.Uint64())
	return strings.NewReplacer(
		"FINGERPRINT", value("fingerprint"), "UFRAG", value("ice-ufrag"), "PWD", value("ice-pwd"),
		"AUDIO", fmt.Sprint(ssrc[0]), "VIDEO", fmt.Sprint(ssrc[1]), "CNAME", cname, "\n", "\r\n",
	).Replace(layeredTemplate(layers))
}

// FakeH264 makes access units in Annex B that look like H264 to everything but
// a decoder: every interval-th is a keyframe with parameter sets. The last four
// bytes of a unit are its number.
func FakeH264(interval, size int) func(n int) []byte {
	start := []byte{0, 0, 0, 1}
	return func(n int) []byte {
		var b bytes.Buffer
		slice := byte(0x41) // not IDR
		if n%interval == 0 {
			for _, set := range [][]byte{{0x67, 0x42, 0xe0, 0x1f, 0x95, 0xa0}, {0x68, 0xce, 0x3c, 0x80}} {
				b.Write(start)
				b.Write(set)
			}
			slice = 0x65 // IDR
		}
		b.Write(start)
		b.WriteByte(slice)
		b.WriteByte(0x88) // first macroblock 0: a new picture begins
		b.Write(bytes.Repeat([]byte{0xa5}, size))
		return binary.BigEndian.AppendUint32(b.Bytes(), uint32(n)|1<<31)
	}
}

// LoopH264 plays the access units of a file in Annex B (ffmpeg's -f h264) for
// ever. The file begins with a keyframe; its keyframe interval is what the
// viewer gets.
func LoopH264(file []byte) func(n int) []byte {
	units := accessUnits(file)
	return func(n int) []byte {
		if len(units) == 0 {
			return nil
		}
		return units[n%len(units)]
	}
}

// accessUnits splits a stream in Annex B where pictures begin: before the first
// unit that is not part of a picture, or before a slice whose first macroblock
// is number 0 (ITU-T H.264, 7.4.1.2.3, as far as encoders in use need it).
func accessUnits(stream []byte) [][]byte {
	var units [][]byte
	begin, pictured := 0, false
	for at := nextStart(stream, 0); at >= 0 && at+4 < len(stream); at = nextStart(stream, at+3) {
		header := at + 3
		kind := stream[header] & 0x1f
		slice := kind == 1 || kind == 5
		first := slice && stream[header+1]&0x80 != 0
		if pictured && (first || !slice && kind >= 6 && kind <= 9) {
			cut := at
			if cut > 0 && stream[cut-1] == 0 {
				cut-- // a start code of four bytes
			}
			units = append(units, stream[begin:cut])
			begin, pictured = cut, false
		}
		pictured = pictured || slice
	}
	if pictured {
		units = append(units, stream[begin:])
	}
	return units
}

// nextStart is where the next start code of three bytes is, -1: nowhere.
func nextStart(stream []byte, from int) int {
	i := bytes.Index(stream[min(from, len(stream)):], []byte{0, 0, 1})
	if i < 0 {
		return -1
	}
	return from + i
}
