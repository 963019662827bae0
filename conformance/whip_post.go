package conformance

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// whipPostChecks judge how a session is made, and how it is not.
func whipPostChecks() []Check {
	row := rows("WHIP-POST")
	drip := row(13, "Sluice", Choice, "an offer that does not arrive within 5 s is given up", checkDrip)
	drip.Patient = true
	return []Check{
		row(1, "RFC 9725 4.2", Must, "a valid offer is answered with 201",
			func(t *T) { t.wantTaken("a valid offer", PublishOffer()) }),
		row(2, "RFC 9725 4.2", Must, "201 carries an SDP answer of type application/sdp", checkAnswerType),
		row(3, "RFC 9725 4.2", Must, "201 carries the Location of a new session", checkLocation),
		row(4, "RFC 9725 4.2", Must, "an offer of another media type is refused", func(t *T) {
			for _, mediaType := range otherTypes {
				t.Want(t.ask(t.Room.WHIP, PublishOffer(), typed(mediaType)), "4xx to "+mediaType, ClientError)
			}
		}),
		row(5, "RFC 9110 15.5.16", Choice, "another media type is 415, with Accept-Post", func(t *T) {
			for _, mediaType := range otherTypes {
				r := t.ask(t.Room.WHIP, PublishOffer(), typed(mediaType))
				t.WantChoice(r, http.StatusUnsupportedMediaType, "4xx", ClientError)
				if got := r.Header.Get("Accept-Post"); r.Status == http.StatusUnsupportedMediaType && got != typeSDP {
					t.Errorf("expected Accept-Post: application/sdp on the 415, got %q", got)
				}
			}
		}),
		row(6, "RFC 9110 8.3", Must, "media types compare without case and without parameters", func(t *T) {
			for _, mediaType := range []string{"Application/SDP", "application/sdp; charset=utf-8", "application/sdp;charset=UTF-8"} {
				t.wantTaken(mediaType, PublishOffer(), typed(mediaType))
			}
		}),
		row(7, "RFC 9725 4.2", Choice, "an offer without a media type is 415", func(t *T) {
			t.WantChoice(t.PostOffer(t.Room.WHIP, PublishOffer(), typed("")), http.StatusUnsupportedMediaType, "4xx", ClientError)
		}),
		row(8, "RFC 9725 4.2", Must, "an SDP that cannot be read is refused", func(t *T) {
			for name, body := range malformedOffers() {
				t.Want(t.ask(t.Room.WHIP, body), "4xx to "+name, ClientError)
			}
		}),
		row(9, "Sluice", Choice, "an SDP that cannot be read is 400", func(t *T) {
			for _, body := range malformedOffers() {
				t.WantChoice(t.ask(t.Room.WHIP, body), http.StatusBadRequest, "4xx", ClientError)
			}
		}),
		row(10, "Sluice", Choice, "an empty offer is 400", func(t *T) {
			t.WantChoice(t.PostOffer(t.Room.WHIP, ""), http.StatusBadRequest, "4xx", ClientError)
		}),
		row(11, "Sluice", Choice, "LF alone and a missing last line end are taken", checkLineEnds),
		row(12, "RFC 9110 15.5.14", Choice, "an offer of 2 MB is 413, with and without a length", checkOversize),
		drip,
		row(14, "RFC 9429 5.2.1", Client, "a section with port 0 and bundle-only is alive", checkBundleOnly),
		row(15, "Sluice", Choice, "attributes, bandwidths and parameters that nobody knows are ignored", func(t *T) {
			offer := Edit(PublishOffer(), "t=0 0\r\n", "t=0 0\r\na=x-conformance:1\r\n")
			offer = inSection(offer, 1, func(s string) string {
				s = Edit(s, "c=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\nb=TIAS:1000000\r\nb=X-FOO:1\r\n")
				return Edit(s, "packetization-mode=1", "x-unheard-of=7;packetization-mode=1") + "a=x-foo\r\na=x-bar:baz\r\n"
			})
			t.wantTaken("an offer with unknown attributes", offer)
		}),
		row(16, "Sluice", Choice, "an endpoint that there cannot be is 404", checkNoEndpoint),
		row(17, "Sluice", Choice, "the answer comes within a second", checkPrompt),
	}
}

var otherTypes = []string{"text/plain", "application/json", typeFragment}

// malformedOffers cannot be read, each in its way.
func malformedOffers() map[string]string {
	offer := PublishOffer()
	return map[string]string{
		"a greeting":             "hello",
		"nothing but a version":  "v=0",
		"an offer cut in a line": offer[:strings.Index(offer, "m=video")+len("m=video 9 UDP/")],
		"an offer with NUL":      Edit(offer, "s=-", "s=\x00"),
	}
}

// wantTaken wants 201 and returns the response, whose session is over.
func (t *T) wantTaken(name, offer string, change ...func(*Request)) *Response {
	r := t.ask(t.Room.WHIP, offer, change...)
	t.Want(r, "201 to "+name, Is(http.StatusCreated))
	return r
}

