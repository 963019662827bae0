package conformance

import (
	"fmt"
	"slices"
	"time"
)

// whipRevivalChecks are those of trickle and ICE restart that show on the wire.
func whipRevivalChecks() []Check {
	return []Check{
		{
			ID: "WHIP-TRK-03", Section: "RFC 9725 4.3.2", Level: Must, Stage: Alone,
			What: "candidates that are of no use are skipped, and those that come with them are used",
			Run:  func(t *T) { t.wantSkipped(t.postedPublisher()) },
		},
		{
			ID: "WHIP-TRK-13", Section: "RFC 9725 4.3.2", Level: Client, Stage: Alone,
			What: "trickle after the connection is up is taken and changes nothing",
			Run: func(t *T) {
				a, _ := t.publish()
				r := t.trickle(a, candidateLine(a))
				if unknownKind(r.Status) {
					t.Skipf("the server takes no trickle: %v", r)
				}
				t.Want(r, "204", Is(204))
				if m := a.check(check{}); !successful(m) {
					t.Errorf("expected the connection to go on, got %s to a check", responseText(m))
				}
			},
		},
		{
			ID: "WHIP-RST-08", Section: "RFC 9725 4.3.3", Level: Must, Stage: Alone,
			What: "after a restart nothing of the former generation is used any more",
			Run: func(t *T) {
				a, _ := t.publish()
				t.wantFormerDropped(a)
			},
		},
		{
			ID: "WHIP-RST-09", Section: "RFC 9725 4.3.3", Level: Must, Stage: Alone,
			What: "a restart leaves DTLS, SRTP, payload types and SSRCs as they are, and media goes on",
			Run:  checkRestartMedia,
		},
		{
			ID: "WHIP-RST-10", Section: "RFC 9725 4.3.3", Level: Must, Stage: Alone,
			What: "a restart that is refused leaves the connection up",
			Run: func(t *T) {
				a, _ := t.publish()
				t.wantRefusalHarmless(a)
				if t.Room.WHEP != "" && !t.view().plays(ptH264, connectPatience) {
					t.Errorf("expected media to flow on after a refused restart, got none")
				}
			},
		},
		{
			ID: "WHIP-RST-11", Section: "RFC 7675 5.1", Level: Must, Stage: Alone, Patient: true,
			What: "a session whose restart never completes ends when consent has expired",
			Run: func(t *T) {
				a, _ := t.publish()
				t.wantRestartLost(a)
			},
		},
	}
}

// candidateLine is the agent's own host candidate.
func candidateLine(a *Agent) string {
	return fmt.Sprintf("a=candidate:7 1 udp 2130706431 %s %d typ host\r\n", a.host(), a.addr().Port())
}

// trickle sends candidates with the agent's present credentials.
func (t *T) trickle(a *Agent, candidates string) *Response {
	return t.Patch(a.Session, Fragment(a.own().ufrag, a.own().pwd, sdpLine(a.Offer, "a=mid:"), candidates), a.Session.ETag)
}

// wantSkipped trickles good and bad candidates together and connects by the good.
func (t *T) wantSkipped(a *Agent) {
	r := t.trickle(a, "a=candidate:1 1 sctp 2130706431 192.0.2.7 40000 typ host\r\n"+
		"a=candidate:2 1 udp 2130706430 3f1c8e5e-0000-4000-8000-000000000000.local 40000 typ host\r\n"+candidateLine(a))
	if unknownKind(r.Status) {
		t.Skipf("the server takes no trickle: %v", r)
	}
	t.Want(r, "204", Is(204))
	if at := a.to.Addr(); !a.lite() && (at.IsLoopback() || at.IsPrivate()) { // else there may be an address translator
		// A full agent shows by its checks that it has the good one.
		if !t.Until(5*time.Second, func() bool { return len(a.serverChecks()) > 0 }) {
			t.Errorf("expected a check to the good candidate, got none")
		}
	}
	a.connect()
}

