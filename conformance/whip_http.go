package conformance

import "net/http"

// whipHTTPChecks are those of the endpoint's and the session's methods.
func whipHTTPChecks() []Check {
	return []Check{
		{
			ID: "WHIP-HTTP-01", Section: "RFC 9725 4.1", Level: Must,
			What: "GET on the endpoint is a success without content",
			Run:  func(t *T) { t.wantEmptySuccess(http.MethodGet, t.Room.WHIP) },
		},
	}
}

// wantEmptySuccess wants 2xx and no content.
func (t *T) wantEmptySuccess(method, url string) *Response {
	r := t.Do(Request{Method: method, URL: url})
	t.Want(r, "2xx", Success)
	if r.Body != "" {
		t.Errorf("expected no content, got %d bytes", len(r.Body))
	}
	return r
}
