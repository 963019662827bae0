package conformance

import (
	"net/http"
	"time"
)

// whepCounterAnswerChecks are those of the answer to a counter-offer.
func whepCounterAnswerChecks() []Check {
	return []Check{
		{
			ID: "WHEP-CTR-05", Section: "WHEP 4.3.2", Level: Must, Stage: Live, Patient: true,
			What: "a counter-offer is good until the time that it says, or for 30 s, and not for longer",
			Run:  counterLasts,
		},
		{
			ID: "WHEP-CTR-09", Section: "WHEP 4.3.2", Level: Must, Stage: Live,
			What: "a malformed answer is 4xx, and another may follow",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				for _, bad := range []string{"hello", "v=0\r\n"} {
					t.WantChoice(t.reply(s, bad), http.StatusBadRequest, "4xx", ClientError)
				}
				t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "204 to a right answer afterwards", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-10", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "an SDP answer where no offer of the server's is open is 4xx",
			Run:  answerUnasked,
		},
		{
			ID: "WHEP-CTR-11", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "the answer of a player is recvonly, and another one is refused",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				for _, direction := range []string{"sendonly", "inactive"} {
					t.WantChoice(t.reply(s, answerTo(s.Offer, direction)), http.StatusUnprocessableEntity, "4xx to "+direction, ClientError)
				}
				t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "204 to recvonly afterwards", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-13", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the answer needs no If-Match, and one that is sent has to match",
			Run:  answerPrecondition,
		},
		{
			ID: "WHEP-CTR-14", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a trickle before the answer is 409",
			Run: func(t *T) {
				s := t.proposed(t.counter())
				answer := answerTo(s.Offer, "recvonly")
				r := t.Patch(s, TrickleOf(answer), or(s.ETag, "*"))
				t.WantChoice(r, http.StatusConflict, "4xx", ClientError)
				t.Want(t.reply(s, answer), "204 to the answer afterwards", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-CTR-15", Section: "Sluice", Level: Choice, Stage: Live, Patient: true,
			What: "a counter-offer without an answer is forgotten",
			Run: func(t *T) {
				r := t.counter()
				s := t.proposed(r)
				t.Sleep(t.goodFor(r) + 5*time.Second)
				t.wantForgotten(s)
			},
		},
	}
}

func answerUnasked(t *T) {
	plain := t.watch(PlayOffer())
	r := t.reply(plain, answerTo(plain.Answer, "recvonly"))
	t.WantChoice(r, http.StatusUnsupportedMediaType, "4xx to one in a session of the player's offer", ClientError)
	s := t.proposedOrNone()
	if s == nil {
		return
	}
	answer := answerTo(s.Offer, "recvonly")
	t.Want(t.reply(s, answer), "204", Is(http.StatusNoContent))
	t.Want(t.reply(s, answer), "4xx to the answer again", ClientError)
}

func answerPrecondition(t *T) {
	s := t.proposed(t.counter())
	if s.ETag == "" {
		t.Skipf("the 406 has no ETag")
	}
	answer := answerTo(s.Offer, "recvonly")
	if r := t.reply(s, answer, header("If-Match", `"nope"`)); r.Status != http.StatusPreconditionFailed {
		t.differsf("another tag: expected 412, got %v", r)
	}
	t.Want(t.reply(s, answer, header("If-Match", s.ETag)), "204 to the tag of the 406", Is(http.StatusNoContent))
	other := t.proposed(t.counter())
	t.Want(t.reply(other, answerTo(other.Offer, "recvonly")), "204 to one without If-Match", Is(http.StatusNoContent))
}

// proposedOrNone is the session of a counter-offer; nil when the server makes none.
func (t *T) proposedOrNone() *Session {
	r := t.PostOffer(t.Room.WHEP, Offer(vp8Section()), header("Prefer", "whep-counter-offer"))
	if r.Status != http.StatusNotAcceptable {
		return nil
	}
	return t.proposed(r)
}

// goodFor is how long a counter-offer is good from now on.
func (t *T) goodFor(r *Response) time.Duration {
	limit := offerLimit
	if text, err := validUntil(r); err == nil && text != "" {
		until, err := http.ParseTime(text)
		if err != nil {
			t.Skipf("WHEP-CTR-04 does not hold: %q is no HTTP-date", text)
		}
		limit = until.Sub(serverTime(r))
	}
	if limit > 100*time.Second {
		t.Skipf("the counter-offer is good for %v, which is longer than this suite waits", limit)
	}
	return limit
}

func counterLasts(t *T) {
	asked := time.Now()
	early := t.counter()
	sooner, limit := t.proposed(early), t.goodFor(early)
	later := t.proposed(t.counter())
	got := time.Now()
	t.Sleep(limit - 2*time.Second - time.Since(asked)) // however long the requests took
	t.Want(t.reply(sooner, answerTo(sooner.Offer, "recvonly")), "204 to one 2 s before the end", Is(http.StatusNoContent))
	t.Sleep(limit + 3*time.Second - time.Since(got))
	t.Want(t.reply(later, answerTo(later.Offer, "recvonly")), "4xx to one 3 s after the end", ClientError)
}

// wantForgotten wants a session that is no more.
func (t *T) wantForgotten(s *Session) {
	gone := Is(http.StatusNotFound, http.StatusGone)
	t.Want(t.reply(s, answerTo(s.Offer, "recvonly")), "404 or 410 to an answer", gone)
	t.Want(t.Do(Request{Method: http.MethodGet, URL: s.URL}), "404 or 410 to GET of the session", gone)
}
