package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client speaks WHIP and WHEP, by connections that all viewers share.
type client struct {
	http  *http.Client
	token string
}

func newClient(c *Config) *client {
	return &client{token: c.Token, http: &http.Client{
		Timeout: c.JoinTimeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: c.Parallel,
			IdleConnTimeout:     time.Minute,
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: c.Insecure}, //nolint:gosec // G402: only on demand, to measure a server with a certificate of its own
		},
	}}
}

// refusedError is a server that says it is full.
type refusedError struct {
	retryAfter string // "": it did not say
}

func (e *refusedError) Error() string {
	if e.retryAfter == "" {
		return "refused: 503 without Retry-After"
	}
	return "refused: 503"
}

// maxAnswer bounds what is read of a response.
const maxAnswer = 256 << 10

// post sends an offer and returns the answer and the session URL. When ctx ends it
// waits a little longer for the answer: a session whose URL nobody has read could
// not be ended.
func (c *client) post(ctx context.Context, endpoint, offer string) (sdp, session string, err error) {
	if err := ctx.Err(); err != nil {
		return "", "", fmt.Errorf("POST: %w", err)
	}
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leavePatience, cancel) })()
	req, err := http.NewRequestWithContext(within, http.MethodPost, endpoint, strings.NewReader(offer))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	c.authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return "", "", fmt.Errorf("POST: %w", plain(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return "", "", fmt.Errorf("POST: read the answer: %w", plain(err))
	case resp.StatusCode == http.StatusServiceUnavailable:
		return "", "", &refusedError{resp.Header.Get("Retry-After")}
	case resp.StatusCode != http.StatusCreated:
		return "", "", fmt.Errorf("POST: %s %s", resp.Status, excerpt(body))
	}
	// Location may be relative to where the request was sent to in the end.
	location, err := resp.Location()
	if err != nil {
		return "", "", errors.New("POST: 201 without a Location")
	}
	return string(body), location.String(), nil
}

// leave ends a session. That it is gone already is no error.
func (c *client) leave(ctx context.Context, session string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, session, nil)
	if err != nil {
		return err
	}
	c.authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("DELETE: %w", plain(err))
	}
	defer resp.Body.Close()
	// Read to the end, or the connection could not be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return fmt.Errorf("DELETE: %w", plain(err))
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusGone:
		return nil
	}
	return fmt.Errorf("DELETE: %s", resp.Status)
}

func (c *client) authorize(r *http.Request) {
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
}

// plain takes what differs from viewer to viewer (ports, above all) out of an
// error, so that equal reasons can be counted.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// excerpt is the beginning of a body, on one line.
func excerpt(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	if len(text) > 160 {
		text = strings.ToValidUTF8(text[:160], "") + "…"
	}
	return text
}
