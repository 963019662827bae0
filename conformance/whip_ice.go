package conformance

import (
	"time"

	"github.com/pion/stun/v4"
)

// Types of an attribute and of a code that the STUN library has no names for.
const (
	attrUnassigned stun.AttrType = 0x7fff // must be understood, and nobody does
	maxTie                       = ^uint64(0)
)

// whipICEChecks are those of connectivity checks, consent and multiplexing.
func whipICEChecks() []Check {
	return []Check{
		{
			ID: "WHIP-RTP-05", Section: "RFC 8445 7.3", Level: Must, Stage: Alone,
			What: "a right check from an address that no candidate named is answered, and one with a wrong password, fingerprint or none is not",
			Run:  checkPeerReflexive,
		},
		{
			ID: "WHIP-RTP-06", Section: "RFC 8445 8.1.1", Level: Must, Stage: Alone,
			What: "USE-CANDIDATE on the very first check nominates the pair",
			Run: func(t *T) {
				a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
				a.post(t.Room.WHIP).connect()
				t.wantMediaTaken(a)
			},
		},
		{
			ID: "WHIP-RTP-07", Section: "RFC 8445 7.1.1", Level: Choice, Stage: Alone,
			What: "checks without PRIORITY and role, as some encoders send them, are taken",
			Run:  checkBare,
		},
		{
			ID: "WHIP-RTP-08", Section: "RFC 7675 5.1", Level: Must, Stage: Alone, Patient: true,
			What: "consent checks are answered for as long as the session lives",
			Run:  checkConsent,
		},
		{
			ID: "WHIP-ICE-01", Section: "RFC 8445 6.1.1", Level: Must, Stage: Alone,
			What: "the server does not control: a full agent says so in its checks, and a lite one sends none that say otherwise",
			Run:  checkRole,
		},
		{
			ID: "WHIP-ICE-02", Section: "RFC 8445 7.3.1.1", Level: Must, Stage: Alone,
			What: "a check that claims to be controlled, with the greater tie-breaker, is answered with 487",
			Run:  checkRoleConflict,
		},
		{
			ID: "WHIP-ICE-03", Section: "RFC 8445 2.5", Level: MustNot, Stage: Alone,
			What: "a lite server neither sends checks nor offers candidates other than host",
			Run:  checkLiteSilent,
		},
		{
			ID: "WHIP-ICE-04", Section: "RFC 8489 6.3.1", Level: Must, Stage: Alone,
			What: "a check with an attribute that has to be understood and is not is answered with 420",
			Run:  checkUnknownAttribute,
		},
		{
			ID: "WHIP-ICE-05", Section: "RFC 8445 11", Level: Must, Stage: Alone, Patient: true, // a publisher who comes beside it would take over
			What: "with nothing else to send the server keeps the selected pair alive, each 15 s at least",
			Run:  checkKeepalive,
		},
		{
			ID: "WHIP-ICE-06", Section: "RFC 7983 7", Level: Must, Stage: Alone,
			What: "STUN, DTLS, channel data, media and what is none of them are told apart on one socket",
			Run:  checkMixedTraffic,
		},
		{
			ID: "WHIP-ICE-07", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "all sessions share one UDP port, and a check for nobody gets no answer",
			Run:  checkForeignUfrag,
		},
	}
}

// idlePublisher connects a publisher that sends nothing.
func (t *T) idlePublisher() *Agent {
	return t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}).post(t.Room.WHIP).connect()
}

// postedPublisher has an answer and has sent nothing to its address.
func (t *T) postedPublisher() *Agent {
	return t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")}).post(t.Room.WHIP)
}

// lite tells whether the server says that it is a lite agent.
func (a *Agent) lite() bool { return hasLine(a.Session.Answer, "a=ice-lite") }

