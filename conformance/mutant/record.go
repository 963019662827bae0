package mutant

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// record keeps what later requests and the relay need, and makes the client
// come back to the proxy: Location, Link and candidates name it from here on.
func (p *Proxy) record(x *exchange) {
	if sdp := x.reply.Get("Content-Type"); strings.HasPrefix(sdp, typeSDP) || strings.HasPrefix(sdp, typeFragment) {
		p.recordSDP(x)
	}
	if x.session != nil && x.place == resource && x.status < 300 {
		switch x.request.Method {
		case http.MethodPatch:
			x.session.learn(func(f *facts) { f.offered(string(x.body)) })
		case http.MethodDelete:
			x.session.learn(func(f *facts) { f.ended = true })
		}
	}
	for _, name := range []string{"Location", "Link"} {
		for i, v := range x.reply.Values(name) {
			x.reply[name][i] = strings.ReplaceAll(v, p.backend.String(), p.URL)
		}
	}
}

// recordSDP reads a description of the backend.
func (p *Proxy) recordSDP(x *exchange) {
	d := parse(string(x.text))
	moved := d.edit(func(line string) string {
		if !strings.HasPrefix(line, "a=candidate:") {
			return line
		}
		at, ok := candidateAddress(line)
		if !ok {
			return line
		}
		p.relay.setTarget(at)
		return relocate(line, p.relay.addr)
	})
	s := x.session
	if at := x.reply.Get("Location"); at != "" && x.place == endpoint {
		s = p.enter(x, at)
	}
	if s != nil {
		etag := x.reply.Get("ETag")
		s.learn(func(f *facts) {
			f.answered(string(x.text))
			f.answer = string(x.text)
			if etag != "" {
				f.etag, f.shown = etag, etag
				if f.first == "" {
					f.first = etag
				}
			}
		})
		p.relay.know(s)
	}
	if moved {
		x.text = []byte(d.String())
	}
}

// enter remembers a new session.
func (p *Proxy) enter(x *exchange, location string) *session {
	u, err := url.Parse(location)
	if err != nil {
		return nil
	}
	_, room, _ := strings.Cut(strings.TrimPrefix(x.url.Path, "/"), "/")
	s := &session{protocol: x.protocol, room: room, path: u.Path, began: time.Now()}
	s.state.offer = string(x.body)
	s.state.offered(string(x.body))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[u.Path] = s
	x.session = s
	return s
}

// live tells whether a publisher's session of a room has begun and not ended.
func (p *Proxy) live(room string) bool {
	p.mu.Lock()
	var list []*session
	for _, s := range p.sessions {
		if s.protocol == "WHIP" && s.room == room {
			list = append(list, s)
		}
	}
	p.mu.Unlock()
	for _, s := range list {
		if !s.know().ended {
			return true
		}
	}
	return false
}

// alias makes another path stand for a session.
func (p *Proxy) alias(path, backend string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aliases[path] = backend
}
