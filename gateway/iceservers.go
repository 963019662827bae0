package gateway

import (
	"bufio"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the TURN REST interface is defined by it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a file of ICE servers.
const (
	maxICEServers    = 16
	maxICEServerLine = 1024 // bytes
	// turnLife is how long credentials made of a secret are valid: longer than a
	// session is expected to last, since TURN servers may end at expiry what
	// was allocated.
	turnLife = 24 * time.Hour
)

// iceServer is a STUN or TURN server that clients are told of.
type iceServer struct {
	uri                  string // RFC 7064 or 7065
	username, credential string
	secret               string // shared with the TURN server; credentials are made of it
}

// iceURI is RFC 7064 and 7065: no slashes, no user.
var iceURI = regexp.MustCompile(`^(stuns?|turns?):([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(\?transport=(udp|tcp))?$`)

// parseICEServers reads a file of ICE servers. Errors name the line and never
// repeat what stands on it.
func parseICEServers(r io.Reader) ([]iceServer, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxICEServerLine)
	var list []iceServer
	n := 0
	for lines.Scan() {
		n++
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		s, err := parseICEServer(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if list = append(list, s); len(list) > maxICEServers {
			return nil, fmt.Errorf("line %d: more than %d servers", n, maxICEServers)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	slices.SortStableFunc(list, func(a, b iceServer) int { return cmp.Compare(a.rank(), b.rank()) })
	return list, nil
}

func parseICEServer(fields []string) (s iceServer, err error) {
	m := iceURI.FindStringSubmatch(fields[0])
	if m == nil {
		return s, errors.New("want a URI such as stun:host:port or turn:host:port?transport=udp")
	}
	scheme, host, port, transport := m[1], m[2], m[3], m[4]
	if address, ok := strings.CutPrefix(host, "["); ok {
		if a, err := netip.ParseAddr(strings.TrimSuffix(address, "]")); err != nil || !a.Is6() {
			return s, errors.New("the host in brackets is not an IPv6 address")
		}
	}
	if p, err := strconv.Atoi(strings.TrimPrefix(cmp.Or(port, ":1"), ":")); err != nil || p < 1 || p > 65535 {
		return s, errors.New("the port is not one of 1 to 65535")
	}
	s.uri = fields[0]
	if stun := strings.HasPrefix(scheme, "stun"); stun {
		if transport != "" || len(fields) != 1 {
			return s, errors.New("a STUN server has neither a transport nor credentials")
		}
		return s, nil
	}
	if scheme == "turn" && transport == "" {
		s.uri += "?transport=udp" // the default of RFC 7065, said for clients that look for it
	}
	switch len(fields) {
	case 2:
		secret, ok := strings.CutPrefix(fields[1], "secret=")
		if !ok || secret == "" {
			return s, errors.New("want username and credential, or secret=TEXT, after a TURN URI")
		}
		s.secret = secret
	case 3:
		s.username, s.credential = fields[1], fields[2]
		if !quotable(s.username) || !quotable(s.credential) {
			return s, errors.New(`username and credential are ASCII without , ; " and \: clients split there`)
		}
	default:
		return s, errors.New("want username and credential, or secret=TEXT, after a TURN URI")
	}
	return s, nil
}

// quotable tells whether a text can stand in a Link parameter for all clients:
// several split at commas and semicolons, quoted or not.
func quotable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`,;"\`, r) })
}

// rank puts TURN over UDP first, since libjuice takes the first servers and
// UDP alone; then STUN, TURN over TCP, and TLS.
func (s iceServer) rank() int {
	switch {
	case strings.HasPrefix(s.uri, "turn:") && strings.HasSuffix(s.uri, "?transport=udp"):
		return 0
	case strings.HasPrefix(s.uri, "stun"):
		return 1
	case strings.HasPrefix(s.uri, "turn:"):
		return 2
	default:
		return 3
	}
}

// login is what a client tells a TURN server; id tells users apart in its log.
func (s iceServer) login(now time.Time, id string) (username, credential string) {
	if s.secret == "" {
		return s.username, s.credential
	}
	username = strconv.FormatInt(now.Add(turnLife).Unix(), 10) + ":" + id
	mac := hmac.New(sha1.New, []byte(s.secret))
	_, _ = io.WriteString(mac, username) // a hash takes everything
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// link is the value of the Link header of RFC 9725 section 4.6. The drafts up
// to 16 had credential-type, and a player still asks for it.
func (s iceServer) link(now time.Time, id string) string {
	text := "<" + s.uri + `>; rel="ice-server"`
	if username, credential := s.login(now, id); username != "" {
		text += `; username="` + username + `"; credential="` + credential + `"; credential-type="password"`
	}
	return text
}

// iceServerView is a server as browsers take it (RTCIceServer).
type iceServerView struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// loadICEServers reads the file of ICE servers; without a name there are none.
func loadICEServers(name string) ([]iceServer, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("ice-servers-file: %w", err)
	}
	list, err := parseICEServers(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("ice-servers-file: %s: %w", name, err)
	}
	return list, nil
}

// addICEServers tells the client of the ICE servers, one header line for each:
// OBS splits lines at commas.
func (g *Gateway) addICEServers(h http.Header) {
	id := turnUser()
	for _, s := range *g.iceServers.Load() {
		h.Add("Link", s.link(time.Now(), id))
	}
}

// iceServerViews is addICEServers for answers in JSON.
func (g *Gateway) iceServerViews() []iceServerView {
	id, views := turnUser(), []iceServerView{}
	for _, s := range *g.iceServers.Load() {
		username, credential := s.login(time.Now(), id)
		views = append(views, iceServerView{[]string{s.uri}, username, credential})
	}
	return views
}

// turnUser tells users apart in the log of a TURN server.
func turnUser() string { return strings.ToLower(rand.Text()[:12]) }
