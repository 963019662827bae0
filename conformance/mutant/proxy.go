package mutant

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Proxy is a server with one fault.
type Proxy struct {
	URL string // without a slash at its end

	backend   *url.URL
	fault     behaviour
	server    *http.Server
	transport *http.Transport
	relay     *relay
	served    sync.WaitGroup
	life      context.Context //nolint:containedctx // bounds what outlives no request: faults that wait
	end       context.CancelFunc

	mu       sync.Mutex          // guards what follows
	sessions map[string]*session // by path at the backend
	aliases  map[string]string   // paths that a fault made up, to those of the backend
}

// Start runs a proxy on a free port of 127.0.0.1 before the server whose base
// URL is backend. The fault "" is none. Close ends it.
func Start(ctx context.Context, backend, fault string) (*Proxy, error) {
	does, ok := behaviours()[fault]
	if !ok && fault != "" {
		return nil, fmt.Errorf("mutant: there is no fault %q", fault)
	}
	base, err := url.Parse(backend)
	if err != nil {
		return nil, fmt.Errorf("mutant: read backend: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mutant: listen: %w", err)
	}
	p := &Proxy{
		URL:       "http://" + listener.Addr().String(),
		backend:   base,
		fault:     does,
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		sessions:  map[string]*session{},
		aliases:   map[string]string{},
	}
	if p.relay, err = startRelay(p); err != nil {
		_ = listener.Close() // what failed is told
		return nil, err
	}
	p.life, p.end = context.WithCancel(context.WithoutCancel(ctx))
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	p.server = &http.Server{Handler: p, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	p.served.Go(func() { _ = p.server.Serve(listener) }) // ends with ErrServerClosed
	return p, nil
}

// Close ends the proxy and all that passes through it.
func (p *Proxy) Close() {
	p.end()
	_ = p.server.Close() // connections are cut on purpose
	p.served.Wait()
	p.relay.close()
	p.transport.CloseIdleConnections()
}

// ServeHTTP passes one request through.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.newExchange(w, r)
	if p.fault.before != nil {
		p.fault.before(x)
	}
	if x.status == 0 && !x.quit {
		resp, err := p.forward(x)
		if err != nil {
			abort()
		}
		defer resp.Body.Close()
		x.status, x.reply = resp.StatusCode, resp.Header.Clone()
		if strings.HasPrefix(x.reply.Get("Content-Type"), "text/event-stream") {
			p.stream(x, resp.Body)
			return
		}
		if x.text, err = io.ReadAll(resp.Body); err != nil {
			abort()
		}
	}
	p.record(x)
	if p.fault.after != nil {
		p.fault.after(x)
	}
	if x.quit {
		abort()
	}
	p.respond(x)
}

// abort ends the connection without a response, in the way that net/http asks for.
func abort() { panic(http.ErrAbortHandler) } //nolint:forbidigo // see above

// newExchange finds out what a request is about.
func (p *Proxy) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		proxy: p, writer: w, request: r, method: r.Method, header: r.Header.Clone(), reply: http.Header{},
		url: &url.URL{Scheme: p.backend.Scheme, Host: p.backend.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if path, ok := p.aliases[r.URL.Path]; ok {
		x.url.Path, x.url.RawPath = path, ""
	}
	switch first, rest, _ := strings.Cut(strings.TrimPrefix(x.url.Path, "/"), "/"); first {
	case "whip":
		x.protocol, x.place = "WHIP", endpoint
	case "whep":
		x.protocol, x.place = "WHEP", endpoint
	case "s":
		x.place = resource
		id, _, deeper := strings.Cut(rest, "/")
		if deeper {
			x.place = below
		}
		if x.session = p.sessions["/s/"+id]; x.session != nil {
			x.protocol = x.session.protocol
		}
	}
	return x
}

// forward sends the request to the backend.
func (p *Proxy) forward(x *exchange) (*http.Response, error) {
	body, length := x.outgoing()
	req, err := http.NewRequestWithContext(x.request.Context(), x.method, x.url.String(), body) //nolint:gosec // only the path is the client's
	if err != nil {
		return nil, fmt.Errorf("mutant: make request: %w", err)
	}
	req.ContentLength = length
	req.Header = x.header.Clone()
	for _, h := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Content-Length", "Te"} {
		req.Header.Del(h)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "") // or net/http adds its own
	}
	if x.request.Host != p.URL[len("http://"):] {
		req.Host = x.request.Host // forged: the backend is to see it
	}
	x.translate(req.Header)
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("mutant: forward: %w", err)
	}
	return resp, nil
}

// translate turns the ETag that the client was shown into the backend's.
func (x *exchange) translate(h http.Header) {
	if x.session == nil {
		return
	}
	if s := x.session.know(); s.shown != "" && s.shown != s.etag && h.Get("If-Match") != "" {
		h.Set("If-Match", strings.ReplaceAll(h.Get("If-Match"), s.shown, s.etag))
	}
}

// stream passes events on as they come.
func (p *Proxy) stream(x *exchange, from io.Reader) {
	if p.fault.after != nil {
		p.fault.after(x)
	}
	x.reply.Del("Content-Length")
	p.header(x)
	out := http.NewResponseController(x.writer)
	_ = out.Flush() // fails when the client has gone, as does the next write
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if x.line != nil && line != "" {
			line = x.line(line)
		}
		if _, werr := io.WriteString(x.writer, line); err != nil || werr != nil || out.Flush() != nil {
			return
		}
	}
}

// header sends the response's status and headers.
func (p *Proxy) header(x *exchange) {
	to := x.writer.Header()
	for name, values := range x.reply {
		if name != "Connection" && name != "Transfer-Encoding" {
			to[name] = values
		}
	}
	x.writer.WriteHeader(x.status)
}

// respond sends the response.
func (p *Proxy) respond(x *exchange) {
	switch {
	case x.request.Method == http.MethodHead:
	case x.status == http.StatusNoContent:
		x.reply.Del("Content-Length")
	default:
		x.reply.Set("Content-Length", fmt.Sprint(len(x.text)))
	}
	p.header(x)
	if x.request.Method != http.MethodHead && x.status != http.StatusNoContent {
		x.writer.Write(x.text) //nolint:gosec // what the backend says, for tests
	}
}

// wait lets a fault take its time, or tells that the proxy ends.
func (p *Proxy) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.life.Done():
		return errors.New("mutant: the proxy ended")
	}
}
