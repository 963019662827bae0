package conformance

import (
	"errors"
	"net/http"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// whipTransportChecks are those of DTLS and SRTP of publishers.
func whipTransportChecks() []Check {
	return []Check{
		{
			ID: "WHIP-RTP-01", Section: "RFC 8827 6.5", Level: Must, Stage: Alone,
			What: "DTLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256 on P-256 works, and DTLS 1.0 is refused",
			Run:  checkDTLSVersion,
		},
		{
			ID: "WHIP-RTP-02", Section: "RFC 5764 4.1.2", Level: Must, Stage: Alone,
			What: "a client that has SRTP_AES128_CM_HMAC_SHA1_80 alone is served with it",
			Run: func(t *T) {
				a := t.publisherWith(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
				if a.profile != srtp.ProtectionProfileAes128CmHmacSha1_80 {
					t.Errorf("expected SRTP_AES128_CM_HMAC_SHA1_80, got profile %#04x", uint16(a.profile))
				}
				t.wantMediaTaken(a)
			},
		},
		{
			ID: "WHIP-RTP-03", Section: "RFC 7714 14.2", Level: Should, Stage: Alone,
			What: "AEAD_AES_128_GCM is chosen where both sides have it, and AEAD_AES_256_GCM is taken",
			Run:  checkGCM,
		},
		{
			ID: "WHIP-RTP-04", Section: "RFC 8842 7.1", Level: Must, Stage: Alone,
			What: "a ClientHello that comes before the first check is repeated until it counts, and the handshake succeeds",
			Run:  checkEarlyHello,
		},
		{
			ID: "WHIP-OFFER-14", Section: "RFC 8842 5.3", Level: Choice, Stage: Alone,
			What: "an offer of setup:passive is taken, answered active, and the ClientHello comes from the server",
			Run:  checkPassive,
		},
		{
			ID: "WHIP-OFFER-16", Section: "RFC 8122 5", Level: Must, Stage: Alone,
			What: "an offer without a fingerprint is refused, one in the tagged section is enough, and a certificate that does not match ends the session",
			Run:  checkFingerprint,
		},
		{
			ID: "WHIP-OFFER-19", Section: "RFC 9725 4.3.2", Level: Client, Stage: Alone,
			What: "an offer with no candidate is taken and connects, and one with all of them and their end is taken",
			Run:  checkCandidatesOffered,
		},
	}
}

// publisherWith connects a publisher that offers those SRTP profiles.
func (t *T) publisherWith(profiles ...dtls.SRTPProtectionProfile) *Agent {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.profiles = profiles })
	return a.post(t.Room.WHIP).connect()
}

// wantMediaTaken sends media and wants a viewer to see it. Without a WHEP
// endpoint a receiver report that counts the packets has to do.
func (t *T) wantMediaTaken(a *Agent) {
	video := h264Feed()
	a.start(opusFeed(), video)
	if t.Room.WHEP != "" {
		v := t.view()
		if !v.plays(ptH264, connectPatience) {
			t.Errorf("expected the publisher's media to reach a viewer, got none")
		}
		return
	}
	if !t.Until(connectPatience, func() bool { return a.reported(video.ssrc) }) {
		t.Errorf("expected a receiver report for what was sent, got none")
	}
}

func checkDTLSVersion(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) {
		a.ciphers = []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	})
	a.post(t.Room.WHIP).connect()
	t.Delete(a.Session) // the room may have one publisher at a time
	old := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.setup = "active" })
	if !t.postActive(old) {
		return // DTLS 1.0 cannot be offered to a server that is always the client
	}
	old.nominate()
	if old.offerDTLS10(time.Second) {
		t.Errorf("expected a ClientHello of DTLS 1.0 to be refused or dropped, got a ServerHello")
	}
}

func checkGCM(t *T) {
	// The DTLS server chooses, and the order of the client's list is not binding.
	both := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) {
		a.setup = "active"
		a.profiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM}
	})
	if !t.postActive(both) {
		t.Skipf("the server takes no setup:active, and the profile is the DTLS server's to choose")
	}
	both.connect()
	if both.profile != srtp.ProtectionProfileAeadAes128Gcm {
		t.Errorf("expected AEAD_AES_128_GCM where both sides have it, got profile %#04x", uint16(both.profile))
	}
	t.Delete(both.Session)
	wide := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) {
		a.profiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_256_GCM}
	})
	wide.post(t.Room.WHIP).nominate()
	if err := wide.shake(); err != nil {
		t.Errorf("expected a client with AEAD_AES_256_GCM alone to be served, got: %v", err)
	}
}

