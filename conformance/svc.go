package conformance

import (
	"math/rand/v2"
	"time"
)

const ptVP9 = 100

func vp9Section(direction string) Media {
	return Media{
		Kind: "video", MID: "1", Direction: direction, Formats: "100",
		Codecs: "a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=0\r\na=rtcp-fb:100 nack\r\na=rtcp-fb:100 nack pli\r\n",
	}
}

// svcFeed is VP9 with two spatial layers in one stream.
func svcFeed() *feed {
	return &feed{
		pt: ptVP9, ssrc: rand.Uint32(), clock: 90000, every: time.Second / 30, keyEvery: keyframeInterval, reports: true, //nolint:gosec // not a secret
		payloader: &svcPayloader{},
		frame: func(n int, key bool) []byte {
			if key {
				return append([]byte{0x82, 0x49, 0x83, 0x42}, noise(n, 1500)...) // RFC 9628 section 4.2; a key frame
			}
			return append([]byte{0x86}, noise(n, 300)...)
		},
	}
}

// svcPayloader writes each frame twice, as the pictures of two spatial layers,
// with the payload descriptor of RFC 9628 section 4.2 in non-flexible mode.
type svcPayloader struct{ picture byte }

func (p *svcPayloader) Payload(mtu uint16, frame []byte) [][]byte {
	const i, inter, l, b, e, v = 0x80, 0x40, 0x20, 0x08, 0x04, 0x02
	key := frame[0] == 0x82
	p.picture = (p.picture + 1) & 0x7f
	var out [][]byte
	for spatial := range byte(2) {
		for rest := frame; len(rest) > 0; {
			size := min(len(rest), int(mtu)-32)
			head := byte(i | l)
			if !key {
				head |= inter
			}
			if len(rest) == len(frame) {
				head |= b
			}
			if size == len(rest) {
				head |= e
			}
			structured := key && spatial == 0 && head&b != 0
			if structured {
				head |= v
			}
			d := spatial // D: the layer is predicted from the one below
			packet := []byte{head, p.picture, spatial<<1 | d, p.picture}
			if structured {
				packet = append(packet, 1<<5|1<<4, 640>>8, 640&0xff, 360>>8, 360&0xff, 1280>>8, 1280&0xff, 720>>8, 720&0xff)
			}
			out = append(out, append(packet, rest[:size]...))
			rest = rest[size:]
		}
	}
	return out
}

// spatialOf is the spatial layer of a VP9 payload with layer indices.
func spatialOf(payload []byte) int {
	if len(payload) < 4 || payload[0]&0xa0 != 0xa0 {
		return 0
	}
	at := 2
	if payload[1]&0x80 != 0 { // a picture id of 15 bits
		at = 3
	}
	return int(payload[at] >> 1 & 7)
}

func checkSVC(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), vp9Section("sendonly")})
	resp := t.PostOffer(t.Room.WHIP, a.Offer)
	if unprocessable(resp.Status) {
		t.Skipf("the server takes no VP9: %v", resp)
	}
	a.adopt(t.opened(resp, a.Offer))
	a.connect()
	a.start(opusFeed(), svcFeed())
	v := t.viewVP9()
	upper := func() bool {
		for _, p := range v.packets(ptVP9) {
			if spatialOf(p.Payload) == 1 {
				return true
			}
		}
		return false
	}
	if !v.plays(ptVP9, connectPatience) {
		t.Errorf("expected VP9 with spatial layers to be played, got none")
	} else if !t.Until(5*time.Second, upper) {
		t.Errorf("expected the upper spatial layer to come along, got the lower one alone")
	}
	t.Until(time.Second, func() bool { _, all := v.missing(ptVP9, 0); return all > 50 })
	if missing, all := v.missing(ptVP9, 200*time.Millisecond); missing > 0 {
		t.Errorf("expected a stream without gaps, got %d of %d packets missing", missing, all)
	}
}

// viewVP9 plays Opus and VP9 by hand.
func (t *T) viewVP9(change ...func(*Agent)) *Agent {
	v := t.agent([]Media{opusSection("recvonly"), vp9Section("recvonly")}, change...)
	t.openLive(v)
	v.connect()
	v.keepAlive(2 * time.Second)
	v.receive(500 * time.Millisecond)
	return v
}
