package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	maxResponse  = 64 << 10 // bytes of a response that are read
	maxRedirects = 10
)

var errRedirect = errors.New("session: redirected too often, or in a way that loses the offer")

// Client opens sessions at a WHIP or WHEP endpoint of any make. It is what
// whip.Client and whep.Client share.
type Client struct {
	URL   string       // of the endpoint
	Token string       // bearer token; "": none
	HTTP  *http.Client // nil: http.DefaultClient
	// Trickle sends the offer without waiting for candidates. They may follow by
	// ClientSession.Trickle; servers with public addresses need none.
	Trickle bool
}

// ResponseError is a response of the server that says no.
type ResponseError struct {
	Status     int
	Problem    string        // last element of the problem type (RFC 9457), "" when there was none
	Detail     string        // what the server says, in words
	RetryAfter time.Duration // 0: not said
}

func (e *ResponseError) Error() string {
	text := fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Problem != "" {
		text += " (" + e.Problem + ")"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Open offers what pc has to send or wants to receive, and applies the answer.
// It leaves pc to the caller, also on error. Redirects by 307 and 308 are
// followed. Errors of the server are *ResponseError.
func (c *Client) Open(ctx context.Context, pc *webrtc.PeerConnection) (*ClientSession, error) {
	offer, err := c.offer(ctx, pc, nil)
	if err != nil {
		return nil, err
	}
	r, err := c.do(ctx, http.MethodPost, c.URL, "application/sdp", []byte(offer), nil)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusCreated {
		return nil, r.refusal()
	}
	s := &ClientSession{client: c, pc: pc, etag: r.header.Get("ETag")}
	if location := r.header.Get("Location"); location != "" {
		at, err := r.from.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("session: read Location: %w", err)
		}
		s.location = at
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(r.body)}
	if err := pc.SetRemoteDescription(answer); err != nil {
		// The server holds a session that nobody can use.
		return nil, errors.Join(fmt.Errorf("session: apply the answer: %w", err), s.Close(ctx))
	}
	return s, nil
}

// offer makes an offer, with candidates unless they trickle.
func (c *Client) offer(ctx context.Context, pc *webrtc.PeerConnection, options *webrtc.OfferOptions) (string, error) {
	offer, err := pc.CreateOffer(options)
	if err != nil {
		return "", fmt.Errorf("session: make an offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return "", fmt.Errorf("session: make an offer: %w", err)
	}
	if c.Trickle {
		return offer.SDP, nil
	}
	select {
	case <-gathered:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("session: gather candidates: %w", ctx.Err())
	}
}

// response is a response that was read to its end.
type response struct {
	status int
	header http.Header
	from   *url.URL // what answered, after redirects
	body   []byte
}

// do sends one request and reads the response.
func (c *Client) do(ctx context.Context, method, url, mediaType string, body []byte, header http.Header) (*response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	maps.Copy(request.Header, header)
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := *http.DefaultClient
	if c.HTTP != nil {
		client = *c.HTTP
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = func(next *http.Request, before []*http.Request) error {
			if len(before) > maxRedirects || next.Method != before[0].Method {
				return errRedirect
			}
			return nil
		}
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("session: read the response: %w", err)
	}
	return &response{answer.StatusCode, answer.Header, answer.Request.URL, text}, nil
}

// refusal is what the server says against a request.
func (r *response) refusal() error {
	e := &ResponseError{Status: r.status}
	if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	kind, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		return e
	}
	switch kind {
	case "application/problem+json":
		var problem struct{ Type, Title, Detail string }
		if json.Unmarshal(r.body, &problem) == nil {
			e.Problem = problem.Type[strings.LastIndex(problem.Type, "/")+1:]
			e.Detail = problem.Detail
			if e.Detail == "" {
				e.Detail = problem.Title
			}
		}
	case "text/plain":
		e.Detail = strings.TrimSpace(string(r.body[:min(len(r.body), 200)]))
	}
	return e
}

// ClientSession is a session as its publisher or viewer sees it.
type ClientSession struct {
	client   *Client
	pc       *webrtc.PeerConnection
	location *url.URL // nil: the server gave none

	mu   sync.Mutex // guards what follows; held over a whole restart
	etag string
}

var errNoLocation = errors.New("session: the server gave no session URL")

// Location is the session URL, "" when the server gave none.
func (s *ClientSession) Location() string {
	if s.location == nil {
		return ""
	}
	return s.location.String()
}

// ETag is the entity tag of the present ICE session, as the server wrote it.
func (s *ClientSession) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etag
}

