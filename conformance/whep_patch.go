package conformance

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// whepPatchChecks are those of trickle ICE and ICE restarts of viewers.
func whepPatchChecks() []Check {
	return slices.Concat(whepPreconditionChecks(), whepTrickleChecks(), whepRestartChecks())
}

func whepPreconditionChecks() []Check {
	return []Check{
		{
			ID: "WHEP-PATCH-01", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "PATCH of another type and malformed fragments are refused with 4xx, and the session goes on",
			Run:  whepPatchMalformed,
		},
		{
			ID: "WHEP-PATCH-02", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "a server that supports one of trickle ICE and ICE restart says 422 to the other",
			Run:  func(t *T) { t.wantHalves(t.watch(PlayOffer())) },
		},
		{
			ID: "WHEP-PATCH-03", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "the 201 has a strong ETag when ICE restarts are supported, and a trickle leaves it as it is",
			Run:  whepETag,
		},
		{
			ID: "WHEP-PATCH-04", Section: "WHEP 4.5.1", Level: Must, Stage: Live,
			What: "PATCH without If-Match is 428, and 412 with one that does not match",
			Run: func(t *T) {
				s := t.trickling()
				t.Want(t.Patch(s, TrickleOf(s.Offer), ""), "428 to a fragment without If-Match", Is(http.StatusPreconditionRequired))
				t.Want(t.Patch(s, TrickleOf(s.Offer), `"nope"`), "412 to another tag", Is(http.StatusPreconditionFailed))
				t.WantIntact(s)
			},
		},
		{
			ID: "WHEP-PATCH-05", Section: "RFC 9110 13.1.1", Level: Must, Stage: Live,
			What: "If-Match: * matches whatever the tag is, for a trickle too",
			Run: func(t *T) {
				s := t.trickling()
				t.Want(t.Patch(s, TrickleOf(s.Offer), "*"), "204", Is(http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-PATCH-06", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a quoted star is a star, lists of tags match by one, weak tags never do, and errors have an order",
			Run:  whepPatchRules,
		},
	}
}

// trickling is a session that takes a trickle; checks of what goes with one are
// skipped on servers that know none.
func (t *T) trickling() *Session {
	s := t.watch(PlayOffer())
	if s.ETag == "" {
		t.Skipf("the server gives no ETag")
	}
	r := t.Patch(s, TrickleOf(s.Offer), s.ETag)
	if unknownKind(r.Status) {
		t.Skipf("the server does not support trickle ICE: %v", r)
	}
	return s
}

// restarting is a session that has been restarted, and the answer to that.
func (t *T) restarting() (*Session, *Response) {
	s := t.watch(PlayOffer())
	r := t.Patch(s, RestartOf(s.Offer), "*")
	if unknownKind(r.Status) {
		t.Skipf("the server does not support ICE restarts: %v", r)
	}
	return s, r
}

func whepPatchMalformed(t *T) {
	s := t.watch(PlayOffer())
	if r := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*")); unsupported(r) {
		t.Skipf("the server takes no fragments: %v", r)
	}
	for _, other := range []string{"text/plain", typeSDP, "application/json"} {
		t.Want(t.Patch(s, TrickleOf(s.Offer), s.ETag, typed(other)), "4xx to "+other, ClientError)
	}
	pwd := "a=ice-pwd:" + sdpLine(s.Offer, "a=ice-pwd:") + "\r\n"
	for name, body := range map[string]string{"no fragment": "hello", "empty": "", "pwd without ufrag": pwd} {
		t.Want(t.Patch(s, body, s.ETag), "4xx to "+name, ClientError)
	}
	if s.ETag != "" {
		t.WantIntact(s)
	}
}

func whepETag(t *T) {
	s := t.watch(PlayOffer())
	if !strongForm.MatchString(s.ETag) {
		restart := t.Patch(s, RestartOf(s.Offer), "*")
		if s.ETag == "" && !Success(restart.Status) {
			t.Skipf("the server supports no ICE restart: %v", restart)
		}
		t.Fatalf("expected a strong entity tag, got %q", s.ETag)
	}
	if other := t.watch(s.Offer); other.ETag == s.ETag {
		t.Errorf("expected two sessions of one offer to differ in their tags, got %s twice", s.ETag)
	}
	for range 2 {
		t.WantIntact(s)
	}
}

func whepPatchRules(t *T) {
	s := t.trickling()
	fragment := TrickleOf(s.Offer)
	noContent := Is(http.StatusNoContent)
	t.WantChoice(t.Patch(s, fragment, `"*"`), http.StatusNoContent, "204 or 412 to a quoted star",
		Is(http.StatusNoContent, http.StatusPreconditionFailed))
	t.Want(t.Patch(s, fragment, `"a", `+s.ETag), "204 to a list with the tag", noContent)
	t.Want(t.Patch(s, fragment, "W/"+s.ETag), "412 to the tag made weak", Is(http.StatusPreconditionFailed))
	ended := t.watch(PlayOffer())
	t.Delete(ended)
	for name, at := range map[string]string{"no such session": guess(s.URL), "an ended session": ended.URL} {
		r := t.Patch(&Session{URL: at}, fragment, s.ETag)
		t.WantChoice(r, http.StatusNotFound, "404 or 410 to "+name, Is(http.StatusNotFound, http.StatusGone))
	}
	// With two faults, the one that is looked at first is told.
	t.WantChoice(t.Patch(&Session{URL: guess(s.URL)}, "hello", "", typed("text/plain")), http.StatusNotFound,
		"4xx to another type for no such session", ClientError)
	t.WantChoice(t.Patch(s, "hello", "", typed("text/plain")), http.StatusUnsupportedMediaType, "4xx to another type without a tag", ClientError)
	t.WantChoice(t.Patch(s, "hello", ""), http.StatusPreconditionRequired, "4xx to a malformed fragment without a tag", ClientError)
	t.WantChoice(t.Patch(s, "hello", s.ETag), http.StatusBadRequest, "4xx to a malformed fragment", ClientError)
	t.WantIntact(s)
}

func whepTrickleChecks() []Check {
	return []Check{
		{
			ID: "WHEP-TRK-01", Section: "WHEP 4.5.2", Level: Must, Stage: Live,
			What: "a trickle is answered with 204 and no content",
			Run: func(t *T) {
				s := t.trickling()
				r := t.Patch(s, TrickleOf(s.Offer), s.ETag)
				t.Want(r, "204", Is(http.StatusNoContent))
				if r.Body != "" {
					t.Errorf("expected no content, got %d bytes", len(r.Body))
				}
			},
		},
		{
			ID: "WHEP-TRK-02", Section: "WHEP 4.5.2", Level: MustNot, Stage: Live,
			What: "the answer to a trickle has no ETag",
			Run: func(t *T) {
				s := t.trickling()
				r := t.Patch(s, TrickleOf(s.Offer), s.ETag)
				if got := r.Header.Get("ETag"); Success(r.Status) && got != "" {
					t.Errorf("expected no ETag, got %s", got)
				}
			},
		},
		{
			ID: "WHEP-TRK-03", Section: "WHEP 4.5.2", Level: Must, Stage: Live,
			What: "candidates of an unknown transport and of an address that cannot be resolved are passed over",
			Run: func(t *T) {
				s := t.trickling()
				for _, bad := range []string{
					"a=candidate:1 1 sctp 2130706431 127.0.0.1 40000 typ host\r\n",
					"a=candidate:1 1 udp 2130706431 6b8f3f1c-8e4d-4c7b-9a7e-000000000000.local 40000 typ host\r\n",
					"a=candidate:1 1 udp 2130706431 nowhere.invalid 40000 typ host\r\n",
				} {
					t.Want(t.Patch(s, TrickleOf(s.Offer)+bad, s.ETag), "204 to "+bad[:24], Is(http.StatusNoContent))
				}
			},
		},
		{
			ID: "WHEP-TRK-04", Section: "RFC 8840 4.4, 9.2", Level: Must, Stage: Live,
			What: "fragments are read whichever of the forms that their grammar allows they have",
			Run:  whepFragmentForms,
		},
		{
			ID: "WHEP-TRK-06", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a burst of twenty PATCHes with a candidate each is taken",
			Run:  whepTrickleBurst,
		},
	}
}

func whepFragmentForms(t *T) {
	s := t.trickling()
	credentials := "a=ice-ufrag:" + sdpLine(s.Offer, "a=ice-ufrag:") + "\r\na=ice-pwd:" + sdpLine(s.Offer, "a=ice-pwd:") + "\r\n"
	candidate := "a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host\r\n"
	mids := sdpValues(s.Offer, "a=mid:")
	audio, video := "m=audio 9 RTP/AVP 0\r\na=mid:"+mids[0]+"\r\n", "m=audio 9 RTP/AVP 0\r\na=mid:"+mids[1]+"\r\n"
	type form struct{ name, body string }
	forms := []form{
		{"credentials at session level", credentials + audio + candidate},
		{"one more time", credentials + audio + candidate},
		{"credentials in the section", audio + credentials + candidate},
		{"a section for each mid", audio + credentials + candidate + video + credentials + candidate},
	}
	if t.Strict() { // what RFC 8840 does not decide
		forms = append(forms, form{"m=audio for a video section", credentials + video + candidate},
			form{"another generation", credentials + audio + strings.TrimSuffix(candidate, "\r\n") + " ufrag else\r\n"},
			form{"component 0", credentials + audio + candidate + "a=candidate:2 0 udp 2130706430 127.0.0.1 40001 typ host\r\n"})
	}
	forms = append(forms, // last: no candidate may follow
		form{"end of candidates", credentials + audio + candidate + "a=end-of-candidates\r\n"},
		form{"end of candidates for all", credentials + "a=end-of-candidates\r\n" + audio})
	for _, f := range forms {
		t.Want(t.Patch(s, f.body, s.ETag), "204 to "+f.name, Is(http.StatusNoContent))
	}
	t.WantIntact(s)
}

func whepTrickleBurst(t *T) {
	s := t.trickling()
	var burst sync.WaitGroup
	for range 20 {
		burst.Go(func() {
			r, err := t.Try(Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", s.ETag))
			switch {
			case err != nil:
				t.Errorf("expected 204, got no response: %v", err)
			case r.Status != http.StatusNoContent:
				t.Errorf("expected 204, got %v", r)
			}
		})
	}
	burst.Wait()
}

func whepRestartChecks() []Check {
	return []Check{
		{
			ID: "WHEP-RST-01", Section: "WHEP 4.5.3", Level: Must, Stage: Live,
			What: "an ICE restart is answered with 200, a fragment and new credentials of the server",
			Run:  whepRestart,
		},
		{
			ID: "WHEP-RST-02", Section: "WHEP 4.5.3", Level: Must, Stage: Live,
			What: "the answer to an ICE restart has a new ETag, and the former one is over",
			Run: func(t *T) {
				s, r := t.restarting()
				tag := r.Header.Get("ETag")
				if !strongForm.MatchString(tag) || tag == s.ETag {
					t.Fatalf("expected a new strong tag in place of %s, got %q", s.ETag, tag)
				}
				t.Want(t.Patch(s, RestartOf(s.Offer), s.ETag), "412 to another restart with the former tag", Is(http.StatusPreconditionFailed))
			},
		},
		{
			ID: "WHEP-RST-03", Section: "WHEP 4.5.3", Level: Must, Stage: Live,
			What: "the answer to an ICE restart has the ice-lite, ice-options and ice-pacing of the first answer",
			Run: func(t *T) {
				s, r := t.restarting()
				t.wrong(optionChanges(describe(s.Answer), describe(r.Body)))
			},
		},
	}
}

func whepRestart(t *T) {
	s, r := t.restarting()
	t.Want(r, "200", Is(http.StatusOK))
	if got := r.Header.Get("Content-Type"); mediaType(got) != typeFragment {
		t.Errorf("expected Content-Type %s, got %q", typeFragment, got)
	}
	for _, name := range []string{"a=ice-ufrag:", "a=ice-pwd:"} {
		before, after := sdpLine(s.Answer, name), sdpLine(r.Body, name)
		if after == "" || before == after {
			t.Errorf("expected %s to be new, got %q after %q", name, after, before)
		}
	}
}
