package gatewaytest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/whip"
)

// Sources of stamped packets with a meaning of their own.
const (
	// NumberedSource and those above have picture ids, as layers do.
	NumberedSource = 100
	// OddSource has payloads of all lengths that somebody sends: StampedSizes.
	OddSource = 200
	// audioSource is added to the source of the video.
	audioSource = 1000
)

// StampedSizes are the lengths of the payloads of an OddSource: one byte, those
// about the packet of 1280 bytes that IPv6 guarantees, GStreamer's 1388, and
// those that leave no room in an Ethernet frame.
var StampedSizes = []int{
	60, 1, 2, 15, 40, 100, 101, 250, 250, 250, 251, 500, 900, 1100, 1187, 1188, 1188, 1200, 1200, 1204, 1216, 1217, 1232, 1233,
	1388, 1388, 1388, 1440, 1459, 1460, 1472, 1500, 1, 1200, 1700, 1800,
}

// keyEvery is how many packets lie from keyframe to keyframe; all packets are
// frames of their own.
const keyEvery = 36

// stamp is what a packet says of itself.
type stamp struct {
	source, number int
	valid          bool // it was long enough to say it
}

type stampedCodec uint8

const (
	stampedOpus stampedCodec = iota
	stampedVP8
	stampedH264
)

// headLength is what comes before the filler that ends in the stamp.
func (c stampedCodec) headLength() int { return [...]int{0, 14, 19}[c] }

// codecOfType goes by the payload types of a SealedViewer.
func codecOfType(pt uint8) stampedCodec {
	switch pt {
	case sealedVP8:
		return stampedVP8
	case sealedH264:
		return stampedH264
	default:
		return stampedOpus
	}
}

func readStamp(p *rtp.Packet) stamp {
	if len(p.Payload) < codecOfType(p.PayloadType).headLength()+fillerHead {
		return stamp{}
	}
	n := FrameNumber(p.Payload)
	return stamp{n >> 18, n & (1<<18 - 1), true}
}

func stampedSize(source, n int) int {
	if source%audioSource >= OddSource {
		return StampedSizes[n%len(StampedSizes)]
	}
	return 30 + n*7%90
}

// stampedPayload is packet n of a source, in full.
func stampedPayload(c stampedCodec, source, n int) []byte {
	size := stampedSize(source, n)
	head := make([]byte, c.headLength())
	key := n%keyEvery == 0
	switch c {
	case stampedOpus:
	case stampedVP8:
		frame := head[1:]
		head[0] = 0x10 // a partition begins (RFC 7741 section 4.2)
		if source >= NumberedSource {
			copy(head, []byte{0x90, 0x80})
			binary.BigEndian.PutUint16(head[2:], 1<<15|uint16(n))
			frame = head[4:]
		}
		copy(frame, []byte{0x31, 0xa5, 0xa5})
		if key {
			frame[0] = 0x30
			copy(frame[3:], []byte{0x9d, 0x01, 0x2a})
			binary.LittleEndian.PutUint16(frame[6:], uint16(1280>>(source%10)))
			binary.LittleEndian.PutUint16(frame[8:], uint16(720>>(source%10)))
		}
	case stampedH264:
		copy(head, []byte{0x41, 0x88})
		if key { // STAP-A of parameter sets and an IDR slice (RFC 6184 section 5.7.1)
			copy(head, []byte{24, 0, 6, 0x67, 0x42, 0xe0, 0x1f, 0x95, 0xa0, 0, 4, 0x68, 0xce, 0x3c, 0x80, 0, 0, 0x65, 0x88})
			binary.BigEndian.PutUint16(head[15:], uint16(size-17))
		}
	}
	number := source<<18 | n
	if size < len(head)+fillerHead {
		return append(head, filler(number, fillerHead)...)[:size]
	}
	return append(head, filler(number, size-len(head))...)
}

// unnumbered is a payload without what the gateway may renumber.
func unnumbered(pt uint8, payload []byte) []byte {
	if codecOfType(pt) != stampedVP8 || len(payload) < 4 || payload[0]&0x80 == 0 {
		return payload
	}
	return append([]byte{payload[0], payload[1], 0, 0}, payload[4:]...)
}

// StampedPublisher sends packets as fast as it is told to, each of which says
// which it is.
type StampedPublisher struct {
	Session *whip.ClientSession

	t       testing.TB
	pc      *webrtc.PeerConnection
	began   time.Time
	tracks  []*stampedTrack // audio, then the layers of the video
	reading sync.WaitGroup
	ids     map[string]uint8
}

