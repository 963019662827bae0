package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// whipRestartChecks judge ICE restarts as far as HTTP shows them.
func whipRestartChecks() []Check {
	row := rows("WHIP-RST")
	return []Check{
		row(1, "RFC 9725 4.3.3", Must, "new credentials are a restart, whatever If-Match says", func(t *T) {
			for _, byTag := range []bool{false, true} {
				s := t.takesRestart()
				tag := "*"
				if byTag {
					tag = or(s.ETag, "*")
				}
				t.Want(t.Patch(s, RestartOf(s.Offer), tag), "200 to a restart with If-Match: "+tag, Is(http.StatusOK))
				t.Delete(s)
			}
		}),
		row(2, "RFC 9725 4.3.3", Must, "the answer to a restart is a fragment by its type", func(t *T) {
			_, r := t.restarted()
			if got, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(got), typeFragment) {
				t.Errorf("expected Content-Type: %s, got %q", typeFragment, r.Header.Get("Content-Type"))
			}
		}),
		row(3, "RFC 9725 4.3.3", Must, "a restart gives the server new credentials", checkNewCredentials),
		row(4, "RFC 9725 4.3.3", Must, "a restart gives a new strong ETag", func(t *T) {
			s, r := t.restarted()
			t.wantStrong(r)
			if got := r.Header.Get("ETag"); got == s.ETag {
				t.Errorf("expected another ETag than before, got %s", got)
			}
		}),
		row(5, "RFC 9725 4.3.3", Must, "the answer to a restart has the server's candidates, and their end", func(t *T) {
			_, r := t.restarted()
			d := describe(r.Body)
			t.wrong(candidateFaults(d))
			if t.Strict() { // no more than advised, see WHIP-ANS-10
				t.wrong(endFaults(d))
			}
		}),
		row(6, "RFC 9725 4.3.3", Must, "ice-options, ice-pacing and ice-lite are those of the answer", func(t *T) {
			s, r := t.restarted()
			t.wrong(optionChanges(describe(s.Answer), describe(r.Body)))
		}),
		row(7, "RFC 9725 4.3.3", Choice, "a restart takes the present tag and no earlier one", func(t *T) {
			s := t.takesRestart()
			t.Want(t.Patch(s, RestartOf(s.Offer), s.ETag), "200 to a restart with the present tag", Is(http.StatusOK))
			t.Want(t.Patch(s, RestartOf(s.Offer), s.ETag), "412 to a restart with the tag before", Is(http.StatusPreconditionFailed))
		}),
		row(12, "RFC 9725 4.3.3", Choice, "a restart may have no media line at all", func(t *T) {
			s := t.takesRestart()
			body := "a=ice-ufrag:" + randomText(4) + "\r\na=ice-pwd:" + randomText(12) + "\r\n"
			t.Want(t.Patch(s, body, or(s.ETag, "*")), "200 to a restart without a media line", Is(http.StatusOK))
		}),
		row(13, "RFC 9725 4.3.3", Choice, "new credentials by halves are 400 and change nothing", func(t *T) {
			s := t.takesRestart()
			ufrag, pwd := sdpLine(s.Offer, "a=ice-ufrag:"), sdpLine(s.Offer, "a=ice-pwd:")
			t.WantChoice(t.Patch(s, Fragment(randomText(4), pwd, "0", ""), "*"), http.StatusBadRequest, "4xx to a new ufrag alone", ClientError)
			t.WantChoice(t.Patch(s, Fragment(ufrag, randomText(12), "0", ""), "*"), http.StatusBadRequest, "4xx to a new pwd alone", ClientError)
			t.WantIntact(s)
		}),
		row(14, "RFC 9725 4.3.3", Choice, "the answer to a restart has CRLF, and candidates in the first section alone", checkFragmentForm),
		row(15, "RFC 9725 4.3.3", Client, "of two restarts at a time the last one counts", checkTwoRestarts),
		row(16, "RFC 9725 4.3.1", Choice, "a restart whose answer was lost may be sent again", func(t *T) {
			s := t.takesRestart()
			body := RestartOf(s.Offer)
			first, again := t.Patch(s, body, "*"), t.Patch(s, body, "*")
			t.WantChoice(again, http.StatusOK, "200 or 204", Is(http.StatusOK, http.StatusNoContent))
			if describe(first.Body).icePart("ice-ufrag") == "" {
				t.Errorf("expected a fragment with credentials, got %.60q", first.Body)
			}
			if again.Status == http.StatusOK && (again.Body != first.Body || again.Header.Get("ETag") != first.Header.Get("ETag")) {
				t.Errorf("expected the same body and ETag again, got tag %s after %s", again.Header.Get("ETag"), first.Header.Get("ETag"))
			}
		}),
	}
}

