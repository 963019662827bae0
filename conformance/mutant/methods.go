package mutant

import (
	"fmt"
	"net/http"
	"strings"
)

// isGet tells whether the request is GET or HEAD of the place, in WHIP.
func (x *exchange) isGet(p place) bool { return x.at(p, http.MethodGet) || x.at(p, http.MethodHead) }

// refuse makes the response a 405 that names the methods.
func (x *exchange) refuse(allow string) {
	x.fail(http.StatusMethodNotAllowed, "method-not-allowed")
	x.reply.Set("Allow", allow)
	x.headLength()
}

// headLength lets the response to a HEAD tell the size of that to a GET.
func (x *exchange) headLength() {
	if x.request.Method == http.MethodHead {
		x.reply.Del("Content-Length")
	}
}

func methodFaults() map[string]behaviour {
	return map[string]behaviour{
		"get-endpoint-405": {after: func(x *exchange) {
			if x.isGet(endpoint) {
				x.refuse("POST, OPTIONS")
			}
		}},
		"get-endpoint-body": {after: func(x *exchange) {
			if x.isGet(endpoint) {
				x.status, x.text = http.StatusOK, []byte("This is WHIP.\n")
				x.reply.Set("Content-Type", "text/plain")
				x.headLength()
			}
		}},
		"get-session-404": {after: func(x *exchange) {
			if x.isGet(resource) {
				x.fail(http.StatusNotFound, "session-not-found")
				x.headLength()
			}
		}},
		"head-endpoint-405": {after: func(x *exchange) {
			if x.at(endpoint, http.MethodHead) {
				x.refuse("GET, POST, OPTIONS")
			}
		}},
		"405-without-allow": {after: func(x *exchange) {
			if x.status == http.StatusMethodNotAllowed {
				x.reply.Del("Allow")
			}
		}},
		"put-session-404": {after: func(x *exchange) {
			if x.place == resource && x.protocol == "WHIP" && x.status == http.StatusMethodNotAllowed {
				x.fail(http.StatusNotFound, "not-found")
			}
		}},
		"head-error-body": {after: func(x *exchange) {
			if x.request.Method == http.MethodHead && x.status >= 400 && x.protocol != "WHEP" {
				x.chatter()
			}
		}},
		"201-cacheable": {after: func(x *exchange) {
			if x.status == http.StatusCreated {
				x.reply.Set("Cache-Control", "max-age=60")
			}
		}},
	}
}

// mediaType is the type of the request's body in small letters, without parameters.
func (x *exchange) mediaType() string {
	t, _, _ := strings.Cut(x.request.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// chatter answers a HEAD with content, which net/http would leave out.
func (x *exchange) chatter() {
	conn, out, err := http.NewResponseController(x.writer).Hijack()
	if err != nil {
		return // HTTP/2: there is no way to be wrong in this
	}
	x.quit = true
	x.reply.Set("Content-Length", "5")
	x.reply.Set("Connection", "close")
	_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", x.status, http.StatusText(x.status))
	_ = x.reply.Write(out) // as below
	_, _ = out.WriteString("\r\nhello")
	_ = out.Flush() // the client may be gone
	_ = conn.Close()
}