// stampedTrack is one outgoing stream.
type stampedTrack struct {
	*webrtc.TrackLocalStaticRTP
	source, number int
	codec          stampedCodec
	next           uint16
	clock, last    uint32
}

// PublishStamped publishes audio and video, the video as H264 or VP8 and in as
// many layers as there are rids; it returns once it is connected. The source is
// that of the video's first layer. Sequence numbers begin at first.
func PublishStamped(t testing.TB, n *Node, room, codec string, source int, first uint16, rids ...string) *StampedPublisher {
	t.Helper()
	var opus, chosen Codec
	for _, c := range Codecs() {
		switch c.Name {
		case "opus":
			opus = c
		case codec:
			chosen = c
		}
	}
	api := newAPI(t, []Codec{opus, chosen}, nil)
	if source >= OddSource {
		// pion's memory for retransmissions takes 1460 bytes.
		api = newAPIWith(t, []Codec{opus, chosen}, nil, func(_ *webrtc.MediaEngine, r *interceptor.Registry) error {
			return webrtc.ConfigureRTCPReports(r)
		})
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	p := &StampedPublisher{t: t, pc: pc, began: time.Now(), ids: map[string]uint8{}}
	t.Cleanup(p.Close)
	up := watchState(pc)
	var video *webrtc.RTPSender
	add := func(c Codec, kind stampedCodec, source int, rid string) {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if rid != "" {
			options = append(options, webrtc.WithRTPStreamID(rid))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(c.Parameters.RTPCodecCapability, c.Kind.String(), "stamped", options...)
		if err != nil {
			t.Fatal(err)
		}
		p.tracks = append(p.tracks, &stampedTrack{TrackLocalStaticRTP: track, source: source, codec: kind, next: first, clock: c.Parameters.ClockRate})
		if video != nil && rid != "" {
			err = video.AddEncoding(track)
		} else {
			var sender *webrtc.RTPSender
			if sender, err = pc.AddTrack(track); err == nil && kind != stampedOpus {
				video = sender
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add(opus, stampedOpus, source+audioSource, "")
	kind := stampedVP8
	if codec == "H264" {
		kind = stampedH264
	}
	if len(rids) == 0 {
		rids = []string{""}
	}
	for i, rid := range rids {
		add(chosen, kind, source+i, rid)
	}
	client := &whip.Client{URL: n.LocalURL() + "/whip/" + room}
	if p.Session, err = client.Publish(t.Context(), pc); err != nil {
		t.Fatalf("publish %s: %v", room, err)
	}
	for _, sender := range pc.GetSenders() {
		p.reading.Go(func() { drain(sender.Read) })
	}
	for _, e := range video.GetParameters().HeaderExtensions {
		p.ids[e.URI] = uint8(e.ID)
	}
	select {
	case <-up:
	case <-time.After(20 * time.Second):
		t.Fatal("the publisher does not connect")
	}
	return p
}

// Write sends the next packet of every layer of the video, and now and then of
// the audio, and returns the number of the video's.
func (p *StampedPublisher) Write() (number int) {
	p.t.Helper()
	if p.tracks[1].number%4 == 0 {
		p.write(p.tracks[0])
	}
	for _, track := range p.tracks[1:] {
		number = track.number
		p.write(track)
	}
	return number
}

func (p *StampedPublisher) write(track *stampedTrack) {
	p.t.Helper()
	now := uint32(time.Since(p.began).Seconds() * float64(track.clock))
	track.last = max(now, track.last+1)
	packet := &rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: track.next, Timestamp: track.last},
		Payload: stampedPayload(track.codec, track.source, track.number),
	}
	var err error
	if rid := track.RID(); rid != "" && track.number < 200 {
		err = errors.Join(packet.SetExtension(p.ids[uriMID], []byte("1")), packet.SetExtension(p.ids[uriRID], []byte(rid)))
	}
	track.next++
	track.number++
	if err = errors.Join(err, track.WriteRTP(packet)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatalf("publish: %v", err)
	}
}

// Jump leaves sequence numbers out, as if as many packets had been lost, and
// goes on with the packet that would have come next.
func (p *StampedPublisher) Jump(by uint16) {
	for _, track := range p.tracks {
		track.next += by
	}
}

// Close ends the session.
func (p *StampedPublisher) Close() {
	if p.Session != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 5*time.Second)
		defer cancel()
		_ = p.Session.Close(ctx) // the node may be gone already
		p.Session = nil
	}
	if err := p.pc.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
		p.t.Errorf("close: %v", err)
	}
	p.reading.Wait()
}
