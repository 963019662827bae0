package conformance

import (
	"net/http"
	"time"
)

// whipDeleteChecks judge the end of a session as far as HTTP shows it.
func whipDeleteChecks() []Check {
	row := rows("WHIP-DEL")
	twice := row(5, "RFC 9110 9.2.2", Choice, "a second DELETE is no error for a minute, and 404 afterwards", checkDeleteTwice)
	twice.Patient = true
	return []Check{
		row(2, "RFC 9725 3", Choice, "DELETE is answered with 200 and no content", func(t *T) {
			r := t.Delete(t.Open(t.Room.WHIP, PublishOffer()))
			t.WantChoice(r, http.StatusOK, "2xx", Success)
			if r.Body != "" {
				t.Errorf("expected no content, got %d bytes", len(r.Body))
			}
		}),
		row(3, "RFC 9725 4.3.1", Must, "DELETE does not look at If-Match", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			t.Want(t.Do(Request{Method: http.MethodDelete, URL: s.URL}.With("If-Match", `"nope"`)), "2xx with a wrong If-Match", Success)
			t.wantGone(s)
		}),
		row(4, "RFC 9725 4.3.1", Client, "a client that sends its tag with DELETE ends its session", func(t *T) {
			for _, star := range []bool{false, true} {
				s := t.Open(t.Room.WHIP, PublishOffer())
				tag := or(s.ETag, "*")
				if star {
					tag = "*"
				}
				t.Want(t.Do(Request{Method: http.MethodDelete, URL: s.URL}.With("If-Match", tag)), "2xx with If-Match: "+tag, Success)
				t.wantGone(s)
			}
		}),
		twice,
		row(6, "Sluice", Choice, "DELETE of a session that never was is 404", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, at := range []string{guess(s.URL), malformedSession(s.URL)} {
				t.Want(t.Do(Request{Method: http.MethodDelete, URL: at}), "404 to "+at, Is(http.StatusNotFound))
			}
			t.WantIntact(s)
		}),
		{
			ID: "WHIP-DEL-11", Section: "RFC 9725 5", Level: Should, Stage: Last,
			What: "guessing at session URLs is slowed down", Run: checkGuessing,
		},
	}
}

// wantGone wants the session to take no fragment any more.
func (t *T) wantGone(s *Session) {
	r := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))
	if r.Status == http.StatusUnprocessableEntity { // to a trickle, where there are restarts alone
		r = t.Patch(s, RestartOf(s.Offer), or(s.ETag, "*"))
	}
	if unsupported(r) {
		return // of living sessions, too
	}
	t.Want(r, "404 or 410 from a session that is over", Is(http.StatusNotFound, http.StatusGone))
}

func checkDeleteTwice(t *T) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	t.Want(t.Delete(s), "2xx", Success)
	t.WantChoice(t.Delete(s), http.StatusOK, "200 or 404 to a second DELETE", Is(http.StatusOK, http.StatusNotFound))
	if !t.Strict() {
		return
	}
	t.Sleep(61 * time.Second)
	t.Want(t.Delete(s), "404 to a DELETE 61 s after the end", Is(http.StatusNotFound))
}

// guesses is how often a session URL is guessed at.
const guesses = 1000

func checkGuessing(t *T) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	limited := t.flood(guesses, func(int) Request { return Request{Method: http.MethodDelete, URL: guess(s.URL)} }, tooMany)
	if limited == nil {
		t.Errorf("expected 429 to some of %d guesses, got none", guesses)
		return
	}
	t.wantRetryAfter(limited)
	// Whoever does nothing wrong is not held up.
	t.Want(t.Delete(s), "2xx to the right URL meanwhile", Success)
}
