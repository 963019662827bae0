package conformance

import (
	"net/http"
	"strings"
)

// whipOfferChecks judge what offers are taken and which are refused.
func whipOfferChecks() []Check {
	row := rows("WHIP-OFFER")
	return []Check{
		row(1, "RFC 9725 4.2", Client, "sendonly and sendrecv are taken, and answered recvonly", checkDirections),
		row(2, "RFC 9725 4.2", Client, "recvonly is refused", func(t *T) {
			t.wantRefused("recvonly", Offer(opusSection("recvonly"), h264Section("recvonly")), http.StatusUnprocessableEntity)
		}),
		row(3, "RFC 9725 4.2", Client, "inactive is refused, in one section too", func(t *T) {
			t.wantRefused("an inactive section", Offer(opusSection("sendonly"), h264Section("inactive")), http.StatusUnprocessableEntity)
			t.wantRefused("inactive sections", Offer(opusSection("inactive"), h264Section("inactive")), http.StatusUnprocessableEntity)
		}),
		row(4, "RFC 9725 4.4.2", Must, "more tracks of a kind or more streams than are supported are refused", checkTooMany),
		row(5, "RFC 9725 4.4.2", Client, "sound alone and picture alone are taken", func(t *T) {
			t.wantTaken("audio alone", Offer(opusSection("sendonly")))
			t.wantTaken("video alone", Offer(h264Section("sendonly")))
		}),
		row(6, "RFC 9725 4.4.2", Client, "an offer without msid is taken", checkNoMSID),
		row(7, "Sluice", Choice, "tracks without a stream count as one stream", func(t *T) {
			t.wantTaken("msid of -", Edit(PublishOffer(), "a=msid:stream ", "a=msid:- "))
		}),
		row(8, "RFC 9725 4.4.1", Must, "BUNDLE over all sections is answered in kind", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			a := describe(s.Answer)
			t.wantSections(a)
			t.wrong(bundleFaults(describe(s.Offer), a))
		}),
		row(9, "RFC 9725 4.4.1", Choice, "two sections without BUNDLE are refused, one is taken", func(t *T) {
			t.wantRefused("two sections without BUNDLE", DropLines(PublishOffer(), "a=group:"), http.StatusUnprocessableEntity)
			t.wantTaken("one section without BUNDLE", DropLines(Offer(opusSection("sendonly")), "a=group:"))
		}),
		row(10, "RFC 9725 4.4.1", Must, "rtcp-mux is demanded in the section that speaks for all, and there alone", func(t *T) {
			drop := func(s string) string { return DropLines(s, "a=rtcp-mux") }
			t.wantRefused("no rtcp-mux in the first section", inSection(PublishOffer(), 0, drop), http.StatusUnprocessableEntity)
			t.wantRefused("no rtcp-mux", DropLines(PublishOffer(), "a=rtcp-mux"), http.StatusUnprocessableEntity)
			t.wantTaken("no rtcp-mux in the second section", inSection(PublishOffer(), 1, drop))
		}),
		row(11, "RFC 8858", Client, "rtcp-mux-only is taken and not demanded", func(t *T) {
			t.wantTaken("no rtcp-mux-only", PublishOffer())
			t.wantTaken("rtcp-mux-only", Edit(PublishOffer(), "a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n"))
		}),
		row(12, "RFC 9725 4.4.4", Client, "setup:actpass is taken", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			a := describe(s.Answer)
			t.wantSections(a)
			t.wrong(setupFaults(describe(s.Offer), a))
		}),
		row(13, "RFC 9725 4.4.4", Should, "setup:active is taken, or refused with 422 or 400", checkActive),
		row(15, "RFC 8842", Choice, "no setup counts as actpass, holdconn is refused", func(t *T) {
			t.wantTaken("no setup", DropLines(PublishOffer(), "a=setup:"))
			t.wantRefused("holdconn", Edit(PublishOffer(), "a=setup:actpass", "a=setup:holdconn"), http.StatusUnprocessableEntity)
		}),
		row(17, "RFC 8122 5", Choice, "long hashes are taken, several fingerprints too; sha-1 alone is refused", checkHashes),
		row(18, "RFC 8839 5.4", Must, "ICE credentials that are too short or missing are refused", checkOfferedCredentials),
		row(20, "RFC 9725 4.3.2", Must, "candidates that cannot be used are skipped", func(t *T) {
			t.wantTaken("candidates of odd kinds", inSection(PublishOffer(), 0, func(s string) string {
				return s + sdpLines("candidate:1 1 sctp 2130706431 192.0.2.1 9 typ host",
					"candidate:2 1 udp 2130706431 3b2f9a52-0c3e-4a5e-9d5e-2b6c7a0f1d11.local 40000 typ host",
					"candidate:3 1 udp 1 no-such-host.invalid 40000 typ host",
					"candidate:4 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
					"candidate:5 1 udp 2130706431 127.0.0.1 40000 typ host")
			}))
		}),
		row(21, "RFC 8445", Client, "a client that is lite is refused", checkLiteClient),
		row(22, "RFC 9725 4.4.3", Should, "an offer with a section that cannot be taken is refused as a whole", func(t *T) {
			theora := Media{Kind: "video", MID: "1", Direction: "sendonly", Formats: "96", Codecs: "a=rtpmap:96 THEORA/90000\r\n"}
			t.wantRefused("Opus and Theora", Offer(opusSection("sendonly"), theora), http.StatusUnprocessableEntity)
		}),
		row(23, "Sluice", Choice, "a data channel is answered or refused", checkDataChannel),
		row(24, "RFC 8866", Choice, "mids that contradict each other are 400", checkMIDs),
		row(25, "RFC 6184 8.2.2", Choice, "H264 of any profile is taken, in both packetization modes", checkProfiles),
		row(26, "RFC 8285", Choice, "a header extension of a number that was not allowed is not taken up", checkExtensionIDs),
	}
}

