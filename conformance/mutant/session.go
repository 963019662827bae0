package mutant

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// session is what a proxy knows of a session that a POST opened.
type session struct {
	protocol string // "WHIP" or "WHEP"
	room     string // path of the endpoint below /whip or /whep
	path     string // of the session URL at the backend
	began    time.Time

	mu     sync.Mutex // guards what follows
	state  facts
	checks time.Time // when the first STUN request came
}

// facts is what is known of a session at one moment.
type facts struct {
	offer, answer string // the newest of each, as the backend has them
	first         string // ETag of the 201
	etag          string // the newest, as the backend wants it
	shown         string // the ETag as the client knows it
	ended         bool   // DELETE was answered
	cut           bool   // a fault lets nothing through any more
	subscribed    bool   // a stream of events was opened

	ufrag, pwd             string // of the server's present ICE session
	shownUfrag             string // the server's as the client knows it
	remoteUfrag, remotePwd string // of the client
	formerUfrag, formerPwd string // the server's before a restart
	candidates             []string
	addresses              []netip.AddrPort // of the client's candidates
}

// know returns what is known now.
func (s *session) know() facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// learn changes what is known.
func (s *session) learn(f func(*facts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
}

// firstCheck is when the first STUN request of the session came: now, if none did.
func (s *session) firstCheck() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks.IsZero() {
		s.checks = time.Now()
	}
	return s.checks
}

// offered reads an offer, an answer of a viewer or a fragment.
func (f *facts) offered(text string) {
	d := parse(text)
	if u, p := d.first("a=ice-ufrag:"), d.first("a=ice-pwd:"); u != "" && p != "" {
		f.remoteUfrag, f.remotePwd = u, p
	}
	for _, part := range d.parts() {
		for _, line := range *part {
			if v, ok := strings.CutPrefix(line, "a=candidate:"); ok && !slices.Contains(f.candidates, v) {
				f.candidates = append(f.candidates, v)
				if a, ok := candidateAddress(line); ok {
					f.addresses = append(f.addresses, a)
				}
			}
		}
	}
}

// answered reads an answer, an offer of the server or the fragment of a restart.
func (f *facts) answered(text string) {
	d := parse(text)
	if u, p := d.first("a=ice-ufrag:"), d.first("a=ice-pwd:"); u != "" && p != "" && u != f.ufrag {
		f.formerUfrag, f.formerPwd = f.ufrag, f.pwd
		f.ufrag, f.pwd, f.shownUfrag = u, p, u
	}
}

// candidateAddress is where a candidate line of UDP points.
func candidateAddress(line string) (netip.AddrPort, bool) {
	fields := strings.Fields(line)
	if len(fields) < 8 || !strings.EqualFold(fields[2], "udp") {
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddrPort(net.JoinHostPort(fields[4], fields[5]))
	return a, err == nil
}

// relocate points a candidate line of UDP elsewhere.
func relocate(line string, to netip.AddrPort) string {
	fields := strings.Fields(line)
	fields[4], fields[5] = to.Addr().String(), strconv.Itoa(int(to.Port()))
	return strings.Join(fields, " ")
}
