package gatewaytest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Payload types of a SealedViewer's offer.
const (
	sealedOpus = 111
	sealedVP8  = 96 // and one more for its retransmissions, as with H264
	sealedH264 = 102
)

// sealedAnswer is what a SealedViewer reads from an answer.
type sealedAnswer struct {
	ufrag, pwd string
	addr       *net.UDPAddr
	active     bool
	ssrcs      map[string][]uint32 // by kind: media, retransmissions
}

func (v *SealedViewer) offer(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	var pairs []string
	for _, b := range sum {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	setup := "actpass"
	if v.options.Passive {
		setup = "passive"
	}
	common := "c=IN IP4 0.0.0.0\na=ice-ufrag:" + v.ufrag + "\na=ice-pwd:" + v.pwd +
		"\na=fingerprint:sha-256 " + strings.Join(pairs, ":") + "\na=setup:" + setup +
		"\na=recvonly\na=rtcp-mux\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n"
	if v.options.TransportCC {
		common += "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\n"
	}
	var b strings.Builder
	b.WriteString("v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n")
	fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF %d\na=mid:0\n%sa=rtpmap:%[1]d opus/48000/2\na=rtcp-fb:%[1]d nack\n", sealedOpus, common)
	formats := fmt.Sprintf("%d %d", sealedVP8, sealedH264)
	if v.options.RTX {
		formats += fmt.Sprintf(" %d %d", sealedVP8+1, sealedH264+1)
	}
	fmt.Fprintf(&b, "m=video 9 UDP/TLS/RTP/SAVPF %s\na=mid:1\n%s", formats, common)
	for pt, codec := range map[int]string{sealedVP8: "VP8", sealedH264: "H264"} {
		fmt.Fprintf(&b, "a=rtpmap:%d %s/90000\na=rtcp-fb:%[1]d nack\na=rtcp-fb:%[1]d nack pli\n", pt, codec)
		if v.options.TransportCC {
			fmt.Fprintf(&b, "a=rtcp-fb:%d transport-cc\n", pt)
		}
		if v.options.RTX {
			fmt.Fprintf(&b, "a=rtpmap:%d rtx/90000\na=fmtp:%[1]d apt=%d\n", pt+1, pt)
		}
	}
	fmt.Fprintf(&b, "a=fmtp:%d level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n", sealedH264)
	return strings.ReplaceAll(b.String(), "\n", "\r\n")
}

func readSealedAnswer(sdp string) (a sealedAnswer, err error) {
	a.ssrcs = map[string][]uint32{}
	kind := ""
	for line := range strings.Lines(sdp) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(value)
		switch {
		case strings.HasPrefix(key, "m="):
			kind, _, _ = strings.Cut(key[2:], " ")
		case key == "a=ice-ufrag":
			a.ufrag = value
		case key == "a=ice-pwd":
			a.pwd = value
		case key == "a=setup":
			a.active = value == "active"
		case key == "a=ssrc" && len(fields) > 1:
			n, err := strconv.ParseUint(fields[0], 10, 32)
			if err != nil {
				return a, err
			}
			a.ssrcs[kind] = append(a.ssrcs[kind], uint32(n))
		case key == "a=candidate" && len(fields) > 5 && a.addr == nil:
			port, err := strconv.Atoi(fields[5])
			if err != nil {
				return a, err
			}
			a.addr = &net.UDPAddr{IP: net.ParseIP(fields[4]), Port: port}
		}
	}
	if a.addr == nil || a.pwd == "" || len(a.ssrcs) != 2 {
		return a, errors.New("the answer lacks a candidate, a password or a section")
	}
	return a, nil
}