// unprocessable is what RFC 9725 lets a server say to an offer it will not take.
var unprocessable = Is(http.StatusBadRequest, http.StatusUnprocessableEntity)

// wantRefused wants an offer refused: with our code when the check is strict.
func (t *T) wantRefused(name, offer string, ours int) {
	t.WantChoice(t.ask(t.Room.WHIP, offer), ours, "400 or 422 to "+name, unprocessable)
}

func checkDirections(t *T) {
	for _, direction := range []string{"sendonly", "sendrecv"} {
		r := t.wantTaken(direction, Offer(opusSection(direction), h264Section(direction)))
		a := describe(r.Body)
		t.wantSections(a)
		t.wrong(directionFaults(a, "recvonly"))
	}
}

func checkNoMSID(t *T) {
	offer := DropLines(PublishOffer(), "a=msid:")
	t.wantTaken("an offer without msid", offer)
	for n, ssrc := range []string{"1234", "5678"} {
		offer = inSection(offer, n, func(s string) string {
			return s + sdpLines("ssrc:"+ssrc+" cname:x", "ssrc:"+ssrc+" msid:stream track"+ssrc)
		})
	}
	t.wantTaken("an offer with msid in ssrc lines", offer)
}

func checkTooMany(t *T) {
	second := h264Section("sendonly")
	second.MID = "2"
	two := Offer(opusSection("sendonly"), h264Section("sendonly"), second)
	streams := inSection(PublishOffer(), 1, func(s string) string { return Edit(s, "a=msid:stream ", "a=msid:another ") })
	for name, offer := range map[string]string{"two video sections": two, "two streams": streams} {
		t.Want(t.ask(t.Room.WHIP, offer), "400 or 422 to "+name, unprocessable)
	}
}

func checkActive(t *T) {
	offer := Edit(PublishOffer(), "a=setup:actpass", "a=setup:active")
	r := t.PostOffer(t.Room.WHIP, offer)
	if r.Status == http.StatusCreated {
		a := describe(r.Body)
		t.wantSections(a)
		t.wrong(setupFaults(describe(offer), a))
		return
	}
	t.WantChoice(r, http.StatusCreated, "201, 400 or 422", unprocessable)
}

func checkHashes(t *T) {
	offer := PublishOffer()
	line := "a=fingerprint:" + sdpLine(offer, "a=fingerprint:") + "\r\n"
	bytes := func(n int) string { return strings.TrimSuffix(strings.Repeat("AB:", n), ":") }
	t.wantTaken("sha-384", Edit(offer, line, "a=fingerprint:sha-384 "+bytes(48)+"\r\n"))
	t.wantTaken("sha-512", Edit(offer, line, "a=fingerprint:sha-512 "+bytes(64)+"\r\n"))
	t.wantTaken("sha-1 and sha-256", Edit(offer, line, "a=fingerprint:sha-1 "+bytes(20)+"\r\n"+line))
	t.wantRefused("sha-1 alone", Edit(offer, line, "a=fingerprint:sha-1 "+bytes(20)+"\r\n"), http.StatusUnprocessableEntity)
	t.wantRefused("md5 alone", Edit(offer, line, "a=fingerprint:md5 "+bytes(16)+"\r\n"), http.StatusUnprocessableEntity)
}

