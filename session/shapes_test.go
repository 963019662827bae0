package session_test

import (
	"fmt"
	"strings"
)

// Parts that the shapes of offers are made of. "DIR" stands for the direction
// of the offer, and "MSID name" for the a=msid line of whoever sends.
const (
	shapeICE    = "a=ice-ufrag:Sh4p\na=ice-pwd:0123456789abcdefABCDEF+/\n"
	shapeDTLS   = "a=fingerprint:sha-256 " + shapeDigest + "\n"
	shapeDigest = "0A:1B:2C:3D:4E:5F:60:71:82:93:A4:B5:C6:D7:E8:F9:0A:1B:2C:3D:4E:5F:60:71:82:93:A4:B5:C6:D7:E8:F9"
	shapeAct    = "a=setup:actpass\n"
	transport   = shapeICE + "a=ice-options:trickle\n" + shapeDTLS + shapeAct
	head        = "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
	bundle      = head + "a=group:BUNDLE 0 1\n"

	opusLines = "a=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\na=fmtp:111 minptime=10;useinbandfec=1\n"
	audioMore = "a=rtpmap:63 red/48000/2\na=fmtp:63 111/111\na=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n" +
		"a=rtpmap:13 CN/8000\na=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000\n"

	extMID  = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\n"
	extTWCC = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\n"
	extRest = "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\na=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\n" +
		"a=extmap:13 urn:3gpp:video-orientation\na=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\n" +
		"a=extmap:6 http://www.webrtc.org/experiments/rtp-hdrext/video-content-type\na=extmap:7 http://www.webrtc.org/experiments/rtp-hdrext/video-timing\n" +
		"a=extmap:8 http://www.webrtc.org/experiments/rtp-hdrext/color-space\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n" +
		"a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\n" +
		"a=extmap:12 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\n"
	extAudio = "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n"

	muxed = "a=rtcp-mux\na=rtcp-rsize\n"
)

// section of an offer: the m= line, c=, mid and direction, then the rest.
func mline(kind string, port int, mid, formats string, rest ...string) string {
	text := fmt.Sprintf("m=%s %d UDP/TLS/RTP/SAVPF %s\nc=IN IP4 0.0.0.0\n", kind, port, formats)
	if mid != "" {
		text += "a=mid:" + mid + "\n"
	}
	return text + "DIR\nMSID " + kind + "\n" + strings.Join(rest, "")
}

// codec are the lines of a video codec with all feedback, and of its
// retransmission when rtx is not 0.
func codec(pt int, name, fmtp string, rtx int) string {
	text := fmt.Sprintf("a=rtpmap:%d %s/90000\n", pt, name)
	for _, fb := range []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"} {
		text += fmt.Sprintf("a=rtcp-fb:%d %s\n", pt, fb)
	}
	if fmtp != "" {
		text += fmt.Sprintf("a=fmtp:%d %s\n", pt, fmtp)
	}
	if rtx != 0 {
		text += fmt.Sprintf("a=rtpmap:%d rtx/90000\na=fmtp:%d apt=%d\n", rtx, rtx, pt)
	}
	return text
}

