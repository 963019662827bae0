package conformance

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// whipLinkChecks judge Link fields: ICE servers and extensions.
func whipLinkChecks() []Check {
	link, ext := rows("WHIP-LINK"), rows("WHIP-EXT")
	return []Check{
		link(1, "RFC 9725 4.6", May, "201 may name ICE servers", func(t *T) { t.iceServers() }),
		link(2, "RFC 9725 4.6", Must, "ICE servers are links with stun or turn URIs, and turn ones have credentials", func(t *T) {
			_, created := t.iceServers()
			for _, l := range created.linksOf(relICE) {
				t.wantICEServer(&l)
			}
		}),
		link(3, "RFC 9725 4.6", Choice, "credential-type=\"password\" follows credentials, for players of the drafts", func(t *T) {
			lines, _ := t.iceServers()
			for _, line := range lines {
				if strings.Contains(line, "credential=") && !strings.HasSuffix(line, `; credential-type="password"`) {
					t.differsf("expected credential-type=\"password\" at the end, got %q", withoutSecrets(line))
				}
			}
		}),
		link(4, "Sluice", Choice, "each ICE server has a header line of its own, over HTTP/1.1 and HTTP/2", checkLinkLines),
		link(5, "Sluice", Choice, "values are quoted and free of what simple clients split at", func(t *T) {
			lines, _ := t.iceServers()
			for _, line := range lines {
				if !plainLink.MatchString(line) {
					t.Errorf("expected quoted values without comma, semicolon, quote and backslash, got %q", withoutSecrets(line))
				}
			}
		}),
		link(6, "Sluice", Choice, "parameters come as rel, username, credential, credential-type", func(t *T) {
			lines, _ := t.iceServers()
			for _, line := range lines {
				if !orderedLink.MatchString(line) {
					t.differsf("expected rel, username, credential, credential-type, split by a semicolon and a space, got %q", withoutSecrets(line))
				}
			}
		}),
		link(7, "Sluice", Choice, "TURN over UDP comes first, then TCP, then TLS", checkLinkOrder),
		link(9, "RFC 9725 4.6", May, "OPTIONS may name the ICE servers", func(t *T) {
			lines, _ := t.iceServers()
			r := t.options(t.Room.WHIP)
			if got := len(r.linksOf(relICE)); got == 0 {
				t.Skipf("OPTIONS names no ICE servers")
			} else if got != len(lines) {
				t.Errorf("expected the %d ICE servers of the 201 in OPTIONS, got %d", len(lines), got)
			}
		}),
		link(10, "RFC 9725 4.6", ShouldNot, "a preflight names no ICE servers", func(t *T) {
			r := t.preflight(t.Room.WHIP, http.MethodPost, "authorization,content-type", origin)
			if got := r.linksOf(relICE); len(got) > 0 {
				t.Errorf("expected no ICE servers on a preflight, got %d", len(got))
			}
			t.iceServers() // a server without any has nothing to leave out
		}),
		link(11, "RFC 9725 4.6", Choice, "nobody is told ICE servers without a valid token", func(t *T) {
			t.closedToStrangers()
			t.iceServers()
			r := t.options(t.Room.WHIP, anonymous)
			t.Want(r, "2xx to OPTIONS without a token", Success)
			if got := r.linksOf(relICE); len(got) > 0 {
				t.Errorf("expected no ICE servers without a token, got %d", len(got))
			}
		}),
		link(13, "RFC 7065", Choice, "URIs of ICE servers have no // and no user in them", func(t *T) {
			_, created := t.iceServers()
			for _, l := range created.linksOf(relICE) {
				if !iceURI.MatchString(l.Target) {
					t.Errorf("expected a URI as stun:host:port or turn:host:port?transport=udp, got %q", l.Target)
				}
			}
		}),
		ext(1, "RFC 9725 4.9", Must, "each extension is announced once, with a URL", checkExtensionLinks),
		ext(2, "RFC 9725 4.9", MustNot, "no extension is needed for plain WHIP", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer()) // whoever reads no Link gets through all of it
			if s.ETag != "" {
				t.Want(t.Patch(s, TrickleOf(s.Offer), s.ETag), "204 or 422 to a trickle", Is(http.StatusNoContent, http.StatusUnprocessableEntity))
			}
			t.Want(t.Delete(s), "2xx to DELETE", Success)
		}),
		ext(3, "RFC 9725 4.9", Must, "the names of extensions are registered, or URIs of the server's own", checkExtensionNames),
	}
}