// takesRestart opens a session with a server that restarts ICE.
func (t *T) takesRestart() *Session {
	if r, ok := t.supports(RestartOf); !ok {
		t.Skipf("the server does no restarts: %v", r)
	}
	return t.Open(t.Room.WHIP, PublishOffer())
}

// restarted opens a session and restarts its ICE.
func (t *T) restarted() (*Session, *Response) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	r := t.Patch(s, RestartOf(s.Offer), "*")
	if unknownKind(r.Status) {
		t.Skipf("the server does no restarts: %v", r)
	}
	if r.Status != http.StatusOK {
		t.Fatalf("expected 200 to a restart, got %v", r)
	}
	if describe(r.Body).icePart("ice-ufrag") == "" {
		t.Fatalf("expected a fragment with credentials, got %.60q", r.Body)
	}
	return s, r
}

func checkNewCredentials(t *T) {
	s, r := t.restarted()
	seen := map[string]bool{}
	answer := describe(s.Answer)
	for range 3 {
		seen[answer.icePart("ice-ufrag")], seen[answer.icePart("ice-pwd")] = true, true
		answer = describe(r.Body)
		t.wrong(credentialFaults(answer))
		for _, name := range []string{"ice-ufrag", "ice-pwd"} {
			if seen[answer.icePart(name)] {
				t.Errorf("expected another %s than ever before, got one again", name)
			}
		}
		r = t.Patch(s, RestartOf(s.Offer), "*")
	}
}

// optionChanges tells in which of the ICE options the answer to a restart differs
// from the first answer.
func optionChanges(answer, reply *description) []string {
	var faults []string
	options := func(d *description) string {
		f := strings.Fields(d.icePart("ice-options"))
		slices.Sort(f)
		return strings.Join(f, " ")
	}
	if got, want := options(reply), options(answer); got != want {
		faults = append(faults, fmt.Sprintf("expected ice-options %q as in the answer, got %q", want, got))
	}
	if got, want := reply.icePart("ice-pacing"), answer.icePart("ice-pacing"); got != want {
		faults = append(faults, fmt.Sprintf("expected ice-pacing %q as in the answer, got %q", want, got))
	}
	if got, want := reply.has("ice-lite"), answer.has("ice-lite"); got != want {
		faults = append(faults, fmt.Sprintf("expected ice-lite to be there as in the answer (%v), got %v", want, got))
	}
	return faults
}

func checkFragmentForm(t *T) {
	s, r := t.restarted()
	if n := strings.Count(r.Body, "\n") - strings.Count(r.Body, "\r\n"); n > 0 || !strings.HasSuffix(r.Body, "\r\n") {
		t.Errorf("expected CRLF after every line, got %d lines that end otherwise, and %.4q at the end", n, r.Body[max(0, len(r.Body)-4):])
	}
	d := describe(r.Body)
	tagged := describe(s.Answer).tagged()
	if tagged == nil {
		t.Fatalf("expected an answer with media sections, got none")
	}
	if n := len(d.values("candidate")); n > 0 {
		t.Errorf("expected candidates in a section, got %d at session level", n)
	}
	for i := range d.sections {
		if at := &d.sections[i]; at.has("candidate") && at.mid() != tagged.mid() {
			t.Errorf("expected candidates in the section with mid %q alone, got some with mid %q", tagged.mid(), at.mid())
		}
	}
	if d.byMID(tagged.mid()) == nil {
		t.Errorf("expected a section with mid %q, got none", tagged.mid())
	}
}

// checkTwoRestarts sends two at a time. Which one is the last is for the server
// to say: by which tag still counts.
func checkTwoRestarts(t *T) {
	s := t.takesRestart()
	bodies := []string{RestartOf(s.Offer), RestartOf(s.Offer)}
	replies := make([]*Response, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Go(func() {
			r, err := t.Try(Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: body}.With("If-Match", "*"))
			if err != nil {
				t.Errorf("expected a response to one of two restarts, got %v", err)
				return
			}
			replies[i] = r
		})
	}
	wg.Wait()
	current := 0
	for i, r := range replies {
		if r == nil || !t.Want(r, "200 to one of two restarts", Is(http.StatusOK)) {
			continue
		}
		if t.Patch(s, bodies[i]+hostCandidate, r.Header.Get("ETag")).Status == http.StatusNoContent {
			current++
		}
	}
	if current != 1 {
		t.Errorf("expected one of two restarts to count in the end, got %d", current)
	}
	t.Want(t.Patch(s, TrickleOf(s.Offer), s.ETag), "412 to the tag before both", Is(http.StatusPreconditionFailed))
}
