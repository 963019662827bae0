package bench

import (
	"fmt"
	"net/netip"
	"strings"
)

// viewedCodecs is what every viewer offers, most wanted first. The first is what
// the publisher sends; the others are for streams that somebody else sends.
var viewedCodecs = []struct{ payloadType, name, parameters string }{
	{"106", "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
	{"108", "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"},
	{"110", "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"},
	{"96", "VP8/90000", ""},
	{"98", "VP9/90000", "profile-id=0"},
	{"45", "AV1/90000", ""},
}

// viewerOffer is the offer of a viewer who takes one audio and one video on one
// address, without extensions.
func viewerOffer(ufrag, pwd, fingerprint string, at netip.AddrPort) string {
	family, unspecified := "IP4", "0.0.0.0"
	if at.Addr().Is6() {
		family, unspecified = "IP6", "::"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\no=- 1 1 IN %s %s\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=msid-semantic: WMS *\n", family, at.Addr())
	section := func(mid, media string) {
		fmt.Fprintf(&b, "m=%s\nc=IN %s %s\na=rtcp:9 IN %s %s\n", media, family, unspecified, family, unspecified)
		fmt.Fprintf(&b, "a=ice-ufrag:%s\na=ice-pwd:%s\na=fingerprint:%s\na=setup:actpass\na=mid:%s\na=recvonly\na=rtcp-mux\na=rtcp-rsize\n", ufrag, pwd, fingerprint, mid)
		fmt.Fprintf(&b, "a=candidate:1 1 udp 2130706431 %s %d typ host\na=end-of-candidates\n", at.Addr(), at.Port())
	}
	section("0", "audio 9 UDP/TLS/RTP/SAVPF 111")
	b.WriteString("a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n")
	var types []string
	for _, c := range viewedCodecs {
		types = append(types, c.payloadType)
	}
	section("1", "video 9 UDP/TLS/RTP/SAVPF "+strings.Join(types, " "))
	for _, c := range viewedCodecs {
		fmt.Fprintf(&b, "a=rtpmap:%s %s\n", c.payloadType, c.name)
		for _, feedback := range []string{"nack", "nack pli", "ccm fir"} {
			fmt.Fprintf(&b, "a=rtcp-fb:%s %s\n", c.payloadType, feedback)
		}
		if c.parameters != "" {
			fmt.Fprintf(&b, "a=fmtp:%s %s\n", c.payloadType, c.parameters)
		}
	}
	return strings.ReplaceAll(b.String(), "\n", "\r\n")
}