var (
	plainLink   = regexp.MustCompile(`^<[^<>"\\,;]+>(; [a-z-]+="[^",;\\]*")+$`)
	orderedLink = regexp.MustCompile(`^<[^<>]+>; rel="ice-server"(; username="[^"]*"; credential="[^"]*"(; credential-type="password")?)?$`)
	iceURI      = regexp.MustCompile(`^(stuns?|turns?):(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(\?transport=(udp|tcp))?$`)
	secretParam = regexp.MustCompile(`(username|credential)="[^"]*"`)
)

// withoutSecrets is a line that may stand in a report.
func withoutSecrets(line string) string { return secretParam.ReplaceAllString(line, `$1="…"`) }

// iceServers are the header lines of a 201 that name ICE servers; the check is
// skipped without any.
func (t *T) iceServers() (lines []string, created *Response) {
	created = t.Open(t.Room.WHIP, PublishOffer()).Created
	for _, line := range created.Header.Values("Link") {
		if strings.Contains(line, relICE) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Skipf("the server names no ICE servers")
	}
	return lines, created
}

func checkLinkLines(t *T) {
	lines, created := t.iceServers()
	if servers := len(created.linksOf(relICE)); servers != len(lines) {
		t.Errorf("expected a line for each of %d servers, got %d lines", servers, len(lines))
	}
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		r, err := t.postBy(version)
		if err != nil || r.Status != http.StatusCreated {
			continue // WHIP-HTTP-08 tells
		}
		got := 0
		for _, line := range r.Header.Values("Link") {
			if strings.Contains(line, relICE) {
				got++
			}
		}
		if got != len(lines) {
			t.Errorf("%s: expected %d lines, got %d", version, len(lines), got)
		}
	}
}

func checkLinkOrder(t *T) {
	_, created := t.iceServers()
	var turn []int
	for _, l := range created.linksOf(relICE) {
		switch {
		case strings.HasPrefix(l.Target, "turns:"):
			turn = append(turn, 2)
		case strings.HasPrefix(l.Target, "turn:") && strings.HasSuffix(l.Target, "transport=tcp"):
			turn = append(turn, 1)
		case strings.HasPrefix(l.Target, "turn:"):
			turn = append(turn, 0)
		}
	}
	if len(turn) == 0 {
		t.Skipf("the server names no TURN servers")
	}
	if !slices.IsSorted(turn) {
		t.Errorf("expected TURN over UDP, then TCP, then TLS, got them as %v", turn)
	}
}

// announced are the links of a 201 that are no ICE servers.
func (t *T) announced() []Link {
	var list []Link
	for _, l := range t.Open(t.Room.WHIP, PublishOffer()).Created.Links() {
		if !l.Has(relICE) && slices.ContainsFunc(l.Rel, isExtension) {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		t.Skipf("the server announces no extension")
	}
	return list
}

// isExtension tells names of extensions from registered relations, such as "help".
func isExtension(rel string) bool { return strings.Contains(rel, ":") }

func checkExtensionLinks(t *T) {
	seen := map[string]bool{}
	for _, l := range t.announced() {
		if u, err := url.Parse(l.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%v: expected an http or https URL, got %q", l.Rel, l.Target)
		}
		for _, rel := range l.Rel {
			if seen[rel] && strings.HasPrefix(rel, "urn:ietf:params:wh") {
				t.Errorf("expected one link for %s, got more", rel)
			}
			seen[rel] = true
		}
	}
}

// checkExtensionNames: the registry of WHIP extensions was empty when this was
// written.
func checkExtensionNames(t *T) {
	for _, l := range t.announced() {
		for _, rel := range l.Rel {
			if strings.HasPrefix(rel, "urn:ietf:params:wh") {
				t.Errorf("expected a registered extension of WHIP or a URI of the server's own, got %s", rel)
			}
		}
	}
}