func h264Line(pt int, profile string, mode, rtx int) string {
	return codec(pt, "H264", fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=%d;profile-level-id=%s", mode, profile), rtx)
}

// plain are a small audio and a small video section, which most shapes vary.
func plainAudio(rest ...string) string {
	return mline("audio", 9, "0", "111", append([]string{transport, extMID, "a=rtcp-mux\n", opusLines}, rest...)...)
}

func plainVideo(rest ...string) string {
	return mline("video", 9, "1", "96 97", append([]string{transport, extMID, extTWCC, muxed, codec(96, "VP8", "", 97)}, rest...)...)
}

func plainOffer() string { return bundle + plainAudio() + plainVideo() }

// replaced is the plain offer with some texts in place of others.
func replaced(pairs ...string) string {
	text := plainOffer()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			return "the shape replaces what is not there: " + pairs[i]
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// written is the shape as a client with that direction would send it.
func written(shape, direction string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(shape, "\n"), "\n") {
		switch kind, sends := strings.CutPrefix(line, "MSID "); {
		case line == "DIR":
			line = "a=" + direction
		case sends && direction == "recvonly":
			continue
		case sends:
			line = "a=msid:stream " + kind
		}
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

func chromeShape(session, audio, video, videoFormats string) string {
	return head + "a=group:BUNDLE 0 1\n" + session +
		mline("audio", 9, "0", "111 63 9 0 8 13 110 126", "a=rtcp:9 IN IP4 0.0.0.0\n", transport, extAudio, extTWCC, extMID, muxed, audio) +
		mline("video", 9, "1", videoFormats, "a=rtcp:9 IN IP4 0.0.0.0\n", transport, extTWCC, extMID, extRest, muxed, video)
}

func chromeDesktop() string {
	return chromeShape("a=extmap-allow-mixed\na=msid-semantic: WMS stream\n", opusLines+audioMore,
		codec(96, "VP8", "", 97)+h264Line(102, "42001f", 1, 103)+h264Line(104, "42001f", 0, 105)+h264Line(106, "42e01f", 1, 107)+
			h264Line(108, "42e01f", 0, 109)+h264Line(39, "4d001f", 1, 40)+h264Line(41, "64001f", 1, 42)+
			codec(98, "VP9", "profile-id=0", 99)+codec(100, "VP9", "profile-id=2", 101)+codec(45, "AV1", "level-idx=5;profile=0;tier=0", 46)+
			"a=rtpmap:112 red/90000\na=rtpmap:113 rtx/90000\na=fmtp:113 apt=112\na=rtpmap:114 ulpfec/90000\n"+
			"a=rtpmap:115 flexfec-03/90000\na=rtcp-fb:115 goog-remb\na=fmtp:115 repair-window=10000000\n",
		"96 97 102 103 104 105 106 107 108 109 39 40 41 42 98 99 100 101 45 46 112 113 114 115")
}

func edgeWithH265() string {
	return chromeShape("a=extmap-allow-mixed\na=msid-semantic: WMS\n", opusLines+audioMore,
		h264Line(102, "640c1f", 1, 103)+codec(49, "H265", "level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST", 50)+codec(96, "VP8", "", 97)+
			codec(98, "VP9", "profile-id=0", 99), "102 103 49 50 96 97 98 99")
}

func chromeAndroid() string {
	return chromeShape("a=extmap-allow-mixed\na=msid-semantic: WMS stream\n", opusLines+audioMore,
		codec(96, "VP8", "", 97)+codec(98, "VP9", "profile-id=0", 99)+codec(45, "AV1", "", 46)+h264Line(125, "42e01f", 1, 107)+
			codec(108, "H265", "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", 109), "96 97 98 99 45 46 125 107 108 109")
}

func webView() string { // no hardware codec: no H264
	return chromeShape("a=msid-semantic: WMS stream\n", opusLines+audioMore, codec(96, "VP8", "", 97)+codec(98, "VP9", "profile-id=0", 99), "96 97 98 99")
}

func firefoxShape(video, formats string) string {
	return "v=0\no=mozilla...THIS_IS_SDPARTA-99.0 1234567890123456789 0 IN IP4 0.0.0.0\ns=-\nt=0 0\na=sendrecv\n" + shapeDTLS +
		"a=group:BUNDLE 0 1\na=ice-options:trickle\na=msid-semantic:WMS *\n" +
		mline("audio", 9, "0", "109 9 0 8 101", "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\na=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level\n"+
			"a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\na=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\na=fmtp:101 0-15\n"+
			"a=ice-pwd:81f3da876370263fac6fdcbe924d027f\na=ice-ufrag:59ea517e\na=rtcp-mux\na=rtpmap:109 opus/48000/2\na=rtpmap:9 G722/8000/1\n"+
			"a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=setup:actpass\na=ssrc:1001 cname:{a}\n") +
		mline("video", 9, "1", formats, "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\n"+
			"a=extmap:6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\na=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\n"+
			"a=ice-pwd:81f3da876370263fac6fdcbe924d027f\na=ice-ufrag:59ea517e\na=rtcp-mux\na=rtcp-rsize\na=setup:actpass\n"+video)
}

func firefoxDesktop() string {
	return firefoxShape(codec(120, "VP8", "max-fs=12288;max-fr=60", 124)+codec(121, "VP9", "max-fs=12288;max-fr=60", 125)+
		h264Line(126, "42e01f", 1, 127)+h264Line(97, "42e01f", 0, 98)+codec(99, "AV1", "", 100)+
		"a=rtpmap:123 ulpfec/90000\na=rtpmap:122 red/90000\na=fmtp:122 120/121\n", "120 124 121 125 126 127 97 98 99 100 123 122")
}

func safari() string {
	return chromeShape("a=extmap-allow-mixed\na=msid-semantic: WMS stream\n", opusLines+audioMore,
		h264Line(96, "640c1f", 1, 97)+h264Line(98, "42e01f", 1, 99)+h264Line(100, "640c1f", 0, 101)+h264Line(102, "42e01f", 0, 103)+
			codec(104, "H265", "level-id=93;tx-mode=SRST", 105)+codec(106, "VP8", "", 107)+codec(108, "VP9", "profile-id=0", 109)+codec(110, "AV1", "level-idx=5;profile=0;tier=0", 111),
		"96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111")
}

func safariOld() string {
	return chromeShape("a=msid-semantic: WMS stream\n", opusLines+audioMore, h264Line(96, "640c1f", 1, 97)+h264Line(98, "42e01f", 1, 99)+codec(100, "VP8", "", 101), "96 97 98 99 100 101")
}

func libwebrtcNative() string { // no allow-mixed, sections named by kind, renomination
	return head + "a=group:BUNDLE audio video\na=msid-semantic: WMS\n" +
		mline("audio", 9, "audio", "111 103", strings.ReplaceAll(transport, "trickle", "trickle renomination"), extAudio, "a=rtcp-mux\n", opusLines, "a=rtpmap:103 ISAC/16000\na=maxptime:60\n") +
		mline("video", 9, "video", "127 120", strings.ReplaceAll(transport, "trickle", "trickle renomination"), extRest, muxed, h264Line(127, "42e034", 1, 120))
}

func libdatachannel() string { // ICE options and fingerprint for all, LS group
	return "v=0\no=rtc 3045871234 0 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=group:LS 0 1\na=msid-semantic:WMS *\na=ice-options:ice2,trickle\n" + shapeDTLS +
		mline("video", 9, "0", "96", "a=ssrc:42 cname:c\na=ssrc:42 msid:stream video\na=rtcp-mux\n", codec(96, "H264", "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1", 0), shapeAct, shapeICE) +
		mline("audio", 9, "1", "111", "a=ssrc:43 cname:c\na=rtcp-mux\n", opusLines, shapeAct, shapeICE)
}

func aiortc() string { // real ports and addresses, three fingerprints, candidates up front
	addressed := func(kind, mid, formats string, rest ...string) string {
		text := mline(kind, 43210, mid, formats, rest...)
		return strings.ReplaceAll(text, "c=IN IP4 0.0.0.0", "c=IN IP4 192.0.2.7") + "a=rtcp:9 IN IP4 0.0.0.0\na=rtcp-mux\n" +
			"a=candidate:1a 1 udp 2130706431 192.0.2.7 43210 typ host\na=candidate:2b 1 udp 1694498815 198.51.100.7 43210 typ srflx raddr 192.0.2.7 rport 43210\na=end-of-candidates\n" +
			shapeICE + shapeDTLS + "a=fingerprint:sha-384 " + digest(48) + "\na=fingerprint:sha-512 " + digest(64) + "\n" + shapeAct
	}
	return head + "a=group:BUNDLE 0 1\na=msid-semantic:WMS *\n" +
		addressed("audio", "0", "96 9 0 8", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\na=ssrc:1 cname:c\na=rtpmap:96 opus/48000/2\na=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n") +
		addressed("video", "1", "97 98 99 100", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\na=ssrc-group:FID 2 3\na=ssrc:2 cname:c\na=ssrc:3 cname:c\n", codec(97, "VP8", "", 98), h264Line(99, "42001f", 1, 100))
}

func digest(n int) string { return strings.TrimSuffix(strings.Repeat("A5:", n), ":") }

func webrtcRS() string { // DTLS for all, ICE in each, odd mid names
	return "v=0\no=- 7324892304982304 483920000 IN IP4 0.0.0.0\ns=-\nt=0 0\n" + shapeDTLS + "a=extmap-allow-mixed\na=group:BUNDLE 0 1\n" +
		mline("audio", 9, "0", "111 9 0 8", shapeAct, shapeICE, "a=rtcp-mux\na=rtcp-rsize\n", opusLines, "a=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=ssrc:9 cname:x\n") +
		mline("video", 9, "1", "96 98 102", shapeAct, shapeICE, muxed, codec(96, "VP8", "", 0), codec(98, "VP9", "profile-id=0", 0), h264Line(102, "42001f", 1, 0), extTWCC)
}

func str0m() string { // three-letter mids, video first
	return "v=0\no=str0m-0.9 1697483647 2 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE q7k Zx2\na=msid-semantic:WMS *\na=fingerprint:sha-256 " + shapeDigest + "\na=ice-ufrag:Sh4p\na=ice-pwd:0123456789abcdefABCDEF+/\na=ice-options:trickle\na=setup:actpass\n" +
		mline("video", 9, "q7k", "96 97 108 109", "a=rtcp-mux\na=rtcp-rsize\n", extMID, extTWCC, codec(96, "VP8", "", 97), h264Line(108, "42e01f", 1, 109)) +
		mline("audio", 9, "Zx2", "111", "a=rtcp-mux\n", extMID, opusLines)
}

func gstreamer() string { // upper case, port 0 with bundle-only in the second
	return "v=0\no=- 8473920184 0 IN IP4 0.0.0.0\ns=-\nt=0 0\na=ice-options:trickle\na=group:BUNDLE video0 audio1\n" +
		mline("video", 9, "video0", "101", shapeAct, shapeICE, muxed, "a=rtcp-mux-only\n", "a=framerate:30\n", codec(101, "VP8", "", 0), shapeDTLS) +
		mline("audio", 0, "audio1", "96", shapeAct, shapeICE, "a=bundle-only\n", muxed, "a=rtcp-mux-only\na=rtpmap:96 OPUS/48000/2\na=fmtp:96 sprop-stereo=1;stereo=1\n", shapeDTLS)
}

func mobileEncoder() string { // Larix has its stack from libdatachannel
	return "v=0\no=rtc 99 0 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE audio-stream video-stream\na=msid-semantic:WMS *\n" + shapeAct + shapeICE + "a=ice-options:trickle\n" + shapeDTLS +
		mline("audio", 9, "audio-stream", "111", "a=rtcp-mux\n", opusLines) +
		mline("video", 9, "video-stream", "102 103", "a=rtcp-mux\n", codec(102, "H264", "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1", 0), codec(103, "H265", "", 0))
}

func headset() string { // an encoder in hardware: one codec of high profile, renomination, no feedback but PLI
	return bundle + "a=ice-options:trickle renomination\n" + shapeICE + shapeDTLS + shapeAct +
		mline("audio", 9, "0", "111", "a=rtcp-mux\na=rtpmap:111 opus/48000/2\n") +
		mline("video", 9, "1", "100", "a=rtcp-mux\na=rtpmap:100 H264/90000\na=rtcp-fb:100 nack pli\na=fmtp:100 packetization-mode=1;profile-level-id=640034\n")
}

func manyPayloadTypes() string {
	formats, lines := "", ""
	for i := range 20 {
		pt, rtx := 96+i, 35+i
		formats += fmt.Sprintf(" %d %d", pt, rtx)
		lines += h264Line(pt, fmt.Sprintf("42e0%02x", 10+i), 1, rtx)
	}
	return bundle + plainAudio() + mline("video", 9, "1", strings.TrimSpace(formats), transport, extMID, muxed, lines)
}

func manyExtensions(first int) string {
	lines := ""
	for i := range 20 {
		lines += fmt.Sprintf("a=extmap:%d urn:example:extension:%d\n", first+i, i)
	}
	return bundle + plainAudio(lines) + strings.ReplaceAll(plainVideo(), extMID, lines)
}

func layers() string {
	return bundle + plainAudio() + plainVideo("a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\na=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\n"+
		"a=rid:h send\na=rid:m send\na=rid:l send\na=simulcast:send h;m;l\n")
}