func checkAnswerType(t *T) {
	r := t.Open(t.Room.WHIP, PublishOffer()).Created
	if got, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(got), typeSDP) {
		t.Errorf("expected Content-Type: application/sdp, got %q", r.Header.Get("Content-Type"))
	}
	if !strings.HasPrefix(r.Body, "v=0") {
		t.Errorf("expected the body to begin with v=0, got %.20q", r.Body)
	}
}

func checkLocation(t *T) {
	first := t.Open(t.Room.WHIP, PublishOffer())
	t.Want(t.Delete(first), "2xx to DELETE of it", Success)
	second := t.Open(t.Room.WHIP, PublishOffer())
	t.Want(t.Delete(second), "2xx to DELETE of it", Success)
	if first.URL == second.URL {
		t.Errorf("expected a Location of its own for each session, got %s twice", first.URL)
	}
}

func checkLineEnds(t *T) {
	lf := strings.ReplaceAll(PublishOffer(), "\r\n", "\n")
	for name, offer := range map[string]string{
		"an offer with LF":                      lf,
		"an offer without the last line end":    strings.TrimSuffix(PublishOffer(), "\r\n"),
		"an offer with LF and without the last": strings.TrimSuffix(lf, "\n"),
	} {
		r := t.ask(t.Room.WHIP, offer)
		if t.Strict() {
			t.Want(r, "201 to "+name, Is(http.StatusCreated))
		} else {
			t.Want(r, "201 or 400 to "+name, Is(http.StatusCreated, http.StatusBadRequest))
		}
	}
}

// oversize is how large an offer is that nobody should take.
const oversize = 2 << 20

func checkOversize(t *T) {
	offer := PublishOffer() + strings.Repeat("a=x-filler:"+strings.Repeat("x", 100)+"\r\n", oversize/113)
	for name, chunked := range map[string]bool{"with a length": false, "in chunks": true} {
		var r *Response
		var err error
		for range 3 { // a server that closes at once may cut off its own answer
			q := Request{Method: http.MethodPost, URL: t.Room.WHIP, Type: typeSDP, Body: offer}
			if chunked {
				q.Reader = io.MultiReader(strings.NewReader(offer)) // of a length that nobody knows
			}
			if r, err = t.Try(q); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("expected 413 to 2 MB %s, got no response: %v", name, err)
			continue
		}
		t.discard(r)
		t.WantChoice(r, http.StatusRequestEntityTooLarge, "413 or 400 to 2 MB "+name, Is(http.StatusRequestEntityTooLarge, http.StatusBadRequest))
	}
}

// checkDrip sends an offer one byte a second.
func checkDrip(t *T) {
	offer := PublishOffer()
	conn, u := t.dialRaw(t.Room.WHIP)
	if _, err := io.WriteString(conn, t.rawHead(http.MethodPost, u, "Content-Type: application/sdp", "Content-Length: "+strconv.Itoa(len(offer)))); err != nil {
		t.Fatalf("send the head of a request: %v", err)
	}
	limit := 30 * time.Second
	if t.Strict() {
		limit = 15 * time.Second
	}
	began, buf := time.Now(), make([]byte, 4096)
	for i := 0; time.Since(began) < limit; i++ {
		// A connection that was closed is what the read below tells of.
		_, _ = io.WriteString(conn, offer[i:i+1])
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatalf("bound a read: %v", err)
		}
		n, err := conn.Read(buf)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if n == 0 { // closed
			return
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		if !strings.Contains(line, " 408") && !strings.Contains(line, " 400") {
			t.Errorf("expected 408, 400 or the end of the connection, got %s", line)
		}
		return
	}
	t.Errorf("expected the end of an offer that comes a byte a second within %v, got none", limit)
}

func checkBundleOnly(t *T) {
	offer := bundleOnly(PublishOffer())
	s := t.Open(t.Room.WHIP, offer)
	a := describe(s.Answer)
	t.wrong(sectionFaults(describe(offer), a))
	t.wrong(rejectionFaults(a))
	t.wrong(bundleFaults(describe(offer), a))
}

// checkNoEndpoint posts to a name that no server should take for a room.
func checkNoEndpoint(t *T) {
	u, err := url.Parse(t.Room.WHIP)
	if err != nil {
		t.Fatalf("%s is no URL: %v", t.Room.WHIP, err)
	}
	u.Path = path.Join(path.Dir(u.Path), ".conformance "+randomText(8))
	r := t.PostOffer(u.String(), PublishOffer())
	if r.Status == http.StatusCreated && !t.Strict() {
		t.Skipf("the server makes rooms of any name on demand")
	}
	t.WantChoice(r, http.StatusNotFound, "403 or 404 to a room of an odd name", Is(http.StatusForbidden, http.StatusNotFound, http.StatusUnauthorized))
}

// checkPrompt takes the best of a few: other checks of the suite run meanwhile.
func checkPrompt(t *T) {
	best := time.Hour
	for range 3 {
		best = min(best, t.wantTaken("a valid offer", PublishOffer()).Took)
	}
	if best > time.Second {
		t.Errorf("expected an answer within a second, got it after %v", best.Round(time.Millisecond))
	}
}
