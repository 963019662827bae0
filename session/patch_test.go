package session_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sluicemedia/sluice/session"
)

const restartBody = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"

var trickleBody = fragmentICE + "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:" + goodLine + "\r\n"

// resource is a viewer's session of a table, as HTTP sees it.
type resource struct {
	t     *testing.T
	table *session.Table
	*session.Session
}

func newResource(t *testing.T) *resource {
	t.Helper()
	table := newTable(t, func(c *session.Config) { c.URL = "https://media.example/base/" })
	s, err := table.OpenViewer(parseOffer(t, string(testdata(t, "fixtures/o_whep.sdp"))), session.ViewerSetup{Closed: func(session.Cause) {}})
	if err != nil {
		t.Fatal(err)
	}
	return &resource{t, table, s}
}

// patch sends a fragment; an If-Match of "" is none.
func (r *resource) patch(match, body string) (*http.Response, error) {
	r.t.Helper()
	return r.send(r.ID(), "application/trickle-ice-sdpfrag", match, body)
}

func (r *resource) send(id, mediaType, match, body string) (*http.Response, error) {
	q := httptest.NewRequestWithContext(r.t.Context(), http.MethodPatch, "/s/"+id, strings.NewReader(body))
	q.Header.Set("Content-Type", mediaType)
	if match != "" {
		q.Header.Set("If-Match", match)
	}
	w := httptest.NewRecorder()
	err := r.table.Patch(w, q, id)
	return w.Result(), err
}

// TestLenientPatch: without If-Match the present credentials stand in for it,
// where the operator allows it, and nothing else does.
func TestLenientPatch(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		table := newTable(t, func(c *session.Config) { c.LenientPatch = lenient })
		s, err := table.OpenViewer(parseOffer(t, string(testdata(t, "fixtures/o_whep.sdp"))), session.ViewerSetup{Closed: func(session.Cause) {}})
		if err != nil {
			t.Fatal(err)
		}
		r := &resource{t, table, s}
		for name, tc := range map[string]struct {
			match, body string
			forgiven    bool
		}{
			"trickle":                {"", trickleBody, true},
			"without credentials":    {"", "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:" + goodLine + "\r\n", false},
			"restart":                {"", restartBody, false},
			"garbage":                {"", "hello", false},
			"a tag that is not ours": {`"nope"`, trickleBody, false},
		} {
			want := session.ErrPreconditionRequired
			if tc.match != "" {
				want = session.ErrPrecondition
			}
			if lenient && tc.forgiven {
				want = nil
			}
			resp, err := r.patch(tc.match, tc.body)
			if !errors.Is(err, want) {
				t.Errorf("lenient %t, %s: got %v, want %v", lenient, name, err, want)
			}
			if err == nil && resp.StatusCode != http.StatusNoContent {
				t.Errorf("lenient %t, %s: got %d, want 204", lenient, name, resp.StatusCode)
			}
		}
	}
}

func TestWriteCreated(t *testing.T) {
	r := newResource(t)
	w := httptest.NewRecorder()
	if err := r.table.WriteCreated(w, r.Session); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusCreated || w.Body.String() != string(r.Answer()) || !strings.HasPrefix(w.Body.String(), "v=0\r\n") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type":  "application/sdp",
		"Location":      "https://media.example/base/s/" + r.ID(),
		"Cache-Control": "no-store",
		"Etag":          r.ETag(),
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !regexp.MustCompile(`^"[!#-~]{16,}"$`).MatchString(r.ETag()) || strings.Contains(string(r.Answer()), strings.Trim(r.ETag(), `"`)) {
		t.Errorf("the tag %s is not strong and opaque", r.ETag())
	}
}

