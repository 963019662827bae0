package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
	typeProblem  = "application/problem+json"
	maxResponse  = 1 << 20 // bytes of a response that are read
)

// Request is one HTTP request of a check.
type Request struct {
	Method, URL string
	Type        string // Content-Type; "": none is sent
	Body        string
	Header      http.Header // added to the rest
	// Reader, when not nil, stands for Body and is sent in chunks.
	Reader io.Reader
	// Anonymous sends no Authorization; by itself the target's token goes along.
	Anonymous bool
}

// With adds a header field and returns the request.
func (r Request) With(name, value string) Request {
	h := r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Add(name, value)
	r.Header = h
	return r
}

// Response is what came of a request.
type Response struct {
	Request Request
	Status  int
	Header  http.Header
	Body    string
	Proto   string // "HTTP/1.1", "HTTP/2.0"
	Took    time.Duration
}

// Location is the Location resolved against the URL of the request; "" without one.
func (r *Response) Location() string {
	base, err := url.Parse(r.Request.URL)
	if err != nil {
		return ""
	}
	at := r.Header.Get("Location")
	if at == "" {
		return ""
	}
	u, err := base.Parse(at)
	if err != nil {
		return ""
	}
	return u.String()
}

func (r *Response) String() string {
	text := fmt.Sprintf("%d to %s %s", r.Status, r.Request.Method, r.Request.Type)
	if r.Status >= 400 && len(r.Body) < 300 {
		text += " (" + strings.TrimSpace(r.Body) + ")"
	}
	return text
}

// Try sends a request. Redirects are not followed. Where the server limits what
// one address may get wrong, which is not what the check is about, it is sent again
// after the time that the server asks for.
func (t *T) Try(r Request) (*Response, error) {
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(t.ctx, 15*time.Second)
		resp, err := send(ctx, t.client, r, t.Token())
		cancel()
		if err != nil || try == maxTries || !t.limited(resp) {
			return resp, err
		}
		t.Sleep(resp.retryAfter())
	}
}

const (
	maxTries = 3
	maxWait  = 5 * time.Second // for a limit to pass
)

// limited tells whether a response says nothing but that its address has sent too much.
func (t *T) limited(r *Response) bool {
	return r.Status == http.StatusTooManyRequests && t.check.Stage != Last &&
		r.Request.Method != http.MethodPatch && // a session's own limit, and the matter of a check
		r.Request.Reader == nil && r.retryAfter() > 0
}

// retryAfter is how long the response asks to wait; 0 when it does not, or for
// longer than a check can wait.
func (r *Response) retryAfter() time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if d := time.Duration(seconds) * time.Second; err == nil && d <= maxWait {
		return d
	}
	return 0
}

func send(ctx context.Context, client *http.Client, r Request, token string) (*Response, error) {
	body := r.Reader
	if body == nil && r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, fmt.Errorf("conformance: make request: %w", err)
	}
	maps.Copy(req.Header, r.Header)
	if host := req.Header.Get("Host"); host != "" { // net/http keeps it elsewhere
		req.Host = host
		req.Header.Del("Host")
	}
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if token != "" && !r.Anonymous && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, io.EOF) || strings.Contains(err.Error(), "connection reset") {
			err = errNoAnswer
		}
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, fmt.Errorf("conformance: read response: %w", err)
	}
	return &Response{
		Request: r, Status: resp.StatusCode, Header: resp.Header, Body: string(text),
		Proto: resp.Proto, Took: time.Since(began),
	}, nil
}

// Do is Try for requests that must be answered, with whatever status.
func (t *T) Do(r Request) *Response {
	resp, err := t.Try(r)
	if err != nil {
		t.Fatalf("%s %s: expected a response, got none: %v", r.Method, r.URL, err)
	}
	return resp
}

// Codes is a set of statuses.
type Codes func(status int) bool

// Is is the set of those codes.
func Is(codes ...int) Codes {
	return func(status int) bool { return slices.Contains(codes, status) }
}

// Sets of statuses.
var (
	Success     Codes = func(s int) bool { return s >= 200 && s < 300 }
	ClientError Codes = func(s int) bool { return s >= 400 && s < 500 }
)

// Want fails the check unless the status is in the set; expected is the set in
// words. It returns whether it was.
func (t *T) Want(r *Response, expected string, in Codes) bool {
	if in(r.Status) {
		return true
	}
	t.Errorf("expected %s, got %v", expected, r)
	return false
}

// WantChoice is Want where the standard leaves a choice: ours when the check is
// strict, the wider class when not. What follows " to " in the class is the case.
func (t *T) WantChoice(r *Response, ours int, class string, in Codes) bool {
	if t.Strict() {
		expected := fmt.Sprint(ours)
		if _, what, ok := strings.Cut(class, " to "); ok {
			expected += " to " + what
		}
		return t.Want(r, expected, Is(ours))
	}
	return t.Want(r, class, in)
}

// follow sends a POST and follows 307 and 308 as clients do.
func (t *T) follow(r Request) *Response {
	for range 5 {
		resp := t.Do(r)
		if resp.Status != http.StatusTemporaryRedirect && resp.Status != http.StatusPermanentRedirect {
			return resp
		}
		r.URL = resp.Location()
	}
	t.Fatalf("expected an end of redirects of POST %s, got more than 5", r.URL)
	return nil
}
