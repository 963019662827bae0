package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer  = 64 << 10 // bytes read of an answer
	maxAsked   = time.Hour
	maxFailure = 200 // bytes of a failure's text
)

// Failure classes, by which they are counted.
const (
	classUnreachable = "unreachable"
	classTLS         = "tls"
	classTimeout     = "timeout"
	classGarbage     = "garbage"
	classRedirect    = "3xx"
	classRefused     = "4xx"
	classBusy        = "busy" // 408, 425, 429, 503
	classGone        = "410"
	classServer      = "5xx"
	classDisk        = "disk" // ours
)

// newClient makes requests that go where the operator said and nowhere else:
// through no proxy of the environment, after no redirect.
func newClient(cfg *Config) *http.Client {
	return &http.Client{
		Timeout: cfg.Timeout,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    cfg.Workers,
			MaxConnsPerHost:        2 * cfg.Workers, // two endpoints may share a host
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true, // nothing of the answer is of use
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// deliver sends one event.
func (o *Outbox) deliver(ctx context.Context, e *endpoint, j job) outcome {
	r, err := o.store.get(e.id, j.key)
	switch {
	case err != nil:
		return outcome{verdict: away, class: classDisk, failure: clip(err.Error())}
	case r == nil:
		return outcome{verdict: gone}
	}
	return o.post(ctx, e, o.store.messageID(j.key.seq), r.Body)
}

// post makes the request. The timestamp is that of this try: receivers refuse
// what is older than some minutes.
func (o *Outbox) post(ctx context.Context, e *endpoint, id string, body []byte) outcome {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return outcome{verdict: away, class: classUnreachable, failure: failureOf(err)}
	}
	now := time.Now()
	// Set as they are written here: that is how the scheme has them.
	req.Header["webhook-id"] = []string{id}
	req.Header["webhook-timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	req.Header["webhook-signature"] = []string{sign(*o.secrets.Load(), id, now, body)}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice-webhook/1")
	resp, err := o.client.Do(req)
	if err != nil {
		return outcome{verdict: away, class: classOf(err), failure: failureOf(err)}
	}
	// Read to its end, within bounds, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status has said it all
	_ = resp.Body.Close()
	return o.judge(resp, now)
}

// judge reads the status of an answer.
func (o *Outbox) judge(resp *http.Response, now time.Time) outcome {
	out := outcome{verdict: refused, failure: "the receiver answered " + strconv.Itoa(resp.StatusCode), wait: retryAfter(resp.Header.Get("Retry-After"), now)}
	switch status := resp.StatusCode; {
	case status >= 200 && status < 300:
		return outcome{verdict: delivered}
	case status == http.StatusGone:
		// Nobody but the operator can take the endpoint away: until then it is
		// asked seldom.
		out.verdict, out.class, out.wait = away, classGone, max(out.wait, o.cfg.GoneWait)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		out.verdict, out.class = away, classBusy
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		out.verdict, out.class = away, classServer
	case status >= 500:
		out.class = classServer
	case status >= 400:
		out.class = classRefused
	default: // a redirect is not followed, and nothing below 200 is final
		out.class = classRedirect
	}
	return out
}

// retryAfter reads the header of RFC 9110 section 10.2.3, within reason.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxAsked)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), maxAsked))
	}
	return 0
}

// classOf tells why no answer came.
func classOf(err error) string {
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var op *net.OpError
	var dns *net.DNSError
	var slow net.Error
	switch {
	case errors.As(err, &record), errors.As(err, &certificate), errors.As(err, &alert):
		return classTLS
	case errors.As(err, &slow) && slow.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return classTimeout
	case errors.As(err, &dns), errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return classUnreachable
	default:
		return classGarbage
	}
}

// failureOf is an error in words, without the URL that http puts before it.
func failureOf(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return clip(err.Error())
}

// clip makes foreign text fit to be kept and shown.
func clip(text string) string {
	text = strconv.QuoteToGraphic(text)
	text = text[1 : len(text)-1]
	if len(text) > maxFailure {
		text = strings.ToValidUTF8(text[:maxFailure], "")
	}
	return text
}