func checkOfferedCredentials(t *T) {
	offer := PublishOffer()
	ufrag, pwd := sdpLine(offer, "a=ice-ufrag:"), sdpLine(offer, "a=ice-pwd:")
	for name, bad := range map[string]string{
		"a ufrag of 3 characters":   Edit(offer, "a=ice-ufrag:"+ufrag, "a=ice-ufrag:abc"),
		"a pwd of 21 characters":    Edit(offer, "a=ice-pwd:"+pwd, "a=ice-pwd:"+pwd[:21]),
		"a ufrag of 257 characters": Edit(offer, "a=ice-ufrag:"+ufrag, "a=ice-ufrag:"+strings.Repeat("u", 257)),
		"no ufrag":                  DropLines(offer, "a=ice-ufrag:"),
		"no pwd":                    DropLines(offer, "a=ice-pwd:"),
	} {
		t.wantRefused(name, bad, http.StatusBadRequest)
	}
	atSession := Edit(DropLines(DropLines(offer, "a=ice-ufrag:"), "a=ice-pwd:"), "t=0 0\r\n",
		"t=0 0\r\na=ice-ufrag:"+ufrag+"\r\na=ice-pwd:"+pwd+"\r\n")
	t.wantTaken("credentials at session level", atSession)
	t.wantTaken("credentials in the first section alone", bundleOnly(offer))
}

func checkLiteClient(t *T) {
	r := t.PostOffer(t.Room.WHIP, Edit(PublishOffer(), "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"))
	t.WantChoice(r, http.StatusUnprocessableEntity, "201, 400 or 422",
		Is(http.StatusCreated, http.StatusBadRequest, http.StatusUnprocessableEntity))
}

func checkDataChannel(t *T) {
	data := Edit(Offer(opusSection("sendonly"), h264Section("sendonly"), Media{Kind: "application", MID: "2", Direction: "sendrecv"}),
		"m=application 9 UDP/TLS/RTP/SAVPF ", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
	data = inSection(data, 2, func(s string) string {
		return DropLines(DropLines(DropLines(s, "a=sendrecv"), "a=msid:"), "a=rtcp-mux") + "a=sctp-port:5000\r\na=max-message-size:262144\r\n"
	})
	r := t.PostOffer(t.Room.WHIP, data)
	if r.Status != http.StatusCreated {
		t.WantChoice(r, http.StatusUnprocessableEntity, "201, 400 or 422", unprocessable)
		return
	}
	a := describe(r.Body)
	t.wrong(sectionFaults(describe(data), a))
	t.wrong(rejectionFaults(a))
}

func checkMIDs(t *T) {
	offer := PublishOffer()
	for name, bad := range map[string]string{
		"a mid twice":                     Edit(offer, "a=mid:1", "a=mid:0"),
		"BUNDLE of an unknown mid":        Edit(offer, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 nobody"),
		"two sections, one without a mid": DropLines(offer, "a=mid:1"),
	} {
		t.wantRefused(name, bad, http.StatusBadRequest)
	}
}

func checkProfiles(t *T) {
	for _, profile := range []string{"42e01f", "42c01f", "42001f", "42401f", "4d001f", "4d4028", "4d401f", "640028", "640c1f", "64001f", "f4001f"} {
		t.wantTaken("profile-level-id "+profile, Offer(opusSection("sendonly"), h264As(profile, "1")))
	}
	t.wantTaken("packetization-mode 0", Offer(opusSection("sendonly"), h264As("42e01f", "0")))
}

func h264As(profile, mode string) Media {
	s := h264Section("sendonly")
	s.Codecs = Edit(Edit(s.Codecs, "42e01f", profile), "packetization-mode=1", "packetization-mode="+mode)
	return s
}

// checkExtensionIDs offers an extension that needs two-byte headers without
// saying that both forms may be mixed, and one that nobody knows.
func checkExtensionIDs(t *T) {
	offer := Edit(PublishOffer(), "a=rtcp-mux\r\n", "a=rtcp-mux\r\na=extmap:20 "+uriWideCC+"\r\na=extmap:5 urn:example:conformance:unheard-of\r\n")
	s := t.Open(t.Room.WHIP, offer)
	a := describe(s.Answer)
	t.wantSections(a)
	for i := range a.sections {
		for _, v := range a.sections[i].values("extmap") {
			if strings.HasPrefix(v, "20") || strings.Contains(v, "unheard-of") {
				t.Errorf("section %d: expected the extension to be left out, got %q", i, v)
			}
		}
	}
}
