package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config configures a node. The tags are what users see: name is the flag and
// the key of the file, help and default stand in every document, and reload
// says that a change takes effect without a restart.
type Config struct {
	HTTP      string       `name:"http" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Listen address of WHIP, WHEP, the control API and the pages. Port 0 takes a free one."`
	TLSCert   string       `name:"tls-cert" placeholder:"FILE" reload:"yes" help:"PEM certificate chain: serve HTTPS on --http. Read again when the file changes."`
	TLSKey    string       `name:"tls-key" placeholder:"FILE" reload:"yes" help:"PEM private key of --tls-cert."`
	Media     string       `name:"media" placeholder:"[IP]:PORT" help:"Listen address of media, one UDP port. Empty: host of --http, port 8189."`
	Admin     string       `name:"admin" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Listen address of metrics, pprof and health; it asks for no token, so keep it private. Off or empty: none."`
	Advertise []netip.Addr `name:"advertise" placeholder:"IP,..." help:"Addresses put into candidates. Empty: that of --media, or of the interfaces when it is a wildcard."`
	URL       string       `name:"url" placeholder:"URL" help:"Public base URL of the service, for session URLs. Empty: from --http."`
	NodeURL   string       `name:"node-url" placeholder:"URL" help:"Public URL of this node alone, for redirects to it."`
	Data      string       `name:"data" default:"./sluice-data" placeholder:"DIR" help:"Directory of what the node keeps: its id, the registry of rooms, keys and revocations, and events that webhooks did not take yet. One node for each directory."`
	File      string       `name:"config" placeholder:"FILE" file:"no" help:"YAML file with the settings of this table. Flags win over environment variables, those over the file."`

	AuthTokenFile string `name:"auth-token-file" placeholder:"FILE" reload:"yes" help:"Static tokens, a line each: token room-pattern grant,grant. Grants are publish, subscribe, record, moderate, admin; a pattern is a room or prefix*. Read again when the file changes."`
	AuthKeyFile   string `name:"auth-key-file" placeholder:"FILE" reload:"yes" help:"Key that verifies JWTs: an HMAC secret of at least 32 bytes, or PEM public keys (RS256, ES256, EdDSA). Read again when the file changes."`
	AuthJWKS      string `name:"auth-jwks" placeholder:"URL" help:"JSON Web Key Set that verifies JWTs (RS256, ES256, EdDSA), https or on this machine. Fetched ahead and kept for a day while it cannot be fetched."`
	AuthIssuer    string `name:"auth-issuer" placeholder:"TEXT" help:"The iss that JWTs of --auth-key-file and --auth-jwks must have. Empty: any."`
	AuthAudience  string `name:"auth-audience" placeholder:"TEXT" help:"What the aud of those JWTs must hold. Empty: anything."`

	AuthWebhook           string `name:"auth-webhook" placeholder:"URL" help:"Service that is asked about tokens that nothing else here knows, https or on this machine: docs/authentication.md."`
	AuthWebhookSecretFile string `name:"auth-webhook-secret-file" placeholder:"FILE" reload:"yes" help:"Secrets that sign the questions to --auth-webhook, a line each: whsec_ and base64. Each of them signs, so that they can be rotated. Read again when the file changes."`
	AuthWebhookFailOpen   bool   `name:"auth-webhook-fail-open" default:"false" help:"Let every token publish and subscribe while --auth-webhook is out of order. Without it nobody gets in then who is not known otherwise."`

	Open bool `name:"open" default:"false" help:"Allow --http off loopback with no authentication configured."`

	SessionRequireAuth bool `name:"session-require-auth" default:"false" help:"Ask for a token on session URLs too. Without it the URL is enough, since several encoders send no token with DELETE; a wrong token is refused either way."`
	AuthAllowBare      bool `name:"auth-allow-bare" default:"false" help:"Take an Authorization header of one word, without the scheme Bearer, as a token: some players send it so."`
	AuthAllowQuery     bool `name:"auth-allow-query" default:"false" help:"Take a token from ?token= of WHIP and WHEP URLs, for clients that cannot send headers. The node logs no URLs, but proxies and browsers do."`

	ICEServersFile   string        `name:"ice-servers-file" placeholder:"FILE" reload:"yes" help:"STUN and TURN servers for clients, a line each: URI, URI username credential, or URI secret=TEXT for credentials made of a secret shared with the TURN server. They stand in Link headers. Read again when the file changes."`
	PatchLenient     bool          `name:"patch-lenient" default:"false" help:"Take candidates in a PATCH without If-Match when it names the present ICE credentials: web clients older than RFC 9725 send none."`
	WHEPCounterOffer bool          `name:"whep-counter-offer" default:"false" help:"Answer a viewer's offer that cannot be served with 406 and an offer of the node's own, also when the viewer did not ask for it by Prefer: whep-counter-offer. Many players take a 406 for a refusal."`
	WHEPServerOffer  bool          `name:"whep-legacy-server-offer" default:"false" help:"Answer an empty WHEP POST with an offer, as the first drafts of WHEP had it, for players of that time."`
	ConsentTimeout   time.Duration `name:"consent-timeout" default:"30s" placeholder:"DURATION" help:"Silence after which a session ends: no connectivity check, no media, no report."`

	TrustedProxies []netip.Prefix `name:"trusted-proxies" placeholder:"CIDR,..." help:"Addresses of reverse proxies before the node. Limits by address then count the client that the last of them names in X-Forwarded-For."`
	FrameAncestors []string       `name:"frame-ancestors" placeholder:"ORIGIN,..." help:"Origins whose pages may show the pages of the node in a frame, such as https://example.org. Empty: none."`

	Aliases []string `name:"aliases" placeholder:"NAME,..." help:"Take WHIP and WHEP URLs of other products, too: mediamtx (/{room}/whip, /{room}/whep), broadcast-box (/api/whip, /api/whep, with the room as bearer token, or a token for one room)."`

	WebhookURL        []string      `name:"webhook-url" placeholder:"URL,..." help:"Endpoints that every event of every room is posted to, signed as Standard Webhooks has it (docs/webhooks.md)."`
	WebhookSecretFile string        `name:"webhook-secret-file" placeholder:"FILE" reload:"yes" help:"Secrets that sign webhooks, a line each: whsec_ and base64. Each of them signs, so that they can be rotated. Read again when the file changes."`
	WebhookEvents     []string      `name:"webhook-events" placeholder:"TYPE,..." help:"Types of the events that webhooks are sent. Empty: all."`
	WebhookMaxAge     time.Duration `name:"webhook-max-age" default:"72h" placeholder:"DURATION" help:"How long an event that an endpoint does not take is sent again. Then it is a dead letter."`

	DrainDeadline time.Duration `name:"drain-deadline" default:"300s" placeholder:"DURATION" reload:"yes" help:"Longest time that a stopping node may take to hand its rooms over. A node alone has nobody to hand over to: it ends its sessions at once."`
	Node          string        `name:"node" placeholder:"NAME" help:"Name of this node. Empty: made at the first start and kept in --data."`

	MaxRooms        int `name:"max-rooms" default:"5000" placeholder:"N" help:"Most rooms on this node; 0: no limit."`
	MaxPublications int `name:"max-publications" default:"16" placeholder:"N" help:"Most publications in a room that says nothing else; 0: no limit."`
	MaxViewers      int `name:"max-viewers" default:"0" placeholder:"N" help:"Most viewers in a room that says nothing else; 0: no limit."`

	Simulcast bool `name:"simulcast" default:"true" help:"Take all layers of a publisher that offers simulcast (RFC 8853). False: answer without it, so that one layer is sent. OBS stops then, if it is set to more than one."`

	LogFormat string `name:"log-format" default:"auto" enum:"auto,text,json" placeholder:"FORMAT" help:"Log lines as text or json; auto: text on a terminal, else json."`
	LogLevel  string `name:"log-level" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" reload:"yes" help:"Least level that is logged: debug, info, warn or error."`

	Later Later `embed:""`

	// OpenAPI is the document served as /openapi.yaml; nil: none.
	OpenAPI []byte `kong:"-"`
}

