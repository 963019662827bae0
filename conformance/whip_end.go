package conformance

import (
	"net/http"
	"time"
)

// whipEndChecks are those of how a session begins again and ends.
func whipEndChecks() []Check {
	return []Check{
		{
			ID: "WHIP-POST-18", Section: "RFC 9110 9.2.2", Level: Choice, Stage: Idle,
			What: "a client that repeats its POST is not locked out by its own half-open session",
			Run: func(t *T) {
				first := t.Open(t.Room.WHIP, PublishOffer())
				second := t.Open(t.Room.WHIP, first.Offer)
				if first.URL == second.URL {
					t.Errorf("expected a new session for each POST, got the same Location twice")
				}
			},
		},
		{
			ID: "WHIP-DEL-01", Section: "RFC 9725 4.2", Level: Must, Stage: Alone,
			What: "DELETE ends ICE and DTLS and frees the media",
			Run:  checkDelete,
		},
		{
			ID: "WHIP-DEL-07", Section: "RFC 9725 4.2", Level: Must, Stage: Alone,
			What: "close_notify of the client ends the session",
			Run: func(t *T) {
				a, _ := t.publish()
				a.hangUp()
				if !t.ends(a, 3*time.Second) {
					t.Errorf("expected the session to end within a second of close_notify, got one that goes on after three")
				}
			},
		},
		{
			ID: "WHIP-DEL-08", Section: "RFC 7675 5.1", Level: Must, Stage: Alone, Patient: true,
			What: "a full agent whose consent checks get no answer for 30 s ends the session",
			Run: func(t *T) {
				a := t.idlePublisher()
				if a.lite() {
					t.Skipf("the server is lite and sends no consent checks: see WHIP-DEL-09")
				}
				t.wantLost(a)
			},
		},
		{
			ID: "WHIP-DEL-09", Section: "RFC 7675", Level: Choice, Stage: Alone, Patient: true,
			What: "a lite agent that hears nothing of a client for 30 s ends the session",
			Run: func(t *T) {
				a, _ := t.publish()
				if !a.lite() {
					t.Skipf("the server is a full agent: see WHIP-DEL-08")
				}
				t.wantLost(a)
			},
		},
		{
			ID: "WHIP-DEL-10", Section: "RFC 7675 5.2", Level: Must, Stage: Alone,
			What: "a session that the server ends is ended with close_notify at once, and no check is answered any more",
			Run: func(t *T) {
				a, _ := t.publish()
				t.wantFarewell(a)
			},
		},
		{
			ID: "WHIP-DEL-12", Section: "RFC 8863 4", Level: Choice, Stage: Idle, Patient: true,
			What: "a session that never connects is kept for the time that ICE may take, and freed then",
			Run:  func(t *T) { t.wantFreed(t.postedPublisher()) },
		},
		{
			ID: "WHIP-CONC-01", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a POST alone never harms a publisher; one that is taken over hears close_notify when the newcomer's DTLS is up",
			Run:  checkTakeover,
		},
		{
			ID: "WHIP-CONC-03", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a publisher that vanished does not keep its successor out for longer than a few seconds",
			Run:  checkRejoin,
		},
		{
			ID: "WHIP-CONC-05", Section: "Sluice", Level: Choice, Stage: Alone, Patient: true,
			What: "two encoders that retry for ever do not throw each other out again and again",
			Run:  checkFlapping,
		},
	}
}

func checkDelete(t *T) {
	a, _ := t.publish()
	var v *Agent
	if t.Room.WHEP != "" {
		v = t.view()
		if !v.plays(ptH264, connectPatience) {
			t.Fatalf("expected the publisher's media to reach a viewer, got none")
		}
	}
	t.Want(t.Delete(a.Session), "2xx", Success)
	if !t.Until(2*time.Second, a.unanswered) {
		t.Errorf("expected checks to go unanswered after DELETE, got success still after two seconds")
	}
	if v != nil && !t.Until(3*time.Second, func() bool {
		from := time.Now()
		t.Sleep(300 * time.Millisecond)
		return v.count(ptH264, from) == 0
	}) {
		t.Errorf("expected no more media for the viewer after DELETE, got some for three seconds")
	}
	if !t.ends(a, 3*time.Second) {
		t.Errorf("expected the session to be gone after DELETE, got one that lives on")
	}
}

// wantFarewell lets the server end the session and wants to hear of it.
func (t *T) wantFarewell(a *Agent) {
	t.Until(3*time.Second, a.opened) // a server that sends nothing has had time enough
	asked := time.Now()
	t.Want(t.Delete(a.Session), "2xx", Success)
	if !a.hangsUp(2 * time.Second) {
		t.Errorf("expected close_notify at once, got none in two seconds")
	} else if at, _ := a.farewell(); at.Sub(asked) > time.Second {
		t.Errorf("expected close_notify at once, got it after %d ms", at.Sub(asked).Milliseconds())
	}
	if m := a.check(check{patience: 500 * time.Millisecond}); successful(m) {
		t.Errorf("expected a check after the end to be refused or dropped, got %s", responseText(m))
	}
}

// wantLost lets a client vanish and wants its session to end within the time
// that consent lasts, and not much before.
func (t *T) wantLost(a *Agent) {
	a.deaf.Store(true)
	a.muted.Store(true)
	from := time.Now()
	if t.knowsSessions(a) {
		t.Sleep(20 * time.Second)
		if t.status(a) >= 400 {
			t.Errorf("expected the session to live for 25 s without a sign of the client, got its end within 20 s")
			return
		}
	}
	if !t.endsUnseen(a, from) {
		t.Errorf("expected the session to end 30 s after the client was lost, got one that lives on after 45 s")
	}
}