// revive sends an ICE restart and takes the new credentials. The check is
// skipped when the server does not restart.
func (t *T) revive(a *Agent) {
	next := credentials{randomText(4), randomText(12)}
	r := t.Patch(a.Session, Fragment(next.ufrag, next.pwd, sdpLine(a.Offer, "a=mid:"), ""), "*")
	if unknownKind(r.Status) {
		t.Skipf("the server does not restart ICE: %v", r)
	}
	if r.Status != 200 {
		t.Fatalf("expected 200 to an ICE restart, got %v", r)
	}
	server := credentialsOf(r.Body)
	if server.ufrag == "" || server.pwd == "" {
		t.Fatalf("expected new credentials in the answer to a restart, got none")
	}
	a.ice.Store(&iceSession{own: next, server: server})
	a.Session.ETag = r.Header.Get("ETag")
}

// wantFormerDropped restarts from another socket and wants the former
// credentials and the former address to be out of use.
func (t *T) wantFormerDropped(a *Agent) {
	former, address := *a.ice.Load(), a.addr()
	t.revive(a)
	a.rebind()
	a.nominate()
	old := check{local: former.server.ufrag, remote: former.own.ufrag, pwd: former.server.pwd, patience: 500 * time.Millisecond}
	if !t.Until(5*time.Second, func() bool { return !successful(a.check(old)) }) { // RFC 8445 section 8.3.1 leaves three
		t.Errorf("expected no success to checks with the former credentials, got it for five seconds")
	}
	if !t.Until(5*time.Second, func() bool {
		from := time.Now()
		t.Sleep(time.Second)
		return !slices.ContainsFunc(a.serverChecks(), func(c heardCheck) bool { return c.to == address && c.at.After(from) }) &&
			!slices.ContainsFunc(a.packets(-1), func(p heardRTP) bool { return p.to == address && p.at.After(from) })
	}) {
		t.Errorf("expected neither checks nor media at the former address after the restart, got them for five seconds")
	}
}

func checkRestartMedia(t *T) {
	a, _ := t.publish()
	v := t.view()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected the publisher's media to reach a viewer, got none")
	}
	records := a.dtlsRecords()
	t.revive(a)
	a.rebind()
	a.nominate()
	t.Sleep(200 * time.Millisecond)
	ssrc := v.lastOf(ptH264).SSRC
	if !v.plays(ptH264, 5*time.Second) || !v.plays(ptOpus, 5*time.Second) {
		t.Fatalf("expected media to go on under the same keys after the restart, got none")
	}
	if got := v.lastOf(ptH264).SSRC; got != ssrc {
		t.Errorf("expected viewers to keep the SSRC %d, got %d", ssrc, got)
	}
	if n := a.dtlsRecords() - records; n > 0 {
		t.Errorf("expected no DTLS after the restart, got %d records", n)
	}
	reports := len(a.reports())
	if reports > 0 && !t.Until(5*time.Second, func() bool { return len(a.reports()) > reports }) {
		t.Errorf("expected RTCP under the same keys at the new address, got none")
	}
}

// wantRefusalHarmless sends restarts that cannot be done.
func (t *T) wantRefusalHarmless(a *Agent) {
	if r := t.Patch(a.Session, RestartOf(a.Offer), `"stale"`); unsupported(r) {
		t.Skipf("the server does not restart ICE: %v", r)
	}
	for what, r := range map[string]*Response{
		"a stale ETag":               t.Patch(a.Session, RestartOf(a.Offer), `"stale"`),
		"a password without a ufrag": t.Patch(a.Session, DropLines(RestartOf(a.Offer), "a=ice-ufrag:"), "*"),
		"a password of 4 characters": t.Patch(a.Session, Fragment(randomText(4), "abcd", sdpLine(a.Offer, "a=mid:"), ""), "*"),
		"a ufrag of one character":   t.Patch(a.Session, "a=ice-ufrag:x\r\n", "*"),
	} {
		if r.Status < 400 {
			t.Errorf("expected an error to a restart with %s, got %v", what, r)
		}
	}
	if m := a.check(check{}); !successful(m) {
		t.Errorf("expected the connection to stay up after refused restarts, got %s to a check", responseText(m))
	}
}

// wantRestartLost restarts and vanishes.
func (t *T) wantRestartLost(a *Agent) {
	t.revive(a)
	a.deaf.Store(true)
	a.muted.Store(true)
	if !t.endsUnseen(a, time.Now()) {
		t.Errorf("expected the session to end within 40 s of a restart that nobody completes, got one that lives on after 45 s")
	}
}