// Later is the settings of versions to come. They are known by name, so that
// setting one is answered by a clear refusal. "off" asks for what this version
// does anyway, and is taken.
type Later struct {
	TURN            string `name:"turn" hidden:""`
	TURNTLS         string `name:"turn-tls" hidden:""`
	TURNRelayPorts  string `name:"turn-relay-ports" hidden:""`
	Cluster         string `name:"cluster" hidden:""`
	Join            string `name:"join" hidden:""`
	BootstrapExpect string `name:"bootstrap-expect" hidden:""`
}

const (
	defaultMediaPort = 8189
	// Clients send a check every 5 s (RFC 7675 section 5.1), and one may be lost.
	minConsentTimeout, maxConsentTimeout = 10 * time.Second, 10 * time.Minute
)

// Check tells what is wrong with the configuration, every fault at once. It
// opens no file and no socket.
func (c *Config) Check() error {
	errs := []error{c.checkHTTP(), c.checkMedia(), c.checkExposure()}
	if c.hasAdmin() {
		_, _, err := splitAddress(c.Admin)
		errs = append(errs, setting("admin", err))
	}
	for _, a := range c.Advertise {
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("advertise: %s cannot be reached by anybody", a))
		}
	}
	errs = append(errs, setting("url", checkURL(c.URL)), setting("node-url", checkURL(c.NodeURL)), c.checkWebhooks())
	if c.Node != "" && !legalNode(c.Node) {
		errs = append(errs, errors.New("node: a node name is 1 to 64 of A-Z a-z 0-9 _ -"))
	}
	if c.Data == "" {
		errs = append(errs, errors.New("data: a directory is needed"))
	}
	if c.ConsentTimeout < minConsentTimeout || c.ConsentTimeout > maxConsentTimeout {
		errs = append(errs, fmt.Errorf("consent-timeout: want %s to %s", minConsentTimeout, maxConsentTimeout))
	}
	for _, name := range c.Aliases {
		if name != aliasMediaMTX && name != aliasBroadcastBox {
			errs = append(errs, fmt.Errorf("aliases: %q is not known: %s and %s are", name, aliasMediaMTX, aliasBroadcastBox))
		}
	}
	if c.DrainDeadline < 0 {
		errs = append(errs, errors.New("drain-deadline: must not be negative"))
	}
	if c.MaxRooms < 0 || c.MaxPublications < 0 || c.MaxViewers < 0 {
		errs = append(errs, errors.New("max-rooms, max-publications, max-viewers: must not be negative"))
	}
	return errors.Join(append(errs, c.checkAuth(), c.checkLater())...)
}

