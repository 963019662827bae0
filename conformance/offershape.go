package conformance

import "strings"

// The header extensions that browsers offer.
const (
	uriAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriMID        = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID        = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairRID  = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriSendTime   = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	uriWideCC     = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

const feedbackVideo = "goog-remb|transport-cc|ccm fir|nack|nack pli"

// browserOffer has what a browser offers: many codecs with repair, feedback and
// header extensions.
func browserOffer(direction string) string {
	audio := Media{Kind: "audio", MID: "0", Direction: direction, Formats: "111 63 9 0 8 13 110 126"}
	audio.Codecs = sdpLines(
		"rtpmap:111 opus/48000/2", "rtcp-fb:111 transport-cc", "fmtp:111 minptime=10;useinbandfec=1",
		"rtpmap:63 red/48000/2", "fmtp:63 111/111", "rtpmap:9 G722/8000", "rtpmap:0 PCMU/8000", "rtpmap:8 PCMA/8000",
		"rtpmap:13 CN/8000", "rtpmap:110 telephone-event/48000", "rtpmap:126 telephone-event/8000")
	audio.Extra = sdpLines("extmap:1 "+uriAudioLevel, "extmap:2 "+uriSendTime, "extmap:3 "+uriWideCC, "extmap:4 "+uriMID)
	video := Media{Kind: "video", MID: "1", Direction: direction, Formats: "96 97 98 99 102 103 104 105 45 46 116 117 118"}
	video.Codecs = videoCodec("96", "97", "VP8", "") + videoCodec("98", "99", "VP9", "profile-id=0") +
		videoCodec("102", "103", "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f") +
		videoCodec("104", "105", "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f") +
		videoCodec("45", "46", "AV1", "level-idx=5;profile=0;tier=0") +
		sdpLines("rtpmap:116 red/90000", "rtpmap:117 rtx/90000", "fmtp:117 apt=116", "rtpmap:118 ulpfec/90000")
	video.Extra = sdpLines("rtcp-rsize", "extmap:14 urn:ietf:params:rtp-hdrext:toffset", "extmap:2 "+uriSendTime,
		"extmap:13 urn:3gpp:video-orientation", "extmap:3 "+uriWideCC, "extmap:4 "+uriMID,
		"extmap:10 "+uriRID, "extmap:11 "+uriRepairRID)
	return Edit(Offer(audio, video), "t=0 0\r\n", "t=0 0\r\na=extmap-allow-mixed\r\n")
}

// videoCodec is a codec with its feedback and its repair.
func videoCodec(pt, repair, name, parameters string) string {
	list := []string{"rtpmap:" + pt + " " + name + "/90000"}
	for f := range strings.SplitSeq(feedbackVideo, "|") {
		list = append(list, "rtcp-fb:"+pt+" "+f)
	}
	if parameters != "" {
		list = append(list, "fmtp:"+pt+" "+parameters)
	}
	return sdpLines(append(list, "rtpmap:"+repair+" rtx/90000", "fmtp:"+repair+" apt="+pt)...)
}

func sdpLines(attributes ...string) string {
	return "a=" + strings.Join(attributes, "\r\na=") + "\r\n"
}

// bundleOnly gives all sections but the first port 0 and bundle-only, and takes
// from them what the first one says for all: the form of the offer that RFC 9725
// prints.
func bundleOnly(offer string) string {
	var b strings.Builder
	section := -1
	for line := range strings.SplitAfterSeq(offer, "\n") {
		if strings.HasPrefix(line, "m=") {
			section++
			if section > 0 {
				line = strings.Replace(line, " 9 ", " 0 ", 1) + "a=bundle-only\r\n"
			}
		}
		if section > 0 && hasAnyPrefix(line, "a=ice-", "a=fingerprint:", "a=setup:", "a=rtcp-mux") {
			continue
		}
		b.WriteString(line)
	}
	// c= stands before the attributes of a section.
	return strings.ReplaceAll(b.String(), "a=bundle-only\r\nc=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\na=bundle-only\r\n")
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// inSection edits section n of an offer and leaves the rest as it is.
func inSection(offer string, n int, edit func(string) string) string {
	parts := strings.Split(offer, "\r\nm=")
	parts[n+1] = strings.TrimPrefix(edit("m="+parts[n+1]+"\r\n"), "m=")
	parts[n+1] = strings.TrimSuffix(parts[n+1], "\r\n")
	text := strings.Join(parts, "\r\nm=")
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	return text
}