func checkPeerReflexive(t *T) {
	a := t.postedPublisher()
	wrong := []struct {
		what string
		check
	}{
		{"a wrong password", check{pwd: "0123456789abcdef01234567"}},
		{"a wrong FINGERPRINT", check{badFingerprint: true}},
		{"neither MESSAGE-INTEGRITY nor FINGERPRINT", check{unprotected: true}},
	}
	if t.Strict() { // RFC 8445 section 7.3 has the server look at its own ufrag alone
		wrong = append(wrong, struct {
			what string
			check
		}{"somebody else's ufrag on our side", check{remote: "somebodyelse"}})
	}
	for _, bad := range wrong {
		bad.patience = 300 * time.Millisecond
		if m := a.check(bad.check); successful(m) {
			t.Errorf("expected no success to a check with %s, got %s", bad.what, responseText(m))
		}
	}
	a.connect()
	a.rebind()
	m := a.check(check{})
	if !successful(m) {
		t.Fatalf("expected success to a check from a second address, got %s", responseText(m))
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil {
		t.Errorf("expected XOR-MAPPED-ADDRESS in the response, got none")
	} else if a.to.Addr().IsLoopback() && mapped.Port != int(a.addr().Port()) {
		t.Errorf("expected XOR-MAPPED-ADDRESS with port %d, got %d", a.addr().Port(), mapped.Port)
	}
	if stun.NewShortTermIntegrity(a.server().pwd).Check(m) != nil {
		t.Errorf("expected a response protected by MESSAGE-INTEGRITY, got one that is not")
	}
}

func checkBare(t *T) {
	a := t.postedPublisher()
	m := a.check(check{bare: true, nominate: true})
	if !successful(m) {
		if !t.Strict() {
			t.Skipf("the standard wants both attributes, and the server insists on it: %s", responseText(m))
		}
		t.Fatalf("expected success to a check without PRIORITY and role, got %s", responseText(m))
	}
	if err := a.shake(); err != nil {
		t.Errorf("expected the handshake to succeed after it, got: %v", err)
	}
}

func checkConsent(t *T) {
	a := t.idlePublisher()
	times := 6
	if !t.suite.siblings { // all others wait for the room
		times = 3
	}
	for n := range times {
		if n > 0 {
			t.Sleep(4 * time.Second)
		}
		if m := a.check(check{}); !successful(m) {
			t.Fatalf("expected success to the consent check %d s after the connection, got %s", n*4, responseText(m))
		}
	}
}

func checkRole(t *T) {
	a := t.idlePublisher()
	t.Sleep(time.Second) // in which a full agent would send checks
	said := false
	look := func() bool {
		for _, c := range a.serverChecks() {
			if c.message.Contains(stun.AttrICEControlling) {
				t.Fatalf("expected no check of the server to claim control, got ICE-CONTROLLING")
			}
			said = said || c.message.Contains(stun.AttrICEControlled)
		}
		return said
	}
	if !look() && !a.lite() && !t.Until(5*time.Second, look) {
		t.Errorf("expected checks with ICE-CONTROLLED from a server that is not lite, got %d checks without", len(a.serverChecks()))
	}
}

func checkRoleConflict(t *T) {
	a := t.postedPublisher()
	a.tie = maxTie
	m := a.check(check{controlled: true})
	if successful(m) && a.lite() && !t.Strict() {
		t.Skipf("the server is lite, and RFC 8445 section 7.3.1.1 is for full agents")
	}
	var code stun.ErrorCodeAttribute
	if m == nil || code.GetFrom(m) != nil || code.Code != stun.CodeRoleConflict {
		t.Errorf("expected 487 to a check with ICE-CONTROLLED, got %s", responseText(m))
	}
}

func checkLiteSilent(t *T) {
	a := t.idlePublisher()
	if !a.lite() {
		t.Skipf("the server is a full agent")
	}
	for _, kind := range []string{"typ srflx", "typ prflx", "typ relay"} {
		if line := lineWith(a.Session.Answer, "a=candidate:", kind); line != "" {
			t.Errorf("expected host candidates only, got %s", line)
		}
	}
	t.Sleep(time.Second) // in which a full agent would send checks
	if n := len(a.serverChecks()); n > 0 {
		t.Errorf("expected no check from a lite agent, got %d", n)
	}
}

func checkUnknownAttribute(t *T) {
	a := t.postedPublisher()
	m := a.check(check{extra: []stun.Setter{stun.RawAttribute{Type: attrUnassigned, Value: []byte{1, 2, 3, 4}}}})
	var code stun.ErrorCodeAttribute
	if m == nil || code.GetFrom(m) != nil || code.Code != stun.CodeUnknownAttribute {
		t.Fatalf("expected 420 to a check with attribute %#04x, got %s", uint16(attrUnassigned), responseText(m))
	}
	var unknown stun.UnknownAttributes
	if unknown.GetFrom(m) != nil || len(unknown) != 1 || unknown[0] != attrUnassigned {
		t.Errorf("expected UNKNOWN-ATTRIBUTES with %#04x, got %v", uint16(attrUnassigned), unknown)
	}
	// One that need not be understood is ignored.
	if m := a.check(check{extra: []stun.Setter{stun.RawAttribute{Type: 0xc0fe, Value: []byte{1, 2, 3, 4}}}}); !successful(m) {
		t.Errorf("expected success to a check with an optional attribute, got %s", responseText(m))
	}
}

func checkKeepalive(t *T) {
	a := t.idlePublisher()
	t.Sleep(time.Second) // what belongs to the handshake is over
	from := time.Now()
	if !t.Until(17*time.Second, func() bool { return a.silentSince().After(from) }) {
		t.Errorf("expected a datagram from the server within 15 s, got none in 17 s")
	}
}

// junk is one datagram for each range of first bytes, none of them valid.
func junk() [][]byte {
	var list [][]byte
	for _, first := range []byte{0, 3, 4, 15, 16, 19, 20, 22, 23, 63, 64, 79, 80, 127, 128, 191, 192, 255} {
		for _, size := range []int{1, 2, 13, 60} {
			b := noise(int(first), size)
			b[0] = first
			list = append(list, b)
		}
	}
	return append(list, []byte{})
}

func checkMixedTraffic(t *T) {
	a := t.postedPublisher()
	for _, b := range junk() {
		a.send(b)
	}
	a.nominate()
	for _, b := range junk() {
		a.send(b)
	}
	if err := a.shake(); err != nil {
		t.Fatalf("expected the handshake to succeed amid other traffic, got: %v", err)
	}
	for _, b := range junk() {
		a.send(b)
	}
	if m := a.check(check{}); !successful(m) {
		t.Errorf("expected success to a check amid other traffic, got %s", responseText(m))
	}
	t.wantMediaTaken(a)
}

func checkForeignUfrag(t *T) {
	a := t.postedPublisher()
	m := a.check(check{local: randomText(6), patience: 500 * time.Millisecond})
	if successful(m) || m != nil && t.Strict() {
		t.Errorf("expected no response to a check for an unknown ufrag, got %s", responseText(m))
	}
	b := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	if t.suite.siblings {
		b.post(t.suite.target.room("c" + randomText(5)).WHIP)
	} else {
		b.post(t.Room.WHIP)
	}
	if m := a.check(check{local: b.server().ufrag, patience: 500 * time.Millisecond}); successful(m) {
		t.Errorf("expected no success to a check for another session with this one's password, got %s", responseText(m))
	}
	if a.to.Port() == b.to.Port() {
		return
	}
	if t.Strict() {
		t.Errorf("expected one UDP port for all sessions, got %d and %d", a.to.Port(), b.to.Port())
	}
}
