package conformance

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// dialRaw connects to the host of a URL for HTTP/1.1 that is written by hand.
func (t *T) dialRaw(endpoint string) (net.Conn, *url.URL) {
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("%s is no URL: %v", endpoint, err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	at := net.JoinHostPort(u.Hostname(), port)
	var conn net.Conn
	if u.Scheme == "https" {
		d := tls.Dialer{Config: &tls.Config{
			InsecureSkipVerify: t.suite.target.Insecure, //nolint:gosec // asked for
			NextProtos:         []string{"http/1.1"},
		}}
		conn, err = d.DialContext(t.ctx, "tcp", at)
	} else {
		conn, err = new(net.Dialer).DialContext(t.ctx, "tcp", at)
	}
	if err != nil {
		t.Fatalf("connect to %s: %v", at, err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have closed it
	return conn, u
}

// rawHead is a request line and fields, with the target's token.
func (t *T) rawHead(method string, u *url.URL, fields ...string) string {
	lines := []string{method + " " + u.RequestURI() + " HTTP/1.1", "Host: " + u.Host}
	if t.Token() != "" {
		lines = append(lines, "Authorization: Bearer "+t.Token())
	}
	return strings.Join(append(lines, fields...), "\r\n") + "\r\n\r\n"
}

// raw sends text and reads until the server closes or ten seconds have passed.
func (t *T) raw(endpoint string, text func(*url.URL) string) (head, body string) {
	conn, u := t.dialRaw(endpoint)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatalf("bound a connection: %v", err)
	}
	if _, err := io.WriteString(conn, text(u)); err != nil {
		t.Fatalf("send a request: %v", err)
	}
	all, err := io.ReadAll(io.LimitReader(conn, maxResponse))
	if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || len(all) == 0) {
		t.Fatalf("expected a response, got %v after %d bytes", err, len(all))
	}
	head, body, _ = strings.Cut(string(all), "\r\n\r\n")
	return head, body
}
