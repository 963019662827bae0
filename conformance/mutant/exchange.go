package mutant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// place is what a URL stands for.
type place uint8

const (
	elsewhere place = iota
	endpoint        // of WHIP or WHEP
	resource        // a session
	below           // what belongs to a session: events, layers
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
	typeProblem  = "application/problem+json"

	largestBody = 4 << 20         // of a request that is read whole
	slowestBody = 5 * time.Second // of the same
	kept        = 64 << 10        // bytes of a body that are kept although nobody asked
)

// exchange is one request and its response on their way through.
type exchange struct {
	proxy   *Proxy
	writer  http.ResponseWriter
	request *http.Request // as it came

	protocol string // of the endpoint or the session; "" elsewhere
	place    place
	session  *session // nil at endpoints, and when nobody knows it

	// The request to the backend, to be changed before it is sent.
	method string
	url    *url.URL
	header http.Header
	body   []byte // read whole if read is set, else what was kept of it in passing
	read   bool

	changed bool               // the fault changed the offer
	unfold  func(*description) // puts back into the answer what the fault took from the offer

	// The response, to be changed before it is sent.
	status int
	reply  http.Header
	text   []byte
	// line, when not nil, changes each line of an event stream.
	line func(string) string
	// quit ends the connection without a response.
	quit bool
}

// at tells whether the request is one with the method, there, in WHIP.
func (x *exchange) at(p place, method string) bool {
	return x.place == p && x.request.Method == method && x.protocol == "WHIP"
}

// views is at for WHEP.
func (x *exchange) views(p place, method string) bool {
	return x.place == p && x.request.Method == method && x.protocol == "WHEP"
}

// offer reads the body whole and returns it; "" when it was none in time.
func (x *exchange) offer() string {
	if !x.read {
		x.read = true
		// A writer without deadlines serves a test.
		_ = http.NewResponseController(x.writer).SetReadDeadline(time.Now().Add(slowestBody))
		x.body, _ = io.ReadAll(io.LimitReader(x.request.Body, largestBody)) // what came in time is judged by the backend
		_ = http.NewResponseController(x.writer).SetReadDeadline(time.Time{})
	}
	return string(x.body)
}

// send replaces the body.
func (x *exchange) send(text string) { x.read, x.body = true, []byte(text) }

// editOffer lets f change the SDP that a POST to an endpoint brings; it stays
// as it is, malformed or not, when f changes nothing.
func (x *exchange) editOffer(f func(*description) bool) {
	if x.place != endpoint || x.request.Method != http.MethodPost {
		return
	}
	text := x.offer()
	if d := parse(text); f(d) {
		x.send(d.String())
	}
}

// editAnswer lets f change the SDP of a 201.
func (x *exchange) editAnswer(f func(*description)) {
	if x.status != http.StatusCreated || x.place != endpoint {
		return
	}
	d := parse(string(x.text))
	f(d)
	x.text = []byte(d.String())
}

// editRestart lets f change the fragment of an ICE restart.
func (x *exchange) editRestart(f func(*description)) {
	if !x.restarted() {
		return
	}
	d := parse(string(x.text))
	f(d)
	x.text = []byte(d.String())
}

// restarted tells whether the response is that to an ICE restart.
func (x *exchange) restarted() bool {
	return x.place == resource && x.request.Method == http.MethodPatch && x.status == http.StatusOK
}

// trickled tells whether the response is that to a trickle.
func (x *exchange) trickled() bool {
	return x.place == resource && x.request.Method == http.MethodPatch && x.status == http.StatusNoContent && x.mediaType() != typeSDP
}

// preflight tells whether the request is one by FETCH.
func (x *exchange) preflight() bool {
	h := x.request.Header
	return x.request.Method == http.MethodOptions && h.Get("Origin") != "" && h.Get("Access-Control-Request-Method") != ""
}

// problemIs tells whether the backend answered with the problem of that name.
func (x *exchange) problemIs(name string) bool {
	return x.status >= 400 && strings.HasSuffix(x.problem()["type"], "/"+name)
}

// problem reads the texts of a problem.
func (x *exchange) problem() map[string]string {
	var all map[string]any
	texts := map[string]string{}
	if json.Unmarshal(x.text, &all) == nil { // not JSON: no texts
		for k, v := range all {
			texts[k] = fmt.Sprint(v)
		}
	}
	return texts
}

// fail makes the response an error, in the form of the backend's and with its
// CORS headers.
func (x *exchange) fail(status int, name string) {
	x.status = status
	for _, h := range []string{"Location", "ETag", "Link", "Retry-After", "Allow"} {
		x.reply.Del(h)
	}
	x.reply.Set("Content-Type", typeProblem)
	x.text = fmt.Appendf(nil, `{"type":"/problems/%s","title":"%s","status":%d,"detail":"This is a fault."}`, name, http.StatusText(status), status)
}

// succeed makes the response a success without content.
func (x *exchange) succeed(status int) {
	x.status, x.text = status, nil
	x.reply.Del("Content-Type")
}

// again sends the request once more with another body and takes that response.
func (x *exchange) again(body string) {
	x.send(body)
	x.header.Set("Content-Type", typeSDP)
	x.ask()
	if !x.quit {
		x.proxy.record(x)
	}
}

// show makes the client see another ETag; the backend gets its own back.
func (x *exchange) show(etag string) {
	x.reply.Set("ETag", etag)
	if x.session != nil {
		x.session.learn(func(f *facts) { f.shown = etag })
	}
}

// ask sends the request to the backend and reads the response.
func (x *exchange) ask() {
	resp, err := x.proxy.forward(x)
	if err != nil {
		x.quit = true
		return
	}
	defer resp.Body.Close()
	x.status, x.reply = resp.StatusCode, resp.Header.Clone()
	if x.text, err = io.ReadAll(resp.Body); err != nil {
		x.quit = true
	}
}

// keeper keeps the beginning of what is read through it.
type keeper struct {
	io.ReadCloser
	to *[]byte
}

func (k keeper) Read(b []byte) (int, error) {
	n, err := k.ReadCloser.Read(b)
	if room := kept - len(*k.to); room > 0 {
		*k.to = append(*k.to, b[:min(n, room)]...)
	}
	return n, err
}

// outgoing is the body of the request to the backend and its length.
func (x *exchange) outgoing() (io.ReadCloser, int64) {
	switch {
	case x.read && len(x.body) == 0, !x.read && x.request.ContentLength == 0:
		return http.NoBody, 0
	case x.read:
		return io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	}
	return keeper{x.request.Body, &x.body}, x.request.ContentLength
}
