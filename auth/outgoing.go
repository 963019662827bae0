package auth

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// checkURL takes what an operator gives as the address of a service that decides about
// tokens. Without TLS, whoever is on the way could decide as well.
func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("auth: this is not a URL") // the parser's words repeat it, with what may be secret in it
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return nil, errors.New("auth: the URL begins with https://, or with http:// and an address of this machine")
	case u.Hostname() == "" || u.Fragment != "":
		return nil, errors.New("auth: the URL has a host and no fragment")
	case u.User != nil:
		return nil, errors.New("auth: the URL has no user and no password: they would not stay secret there")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// newClient is for requests to such a URL: straight there, not where an answer or the
// environment points to. Without a transport it has its own.
func newClient(transport http.RoundTripper, limit time.Duration) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: limit}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    limit,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errTooLarge = errors.New("the answer is too large")

// readBody reads no more than there should be.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLarge
	}
	return body, err
}

// withoutURL takes the URL out of an error of the client's, since its query may be secret.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