func TestPatchTrickle(t *testing.T) {
	r := newResource(t)
	before := r.ETag()
	for name, match := range map[string]string{
		"tag": before, "any": "*", "any in quotes": `"*"`, "list": `"a", ` + before, "list of three": `W/"x",` + before + `,"z"`,
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the same once more is harmless
				w, err := r.patch(match, trickleBody)
				if err != nil || w.StatusCode != http.StatusNoContent || w.Header.Get("ETag") != "" {
					t.Errorf("got %d with the tag %q, %v", w.StatusCode, w.Header.Get("ETag"), err)
				}
			}
		})
	}
	for name, body := range map[string]string{
		"bad candidate":  string(testdata(t, "fixtures/f_badcand.frag")),
		"no credentials": "m=audio 9 RTP/AVP 0\r\na=mid:1\r\na=end-of-candidates\r\n",
		"both mids":      trickleBody + "m=audio 9 RTP/AVP 0\r\na=mid:1\r\n",
		"no mid":         fragmentICE + "m=audio 9 RTP/AVP 0\r\na=candidate:" + goodLine + "\r\n",
	} {
		if w, err := r.patch("*", body); err != nil || w.StatusCode != http.StatusNoContent {
			t.Errorf("%s: got %d %v", name, w.StatusCode, err)
		}
	}
	if r.ETag() != before {
		t.Error("trickling changed the tag")
	}
}

// TestPatchOrder combines faults: the first in the order of the checks counts.
func TestPatchOrder(t *testing.T) {
	r := newResource(t)
	before := r.ETag()
	const frag = "application/trickle-ice-sdpfrag"
	large := strings.Repeat("x", 64<<10+1)
	cases := []struct {
		name, id, mediaType, match, body string
		want                             error // nil: an *OfferError
	}{
		{"unknown", "n1.nonsense", "text/plain", "", large, session.ErrNotFound},
		{"media type", r.ID(), "text/plain", "", large, session.ErrMediaType},
		{"offer", r.ID(), "application/sdp", "*", trickleBody, session.ErrMediaType},
		{"size", r.ID(), frag, "", large, session.ErrTooLarge},
		{"no If-Match", r.ID(), frag, "", "hello", session.ErrPreconditionRequired},
		{"wrong If-Match", r.ID(), frag, `"nope"`, "hello", session.ErrPrecondition},
		{"weak If-Match", r.ID(), frag, "W/" + before, trickleBody, session.ErrPrecondition},
		{"unquoted If-Match", r.ID(), frag, strings.Trim(before, `"`), trickleBody, session.ErrPrecondition},
		{"not a fragment", r.ID(), frag, before, "hello", nil},
		{"empty", r.ID(), frag, before, "", nil},
		{"unknown mid", r.ID(), frag, before, fragmentICE + "m=audio 9 RTP/AVP 0\r\na=mid:7\r\n", nil},
		{"only the pwd changed", r.ID(), frag, "*", strings.Replace(fragmentICE, "bP+X", "xxxx", 1), nil},
		{"only the ufrag changed", r.ID(), frag, "*", strings.Replace(fragmentICE, "EsAw", "xxxx", 1), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, err := r.send(c.id, c.mediaType, c.match, c.body)
			if c.want == nil && problem(t, err) != session.ProblemFragment || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if accept := w.Header.Get("Accept-Patch"); (accept == frag) != errors.Is(c.want, session.ErrMediaType) {
				t.Errorf("Accept-Patch is %q", accept)
			}
		})
	}
	if w, err := r.patch(before, trickleBody); err != nil || w.StatusCode != http.StatusNoContent {
		t.Errorf("the session is not intact: %d %v", w.StatusCode, err)
	}
}