func (c *Config) checkHTTP() error {
	_, _, err := splitAddress(c.HTTP)
	if err == nil && (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert, tls-key: one does not work without the other")
	}
	return setting("http", err)
}

func (c *Config) checkMedia() error {
	if c.Media == "" {
		return nil
	}
	host, _, err := splitAddress(c.Media)
	if err == nil && host != "" {
		if _, parseErr := netip.ParseAddr(host); parseErr != nil {
			err = fmt.Errorf("%q is not an IP address", host)
		}
	}
	return setting("media", err)
}

// checkExposure refuses what nobody does on purpose.
func (c *Config) checkExposure() error {
	host, _, err := splitAddress(c.HTTP)
	if err != nil || isLoopback(host) {
		return nil //nolint:nilerr // checkHTTP tells of the error
	}
	var errs []error
	if !c.authenticates() && !c.Open {
		errs = append(errs, fmt.Errorf("http: %s can be reached from other machines and no authentication is configured: "+
			"set --auth-token-file, --auth-key-file, --auth-jwks or --auth-webhook, or --open to let everybody in", c.HTTP))
	}
	if media, _, err := splitAddress(c.Media); err == nil && isLoopback(media) {
		errs = append(errs, fmt.Errorf("media: %s cannot be reached from where --http %s can: leave --media out, or name a public address", c.Media, c.HTTP))
	}
	return errors.Join(errs...)
}

// checkAuth looks at what belongs together.
func (c *Config) checkAuth() error {
	var errs []error
	if (c.AuthWebhook == "") != (c.AuthWebhookSecretFile == "") {
		errs = append(errs, errors.New("auth-webhook, auth-webhook-secret-file: one does not work without the other"))
	}
	if c.AuthWebhook == "" && c.AuthWebhookFailOpen {
		errs = append(errs, errors.New("auth-webhook-fail-open: there is no auth-webhook"))
	}
	if c.AuthKeyFile == "" && c.AuthJWKS == "" && (c.AuthIssuer != "" || c.AuthAudience != "") {
		errs = append(errs, errors.New("auth-issuer, auth-audience: there is neither auth-key-file nor auth-jwks"))
	}
	errs = append(errs, setting("auth-jwks", checkURL(c.AuthJWKS)), setting("auth-webhook", checkURL(c.AuthWebhook)))
	return errors.Join(errs...)
}

func (c *Config) checkLater() error {
	var errs []error
	for _, s := range []struct{ name, value string }{
		{"turn", c.Later.TURN},
		{"turn-tls", c.Later.TURNTLS},
		{"turn-relay-ports", c.Later.TURNRelayPorts},
		{"cluster", c.Later.Cluster},
		{"join", c.Later.Join},
		{"bootstrap-expect", c.Later.BootstrapExpect},
	} {
		if s.value != "" && s.value != "off" {
			errs = append(errs, fmt.Errorf("%s: not in this version", s.name))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) hasAdmin() bool { return c.Admin != "" && c.Admin != "off" }

func (c *Config) hasTLS() bool { return c.TLSCert != "" }

// setting puts a setting's name before an error.
func setting(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func splitAddress(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a port", text)
	}
	return host, uint16(n), nil
}

// isLoopback errs on the safe side: only what surely is loopback counts.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("%q is not an http or https URL", text)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return fmt.Errorf("%q: only scheme, host, port and path belong into it", text)
	default:
		return nil
	}
}