// postActive posts an offer of setup:active, which a server may refuse (RFC 9725
// section 4.4.4).
func (t *T) postActive(a *Agent) bool {
	resp := t.PostOffer(t.Room.WHIP, a.Offer)
	if unprocessable(resp.Status) {
		return false
	}
	a.adopt(t.opened(resp, a.Offer))
	return true
}

// checkEarlyHello begins the handshake before there is any check, so that the
// first flight meets a server that knows no address of ours.
func checkEarlyHello(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.setup = "active" })
	if !t.postActive(a) {
		t.Skipf("the server takes no setup:active, so that the ClientHello may be its own")
	}
	if !a.active {
		t.Fatalf("expected setup:passive to an offer of active, got %q", sdpLine(a.Session.Answer, "a=setup:"))
	}
	done := make(chan error, 1)
	a.running.Go(func() { done <- a.shake() })
	t.Sleep(300 * time.Millisecond) // one flight and its first repetition go to nobody
	a.nominate()
	if err := <-done; err != nil {
		t.Errorf("expected the handshake to succeed after an early ClientHello, got: %v", err)
	}
}

func checkPassive(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.setup = "passive" })
	resp := t.PostOffer(t.Room.WHIP, a.Offer)
	if !t.WantChoice(resp, 201, "201, 400 or 422", Is(201, 400, 422)) || resp.Status != 201 {
		return
	}
	a.adopt(t.opened(resp, a.Offer))
	if got := sdpLine(resp.Body, "a=setup:"); got != "active" {
		t.Fatalf("expected setup:active, got %q", got)
	}
	a.nominate()
	if err := a.shake(); err != nil {
		t.Fatalf("expected a handshake with the server as client, got: %v", err)
	}
	if _, kind := a.firstRecord(); kind != 1 {
		t.Errorf("expected a ClientHello from the server, got handshake type %d", kind)
	}
}

func checkFingerprint(t *T) {
	none := t.ask(t.Room.WHIP, DropLines(PublishOffer(), "a=fingerprint:"))
	if t.Strict() {
		t.Want(none, "400", Is(400))
	} else {
		t.Want(none, "4xx", ClientError)
	}
	tagged := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.edit = onlyTagged("a=fingerprint:") })
	t.Want(t.ask(t.Room.WHIP, tagged.Offer), "201 to a fingerprint in the tagged section alone", Is(201))

	wrong := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) { a.wrongFingerprint = true })
	wrong.post(t.Room.WHIP).nominate()
	err := wrong.shake()
	if errors.Is(err, errPeerCertificate) {
		t.Errorf("%v", err)
	}
	if !t.ends(wrong, 10*time.Second) {
		t.Errorf("expected a certificate that the offer does not name to end the session, got a session that goes on (handshake: %v)", err)
	}
}

func checkCandidatesOffered(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	a.post(t.Room.WHIP).connect()
	t.Delete(a.Session)
	full := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}, func(a *Agent) {
		a.candidates = "a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host\r\n" +
			"a=candidate:2 1 udp 1694498815 198.51.100.7 40000 typ srflx raddr 192.0.2.7 rport 40000\r\n" +
			"a=candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\r\na=end-of-candidates\r\n"
	})
	full.post(t.Room.WHIP)
	if m := full.check(check{nominate: true, patience: connectPatience}); !successful(m) {
		t.Errorf("expected an offer with all candidates to connect, got %s to a check", responseText(m))
	}
}

// ends tells whether the session is over within d: its URL is gone, or where
// the server has no GET on sessions, its checks go unanswered.
func (t *T) ends(a *Agent, d time.Duration) bool {
	return t.Until(d, func() bool { return t.gone(a) })
}

func (t *T) gone(a *Agent) bool {
	status := t.status(a)
	if status == http.StatusNotFound || status == http.StatusGone {
		// Servers without GET say that of living sessions, too.
		return !successful(a.check(check{patience: 250 * time.Millisecond}))
	}
	if Success(status) && t.tellsMissing(a) {
		return false
	}
	return !successful(a.check(check{patience: time.Second}))
}