func TestPatchRestart(t *testing.T) {
	r := newResource(t)
	first := r.ETag()
	restart := func(match, body string) (string, string) {
		t.Helper()
		w, err := r.patch(match, body)
		if err != nil || w.StatusCode != http.StatusOK || w.Header.Get("Content-Type") != "application/trickle-ice-sdpfrag" || w.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %d %v %v", w.StatusCode, w.Header, err)
		}
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), w.Header.Get("ETag")
	}
	body, second := restart(first, restartBody) // without any m-line
	f, err := session.ParseFragment([]byte(body))
	if err != nil || len(f.Candidates) == 0 || !f.EndOfCandidates || strings.Contains(string(r.Answer()), f.Pwd) {
		t.Errorf("the reply is %q, %v", body, err)
	}
	if second == first || second != r.ETag() {
		t.Errorf("the tag went from %s to %s", first, second)
	}
	if _, err := r.patch(first, restartBody); !errors.Is(err, session.ErrPrecondition) {
		t.Errorf("the old tag: got %v", err)
	}
	// The reply was lost: the same again.
	if again, tag := restart("*", restartBody); again != body || tag != second {
		t.Errorf("repeated: got %q %s", again, tag)
	}
	// Whoever has the tag had the reply: a trickle.
	if w, err := r.patch(second, restartBody); err != nil || w.StatusCode != http.StatusNoContent {
		t.Errorf("trickle after the restart: got %d %v", w.StatusCode, err)
	}
	// A straggler of the ICE session that is over must not bring it back.
	if _, err := r.patch("*", trickleBody); !errors.Is(err, session.ErrPrecondition) || r.ETag() != second {
		t.Errorf("straggler: got %v", err)
	}
	other, third := restart("*", strings.NewReplacer("ysXw", "zzzz", "vw5L", "zzzz").Replace(restartBody))
	if other == body || third == second {
		t.Error("the second restart changed nothing")
	}
	if _, err := r.patch("*", restartBody); !errors.Is(err, session.ErrPrecondition) {
		t.Errorf("straggler of the first restart: got %v", err)
	}
}

// TestPatchOverlap: of restarts that race with one tag one wins, and its tag is
// the session's.
func TestPatchOverlap(t *testing.T) {
	r := newResource(t)
	tag := r.ETag()
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for i := range 8 {
		wg.Go(func() {
			n := string(rune('0' + i))
			w, err := r.patch(tag, strings.NewReplacer("ysXw", "abc"+n, "vw5L", "abc"+n).Replace(restartBody))
			switch {
			case err == nil:
				won <- w.Header.Get("ETag")
			case !errors.Is(err, session.ErrPrecondition):
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 || <-won != r.ETag() {
		t.Errorf("%d restarts passed", len(won))
	}
}

// TestPatchOneAtATime: nobody checks a tag while a restart is changing it.
func TestPatchOneAtATime(t *testing.T) {
	patch, overlaps := session.PatchSlowly(parseOffer(t, string(testdata(t, "fixtures/o_whep.sdp"))))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := patch(restartBody); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := overlaps(); n != 0 {
		t.Errorf("%d requests overlapped with a restart", n)
	}
}

// TestPatchRate runs in a bubble, where no time passes: a browser's burst gets
// through, a flood does not, and the session is as it was.
func TestPatchRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patch := session.PatchAlone(parseOffer(t, string(testdata(t, "fixtures/o_whep.sdp"))))
		limited := 0
		for i := range 200 {
			w, err := patch(trickleBody)
			switch {
			case err == nil:
			case errors.Is(err, session.ErrRateLimited) && w.Header().Get("Retry-After") == "1":
				if limited++; i < 50 {
					t.Fatalf("refused number %d", i)
				}
			default:
				t.Fatal(err)
			}
		}
		if limited < 50 || limited > 150 {
			t.Errorf("%d of 200 refused", limited)
		}
	})
}

func TestDelete(t *testing.T) {
	r := newResource(t)
	remove := func(id string) (*httptest.ResponseRecorder, error) {
		q := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/s/"+id, nil)
		q.Header.Set("If-Match", `"nope"`)
		w := httptest.NewRecorder()
		return w, r.table.Delete(w, q, id)
	}
	if _, err := remove("n1.nonsense"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("unknown: got %v", err)
	}
	for range 2 {
		if w, err := remove(r.ID()); err != nil || w.Code != http.StatusOK || w.Body.Len() != 0 {
			t.Errorf("got %d %q, %v", w.Code, w.Body, err)
		}
		<-r.Done()
	}
	if _, err := r.patch("*", trickleBody); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("patch of an ended session: got %v", err)
	}
}
