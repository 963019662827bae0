package conformance

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
)

// whepIdleChecks are those of a room where nobody publishes. A server either
// tells viewers to come again or lets them wait; which of the two is its choice.
func whepIdleChecks() []Check {
	return []Check{
		{
			ID: "WHEP-IDLE-01", Section: "WHEP 4.3.8", Level: May, Stage: Idle,
			What: "the endpoint may demand that somebody is on air",
			Run:  func(t *T) { t.refusedIdle() },
		},
		{
			ID: "WHEP-IDLE-02", Section: "WHEP 4.3.8", Level: Must, Stage: Idle,
			What: "an endpoint that demands somebody on air says 409 when nobody is",
			Run: func(t *T) {
				r := t.PostOffer(t.Room.WHEP, PlayOffer())
				if r.Status == http.StatusCreated {
					t.Skipf("the server lets viewers wait for a publisher")
				}
				t.Want(r, "409", Is(http.StatusConflict))
			},
		},
		{
			ID: "WHEP-IDLE-03", Section: "WHEP 4.3.8", Level: Must, Stage: Idle,
			What: "the 409 has Retry-After in seconds, and not the same for all who wait",
			Run:  whepRetryAfter,
		},
		{
			ID: "WHEP-IDLE-04", Section: "WHEP 4.3.8", Level: Client, Stage: Idle,
			What: "players that come again and again are told each time when to come next",
			Run:  whepComeAgain,
		},
		{
			ID: "WHEP-IDLE-06", Section: "Sluice", Level: Choice, Stage: Idle,
			What: "404 is for rooms that cannot be, never for those where nobody is on air",
			Run:  whepNoSuchRoom,
		},
		{
			ID: "WHEP-IDLE-08", Section: "FETCH", Level: Choice, Stage: Idle,
			What: "pages of other origins may read the Retry-After of the 409",
			Run: func(t *T) {
				r := t.refusedIdle(header("Origin", origin))
				t.wantListed(r, "Access-Control-Expose-Headers", "Retry-After")
			},
		},
		{
			ID: "WHEP-IDLE-09", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "the 409 of a room where nobody is on air has another problem type than that of a room that is taken",
			Run:  whepNotLiveIsNotBusy,
		},
	}
}

// refusedIdle is the 409 of a room where nobody is on air. Servers that let
// viewers wait have none.
func (t *T) refusedIdle(change ...func(*Request)) *Response {
	r := t.PostOffer(t.Room.WHEP, PlayOffer(), change...)
	switch r.Status {
	case http.StatusConflict:
	case http.StatusCreated:
		t.Skipf("the server lets viewers wait for a publisher")
	default:
		t.Skipf("WHEP-IDLE-02 does not hold: %v", r)
	}
	return r
}

// retryAfter is the delay that a response asks for; 0 when it is not a number
// of seconds above zero.
func retryAfter(r *Response) int {
	n, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || n < 1 {
		return 0
	}
	return n
}

func whepRetryAfter(t *T) {
	r := t.refusedIdle()
	first := retryAfter(r)
	if first == 0 {
		t.Fatalf("expected Retry-After of at least 1 second, got %q", r.Header.Get("Retry-After"))
	}
	if !t.Strict() {
		return
	}
	for range 40 { // of three values, all alike by chance: never seen
		if retryAfter(t.refusedIdle()) != first {
			return
		}
	}
	t.Errorf("expected Retry-After to vary, so that a crowd does not come back at once, got %d each time", first)
}

func whepComeAgain(t *T) {
	t.refusedIdle()
	for n := range 30 {
		r := t.PostOffer(t.Room.WHEP, PlayOffer())
		if !t.Want(r, "409, 429 or 503", Is(http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable)) {
			return
		}
		if retryAfter(r) == 0 {
			t.Errorf("attempt %d: expected Retry-After, got %q", n+2, r.Header.Get("Retry-After"))
			return
		}
	}
}

func whepNoSuchRoom(t *T) {
	if r := t.PostOffer(t.Room.WHEP, PlayOffer()); r.Status == http.StatusNotFound {
		t.differsf("expected no 404 for a room where nobody is on air, got %v", r)
	}
	u, err := url.Parse(t.Room.WHEP)
	if err != nil {
		t.Fatalf("expected a URL, got %q", t.Room.WHEP)
	}
	u.Path = path.Join(path.Dir(u.Path), ".no room")
	if r := t.PostOffer(u.String(), PlayOffer()); r.Status != http.StatusNotFound {
		t.differsf("expected 404 for a name that no room can have, got %v", r)
	}
}

func whepNotLiveIsNotBusy(t *T) {
	idle := problemType(t.refusedIdle())
	if idle != "not-live" {
		t.differsf("expected the problem type not-live, got %q", idle)
	}
	t.goOnAir()
	r := t.PostOffer(t.Room.WHIP, PublishOffer())
	if r.Status != http.StatusConflict {
		t.Skipf("a second publisher is not refused with 409: %v", r)
	}
	if busy := problemType(r); busy == idle {
		t.Errorf("expected another problem type for a room that is taken, got %q for both", busy)
	}
}
