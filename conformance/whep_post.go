package conformance

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// whepPostChecks are those of the POST that opens a session of a viewer.
func whepPostChecks() []Check {
	return []Check{
		{
			ID: "WHEP-POST-01", Section: "WHEP 4.3.1", Level: Must, Stage: Live,
			What: "an offer that is taken gives 201, the SDP answer and the Location of the session",
			Run:  whepCreated,
		},
		{
			ID: "WHEP-POST-02", Section: "WHEP 4.3.4", Level: Must, Stage: Live,
			What: "a body of another type and a malformed offer are refused with 4xx",
			Run: func(t *T) {
				for name, r := range t.badOffers() {
					t.Want(t.PostOffer(r.URL, r.Body, typed(r.Type)), "4xx to "+name, ClientError)
				}
			},
		},
		{
			ID: "WHEP-POST-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "another type is 415, and a malformed offer 422: some players take 400 for an invitation to another protocol",
			Run: func(t *T) {
				for name, r := range t.badOffers() {
					code := http.StatusUnprocessableEntity
					if r.Type != typeSDP {
						code = http.StatusUnsupportedMediaType
					}
					t.WantChoice(t.PostOffer(r.URL, r.Body, typed(r.Type)), code, "4xx to "+name, ClientError)
				}
			},
		},
		{
			ID: "WHEP-POST-04", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "players offer recvonly or sendrecv, and both are taken",
			Run: func(t *T) {
				for _, direction := range []string{"recvonly", "sendrecv"} {
					r := t.PostOffer(t.Room.WHEP, Offer(opusSection(direction), h264Section(direction)))
					t.Want(r, "201 to "+direction, Is(http.StatusCreated))
				}
			},
		},
		{
			ID: "WHEP-POST-05", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "players must not offer sendonly or inactive, and such an offer is refused",
			Run: func(t *T) {
				for _, direction := range []string{"sendonly", "inactive"} {
					r := t.PostOffer(t.Room.WHEP, Offer(opusSection(direction), h264Section(direction)))
					t.WantChoice(r, http.StatusUnprocessableEntity, "400 or 422 to "+direction, Is(http.StatusBadRequest, http.StatusUnprocessableEntity))
				}
			},
		},
		{
			ID: "WHEP-POST-06", Section: "RFC 9110 8.3, 15.5.14", Level: Choice, Stage: Live, Patient: true,
			What: "offers are bounded in size and time, types compare without case and parameters, line ends may be bare",
			Run:  whepPostRules,
		},
	}
}

func whepCreated(t *T) {
	r := t.watch(PlayOffer()).Created
	if got := r.Header.Get("Content-Type"); mediaType(got) != typeSDP {
		t.Errorf("expected Content-Type %s, got %q", typeSDP, got)
	}
	if !strings.HasPrefix(r.Body, "v=0") {
		t.Errorf("expected a body that begins with v=0, got %.20q", r.Body)
	}
}

// badOffers are requests whose type or body is wrong.
func (t *T) badOffers() map[string]Request {
	offer := PlayOffer()
	list := map[string]Request{}
	for _, other := range []string{"text/plain", "application/json", typeFragment} {
		list[other] = Request{Method: http.MethodPost, URL: t.Room.WHEP, Type: other, Body: offer}
	}
	for name, body := range map[string]string{
		"no SDP at all":         "hello",
		"a version and no more": "v=0\r\n",
		"cut in mid-line":       offer[:strings.Index(offer, "a=fingerprint")+8],
		"NUL bytes":             Edit(offer, "s=-\r\n", "s=\x00\x00\r\n"),
	} {
		list[name] = Request{Method: http.MethodPost, URL: t.Room.WHEP, Type: typeSDP, Body: body}
	}
	return list
}

func whepPostRules(t *T) {
	post := func(body string, change ...func(*Request)) *Response {
		return t.PostOffer(t.Room.WHEP, body, change...)
	}
	offer := PlayOffer()
	bad := Is(http.StatusBadRequest, http.StatusUnprocessableEntity)
	created := Is(http.StatusCreated)
	t.Want(post(offer, typed("Application/SDP")), "201 to Application/SDP", created)
	t.Want(post(PlayOffer(), typed("application/sdp; charset=utf-8")), "201 to a type with a parameter", created)
	t.WantChoice(post(PlayOffer(), typed("")), http.StatusUnsupportedMediaType, "4xx to an offer without a type", ClientError)
	takenOrBad := func(s int) bool { return created(s) || bad(s) }
	t.WantChoice(post(strings.ReplaceAll(PlayOffer(), "\r\n", "\n")), http.StatusCreated, "201, 400 or 422 to bare line feeds", takenOrBad)
	t.WantChoice(post(strings.TrimSuffix(PlayOffer(), "\r\n")), http.StatusCreated, "201, 400 or 422 to an offer without the last line end", takenOrBad)
	large := PlayOffer() + strings.Repeat("a=x-padding:"+strings.Repeat("0", 1000)+"\r\n", 2048)
	for name, r := range map[string]Request{
		"2 MiB":           {Body: large},
		"2 MiB in chunks": {Reader: struct{ io.Reader }{strings.NewReader(large)}},
	} {
		r.Method, r.URL, r.Type = http.MethodPost, t.Room.WHEP, typeSDP
		resp, err := t.Try(r)
		if err != nil {
			// A server that has said no may close before all was sent, and the
			// client then may not get to read it.
			continue
		}
		t.discard(resp)
		t.WantChoice(resp, http.StatusRequestEntityTooLarge, "413, 400 or 422 to "+name, func(s int) bool { return bad(s) || s == http.StatusRequestEntityTooLarge })
	}
	t.wantSlowRefused()
}

// drip is a body that comes a byte a second.
type drip struct {
	rest []byte
	done <-chan struct{}
}

func (d *drip) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.done:
		return 0, io.ErrUnexpectedEOF
	}
	b[0], d.rest = d.rest[0], d.rest[1:]
	return 1, nil
}

// wantSlowRefused wants an offer given up on that would take minutes to come.
func (t *T) wantSlowRefused() {
	r := Request{
		Method: http.MethodPost, URL: t.Room.WHEP, Type: typeSDP,
		Reader: &drip{rest: []byte(PlayOffer()), done: t.ctx.Done()},
	}
	resp, err := t.Try(r) // within 15 seconds
	switch {
	case t.ctx.Err() != nil:
		t.Fatalf("the check's time ran out")
	case err == nil:
		t.discard(resp)
		t.WantChoice(resp, http.StatusRequestTimeout, "4xx or a closed connection to a byte a second", ClientError)
	case isTimeout(err):
		t.differsf("a byte a second: expected 408 or a closed connection within 15 s, got neither")
	}
}

func isTimeout(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}