// endsUnseen tells whether a session whose client vanished at an instant is over
// 45 s later.
func (t *T) endsUnseen(a *Agent, from time.Time) bool {
	const limit = 45 * time.Second
	if t.knowsSessions(a) {
		for time.Since(from) < limit {
			if t.status(a) >= 400 {
				return true
			}
			t.Sleep(time.Second)
		}
		return false
	}
	// Only checks can tell, and they are signs of life themselves.
	t.Sleep(limit - time.Since(from))
	a.muted.Store(false)
	return a.unanswered()
}

// knowsSessions tells whether GET tells a session, which lives, from none.
func (t *T) knowsSessions(a *Agent) bool { return Success(t.status(a)) && t.tellsMissing(a) }

// tellsMissing tells whether GET is no success on a session that never was: some
// servers have the same answer for all.
func (t *T) tellsMissing(a *Agent) bool {
	if a.tells == nil {
		tells := !Success(t.Do(Request{Method: http.MethodGet, URL: guess(a.Session.URL)}).Status)
		a.tells = &tells
	}
	return *a.tells
}

func (t *T) status(a *Agent) int {
	return t.Do(Request{Method: http.MethodGet, URL: a.Session.URL}).Status
}

// wantFreed leaves a session alone that never connects.
func (t *T) wantFreed(a *Agent) {
	if !t.knowsSessions(a) {
		t.Skipf("GET does not tell whether a session lives, and a check would keep it alive")
	}
	t.Sleep(36 * time.Second)
	if t.status(a) >= 400 {
		t.Errorf("expected the session to be kept for 39.5 s, got its end within 36 s")
	}
	limit := 46 * time.Second
	if !t.Strict() {
		limit = 90 * time.Second
	}
	for end := time.Now().Add(limit - 36*time.Second); time.Now().Before(end); t.Sleep(time.Second) {
		if t.status(a) >= 400 {
			return
		}
	}
	t.Errorf("expected the session to be freed after 40 s, got one that lives on after %v", limit)
}

func checkTakeover(t *T) {
	first, _ := t.publish()
	if !t.Until(connectPatience, func() bool { return len(first.reports()) > 0 }) {
		t.Skipf("the server sends no reports by which to tell that the publisher is heard")
	}
	second := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	resp := t.PostOffer(t.Room.WHIP, second.Offer)
	if resp.Status >= 500 {
		t.Errorf("expected a second publisher to be taken or refused with 4xx, got %v", resp)
	}
	t.Sleep(time.Second)
	if at, err := first.farewell(); !at.IsZero() {
		t.Fatalf("expected a POST alone to leave the publisher alone, got the end of its connection: %v", err)
	}
	if !first.answered() {
		t.Fatalf("expected a POST alone to leave the publisher alone, got no response to its check")
	}
	if resp.Status != http.StatusCreated {
		return // refused while the first is heard: that is a policy, too
	}
	second.adopt(t.opened(resp, second.Offer))
	second.connect()
	second.start(opusFeed(), h264Feed())
	if !first.hangsUp(3 * time.Second) {
		t.Errorf("expected close_notify for the publisher that was taken over, got none")
	}
}

func checkRejoin(t *T) {
	first, _ := t.publish()
	if !t.Until(connectPatience, func() bool { return len(first.reports()) > 0 }) {
		t.Skipf("the server sends no reports by which to tell that the publisher is heard")
	}
	first.muted.Store(true)
	second := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	var resp *Response
	if !t.Until(5*time.Second, func() bool {
		t.Sleep(250 * time.Millisecond) // as an encoder would, and below what servers limit
		resp = t.PostOffer(t.Room.WHIP, second.Offer)
		return resp.Status == http.StatusCreated
	}) {
		t.Fatalf("expected 201 within five seconds of the loss of the publisher, got %v", resp)
	}
	second.adopt(t.opened(resp, second.Offer))
	second.connect()
	t.wantMediaTaken(second)
}

// checkFlapping lets a second encoder try for five seconds, and whoever is
// thrown out try in turn.
func checkFlapping(t *T) {
	holder, _ := t.publish()
	if !t.Until(connectPatience, func() bool { return len(holder.reports()) > 0 }) {
		t.Skipf("the server sends no reports by which to tell that the publisher is heard")
	}
	var changes []time.Time
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); t.Sleep(200 * time.Millisecond) {
		challenger := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
		resp := t.PostOffer(t.Room.WHIP, challenger.Offer)
		if resp.Status != http.StatusCreated {
			continue
		}
		challenger.adopt(t.opened(resp, challenger.Offer))
		if m := challenger.check(check{nominate: true}); !successful(m) || challenger.shake() != nil {
			continue
		}
		challenger.keepAlive(time.Second)
		challenger.start(opusFeed(), h264Feed())
		if holder.hangsUp(time.Second) {
			at, _ := holder.farewell()
			changes = append(changes, at)
		}
		holder = challenger
	}
	for i := 1; i < len(changes); i++ {
		if apart := changes[i].Sub(changes[i-1]); apart < 4500*time.Millisecond {
			t.Errorf("expected five seconds between two changes of publishers, got %d ms", apart.Milliseconds())
		}
	}
}
