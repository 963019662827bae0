package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// Media is one m-section of an offer.
type Media struct {
	Kind      string // "audio" or "video"
	MID       string
	Direction string
	Codecs    string // the lines from a=rtpmap on
	Formats   string // payload types of the m-line
	Extra     string // more lines, each ended by CRLF
}

// The sections that most offers are made of.
func opusSection(direction string) Media {
	return Media{
		Kind: "audio", MID: "0", Direction: direction, Formats: "111",
		Codecs: "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
	}
}

func h264Section(direction string) Media {
	return Media{
		Kind: "video", MID: "1", Direction: direction, Formats: "96 97",
		Codecs: "a=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
			"a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n" +
			"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
	}
}

// Offer writes the SDP of an offer with fresh credentials: BUNDLE over all
// sections, actpass, a fingerprint that no handshake will meet.
func Offer(sections ...Media) string {
	var b, mids strings.Builder
	for _, s := range sections {
		mids.WriteString(" " + s.MID)
	}
	ufrag, pwd, fingerprint := randomText(4), randomText(12), randomFingerprint()
	fmt.Fprintf(&b, "v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE%s\r\na=ice-options:trickle\r\n",
		int64(1)<<62, mids.String())
	for _, s := range sections {
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\n", s.Kind, s.Formats)
		fmt.Fprintf(&b, "a=mid:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:actpass\r\n",
			s.MID, ufrag, pwd, fingerprint)
		fmt.Fprintf(&b, "a=rtcp-mux\r\na=%s\r\n", s.Direction)
		if strings.HasPrefix(s.Direction, "send") {
			fmt.Fprintf(&b, "a=msid:stream track%s\r\n", s.MID)
		}
		b.WriteString(s.Codecs)
		b.WriteString(s.Extra)
	}
	return b.String()
}

// PublishOffer is an offer that every WHIP server must take: Opus and H264.
func PublishOffer() string { return Offer(opusSection("sendonly"), h264Section("sendonly")) }

// PlayOffer is an offer that every WHEP server must take when H264 or nothing
// is on air.
func PlayOffer() string { return Offer(opusSection("recvonly"), h264Section("recvonly")) }

// Edit replaces text of an offer and panics when it is not there: a check that
// changes nothing would judge something else.
func Edit(offer, old, replacement string) string {
	if !strings.Contains(offer, old) {
		panic("conformance: the offer has no " + old) //nolint:forbidigo // becomes a failure of the check, see T.run
	}
	return strings.ReplaceAll(offer, old, replacement)
}

// DropLines removes the lines that begin with prefix.
func DropLines(offer, prefix string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(offer, "\n") {
		if !strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// onlyTagged keeps the lines that begin with prefix in the first section alone.
func onlyTagged(prefix string) func(offer string) string {
	return func(offer string) string {
		head, second, _ := strings.Cut(offer, "m=video")
		return head + "m=video" + DropLines(second, prefix)
	}
}

// TrickleOf is a fragment with the credentials of an offer and one candidate.
func TrickleOf(offer string) string {
	return Fragment(sdpLine(offer, "a=ice-ufrag:"), sdpLine(offer, "a=ice-pwd:"), sdpLine(offer, "a=mid:"),
		"a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host\r\n")
}

// RestartOf is a fragment with new credentials for an offer.
func RestartOf(offer string) string {
	return Fragment(randomText(4), randomText(12), sdpLine(offer, "a=mid:"), "")
}

// Fragment is a trickle-ice-sdpfrag with credentials at session level.
func Fragment(ufrag, pwd, mid, candidates string) string {
	return "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:" + mid + "\r\n" + candidates
}

// randomText is n random bytes in hexadecimal.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func randomFingerprint() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return colons(b)
}