// Trickle sends candidates (RFC 9725 section 4.3.2); none says that there are
// no more.
func (s *ClientSession) Trickle(ctx context.Context, candidates ...webrtc.ICECandidateInit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, c := range candidates {
		lines = append(lines, strings.TrimPrefix(c.Candidate, "candidate:"))
	}
	r, err := s.patch(ctx, lines, len(candidates) == 0, s.etag)
	if err != nil {
		return err
	}
	if r.status/100 != 2 {
		return r.refusal()
	}
	return nil
}

// Restart does an ICE restart (RFC 9725 section 4.3.3): after a change of the
// network, say.
func (s *ClientSession) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.client.offer(ctx, s.pc, &webrtc.OfferOptions{ICERestart: true}); err != nil {
		return err
	}
	r, err := s.patch(ctx, nil, false, "*")
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return r.refusal()
	}
	f, err := ParseFragment(r.body)
	if err != nil {
		return err
	}
	var answer sdp.SessionDescription
	if err := answer.UnmarshalString(s.pc.CurrentRemoteDescription().SDP); err != nil {
		return fmt.Errorf("session: read the answer: %w", err)
	}
	withCredentials(&answer, credentials{f.UFrag, f.Pwd})
	for _, media := range answer.MediaDescriptions {
		media.Attributes = withoutCandidates(media.Attributes)
		for _, c := range f.Candidates {
			media.WithValueAttribute("candidate", c)
		}
	}
	text, err := answer.Marshal()
	if err != nil {
		return fmt.Errorf("session: write the answer: %w", err)
	}
	err = s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(text)})
	if err != nil {
		return fmt.Errorf("session: apply the answer: %w", err)
	}
	s.etag = r.header.Get("ETag")
	return nil
}

func withoutCandidates(attributes []sdp.Attribute) (kept []sdp.Attribute) {
	for _, a := range attributes {
		if a.Key != "candidate" && a.Key != "end-of-candidates" {
			kept = append(kept, a)
		}
	}
	return kept
}

// patch sends a fragment with the present credentials of pc.
func (s *ClientSession) patch(ctx context.Context, candidates []string, end bool, match string) (*response, error) {
	if s.location == nil {
		return nil, errNoLocation
	}
	var local sdp.SessionDescription
	if err := local.UnmarshalString(s.pc.LocalDescription().SDP); err != nil {
		return nil, fmt.Errorf("session: read own offer: %w", err)
	}
	media := local.MediaDescriptions[0]
	attribute := func(key string) string {
		if v, ok := media.Attribute(key); ok {
			return v
		}
		v, _ := local.Attribute(key)
		return v
	}
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", attribute("ice-ufrag"), attribute("ice-pwd"))
	fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", media.MediaName.Media, attribute("mid"))
	for _, c := range candidates {
		fmt.Fprintf(&b, "a=candidate:%s\r\n", c)
	}
	if end {
		b.WriteString("a=end-of-candidates\r\n")
	}
	header := http.Header{}
	if match != "" {
		header.Set("If-Match", match)
	}
	return s.client.do(ctx, http.MethodPatch, s.Location(), "application/trickle-ice-sdpfrag", []byte(b.String()), header)
}

// Close ends the session by DELETE; pc is the caller's to close. A session that
// the server has forgotten is no error.
func (s *ClientSession) Close(ctx context.Context) error {
	if s.location == nil {
		return nil
	}
	r, err := s.client.do(ctx, http.MethodDelete, s.Location(), "", nil, nil)
	if err != nil {
		return err
	}
	if r.status/100 != 2 && r.status != http.StatusNotFound {
		return r.refusal()
	}
	return nil
}
