package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/events/webhook"
	"github.com/sluicemedia/sluice/gateway/load"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
	"github.com/sluicemedia/sluice/web"
	"github.com/sluicemedia/sluice/whep"
	"github.com/sluicemedia/sluice/whip"
)

// Gateway is one node.
type Gateway struct {
	cfg   Config // as it was at the start
	log   *slog.Logger
	node  string // its name
	url   string // public base URL, no trailing slash
	http  net.Listener
	admin net.Listener // nil: none

	rooms    *sfu.Rooms
	sessions *session.Table // owns the media socket
	registry *cluster.Node  // what outlives the node
	whip     whip.Endpoint
	whep     whep.Endpoint
	pages    *web.Pages
	hub      *events.Hub     // the logs of the rooms
	webhooks *webhook.Outbox // nil: no endpoint is configured

	keeper   *roomKeeper  // makes rooms as the registry has them
	creating atomic.Int64 // rooms that are being made
	muting   sync.Mutex   // held while what is muted is looked at and changed

	ready  atomic.Bool
	stats  *stats
	limits *limits // of what is done for whom
	// refusals bounds the lines about refused sessions in the log.
	refusals     *rate.Limiter
	webhookTests *rate.Limiter
	load         *load.Monitor // says who else there is room for
	reload       *reloader

	services services    // that know tokens
	guests   *roomTokens // the tokens that rooms give
	revoked  *revocations
	leases   *leases // of sessions and event streams

	// What a reload replaces.
	access     atomic.Pointer[access]
	cert       atomic.Pointer[tls.Certificate]
	iceServers atomic.Pointer[[]iceServer]
}

// New opens the node's sockets. Run must follow.
func New(cfg Config, log *slog.Logger) (_ *Gateway, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, log: log, stats: newStats(), refusals: rate.NewLimiter(2, 20), webhookTests: rate.NewLimiter(1, 3),
		limits: newLimits(), revoked: &revocations{}, keeper: newRoomKeeper(),
	}
	g.leases = newLeases(g.revoked)
	// Files first: what fails here leaves nothing open.
	if g.node, err = nodeID(&cfg); err != nil {
		return nil, err
	}
	if g.services, err = openServices(&cfg, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.services.close())
		}
	}()
	if err := g.loadFiles(&cfg); err != nil {
		return nil, err
	}
	if g.pages, err = web.New(web.Config{FrameAncestors: cfg.FrameAncestors}); err != nil {
		return nil, err
	}
	// The registry before sockets: whoever is second in a directory is told
	// so, and who can reach the node finds what outlived the last one.
	if err := g.openRegistry(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.closeListeners(), g.closeWebhooks(), g.registry.Close())
		}
	}()
	if g.webhooks, err = openWebhooks(&cfg, log); err != nil {
		return nil, err
	}
	g.hub = events.NewHub(events.Config{Log: log, History: g.history, Keep: g.keepsLog, Sink: g.tellWebhooks})
	// HTTP before media: its port and address are the defaults of the rest.
	if g.http, err = net.Listen("tcp", cfg.HTTP); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if cfg.hasAdmin() {
		if g.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			return nil, fmt.Errorf("admin: %w (another node on this machine? --admin takes another port, or off)", err)
		}
	}
	media, err := g.mediaAddr()
	if err != nil {
		return nil, err
	}
	g.url = g.baseURL()
	g.sessions, err = session.NewTable(session.Config{
		Node: g.node, URL: g.url, Media: media, Advertise: cfg.Advertise,
		ConsentTimeout: cfg.ConsentTimeout, LenientPatch: cfg.PatchLenient, Simulcast: cfg.Simulcast,
		OnEvent: g.sessionChanged,
	}, log)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	rooms := sfu.DefaultConfig()
	rooms.OnEvent = g.announceRoom
	rooms.MaxRooms, rooms.MaxPublications, rooms.MaxViewers = cfg.MaxRooms, cfg.MaxPublications, cfg.MaxViewers
	g.rooms = sfu.NewRooms(rooms, log)
	g.guests = newRoomTokens(g.registry)
	g.loadRooms()
	g.whip = whip.Endpoint{Rooms: g.rooms, Sessions: g.sessions}
	g.whep = whep.Endpoint{
		Rooms: g.rooms, Sessions: g.sessions, CounterOffer: cfg.WHEPCounterOffer, ServerOffer: cfg.WHEPServerOffer,
	}
	g.load = load.NewMonitor(load.Source{Media: g.mediaLoad, Census: g.census}, g.loadChanged)
	warnOfExposure(&cfg, log)
	return g, nil
}

// warnOfExposure tells of what is allowed and seldom wise.
func warnOfExposure(cfg *Config, log *slog.Logger) {
	if host, _, _ := splitAddress(cfg.HTTP); !cfg.hasTLS() && !isLoopback(host) {
		log.Warn("plain HTTP can be read and changed on its way: set --tls-cert and --tls-key, or put a TLS proxy before it; browsers publish over HTTPS only")
	}
	if host, _, err := splitAddress(cfg.Admin); err == nil && !isLoopback(host) {
		log.Warn("the admin listener can be reached from other machines and asks for no token: it shows metrics and profiles", "addr", cfg.Admin)
	}
}

// mediaAddr is where media is received. Its default host is what --http was
// bound to, with a name resolved and with the address family that works.
func (g *Gateway) mediaAddr() (netip.AddrPort, error) {
	bound, err := netip.ParseAddrPort(g.http.Addr().String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("http: %w", err)
	}
	if g.cfg.Media == "" {
		return netip.AddrPortFrom(bound.Addr(), defaultMediaPort), nil
	}
	host, port, err := splitAddress(g.cfg.Media)
	if err != nil || host == "" {
		return netip.AddrPortFrom(bound.Addr(), port), err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("media: %w", err)
	}
	return netip.AddrPortFrom(ip, port), nil
}

// baseURL is --url, or else where --http listens. A wildcard is nowhere to go
// to, so another address of this machine stands in for it.
func (g *Gateway) baseURL() string {
	if g.cfg.URL != "" {
		return strings.TrimRight(g.cfg.URL, "/")
	}
	host, _, _ := splitAddress(g.cfg.HTTP) // Check has seen it
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = g.reachableIP().String()
	}
	_, port, _ := net.SplitHostPort(g.http.Addr().String()) // the address of a TCP listener
	return g.scheme() + "://" + net.JoinHostPort(host, port)
}

func (g *Gateway) reachableIP() netip.Addr {
	if len(g.cfg.Advertise) > 0 {
		return g.cfg.Advertise[0]
	}
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		g.log.Warn("interfaces could not be listed: set --url", "err", err)
		return best
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr()
		}
		if best.IsLoopback() {
			best = prefix.Addr()
		}
	}
	return best
}

// URL is the public base URL of the service, without a trailing slash.
func (g *Gateway) URL() string { return g.url }

// LocalURL is the base URL at which the node listens itself.
func (g *Gateway) LocalURL() string { return g.scheme() + "://" + g.http.Addr().String() }

func (g *Gateway) scheme() string {
	if g.cfg.hasTLS() {
		return "https"
	}
	return "http"
}

// AdminURL is the base URL of the --admin listener, "" without one.
func (g *Gateway) AdminURL() string {
	if g.admin == nil {
		return ""
	}
	return "http://" + g.admin.Addr().String()
}

// MediaAddr is where media is received.
func (g *Gateway) MediaAddr() netip.AddrPort { return g.sessions.MediaAddr() }

// Rooms is the node's set of rooms, for tests.
func (g *Gateway) Rooms() *sfu.Rooms { return g.rooms }

// Sessions is the node's table of sessions, for tests.
func (g *Gateway) Sessions() *session.Table { return g.sessions }

// stopTime bounds how long HTTP may take to end: with the rest it must fit
// into 2 s.
const stopTime = time.Second

// Run serves until ctx ends, then stops everything that New and Run started.
func (g *Gateway) Run(ctx context.Context) error {
	var running sync.WaitGroup
	failed := make(chan error, 2) // one of each server
	public, admin := g.publicServer(), g.adminServer()
	serve := func(srv *http.Server, ln net.Listener, tls bool) {
		running.Go(func() {
			if err := serveOn(srv, ln, tls); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	serve(public, g.http, g.cfg.hasTLS())
	if g.admin != nil {
		serve(admin, g.admin, false)
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	if g.reload != nil {
		running.Go(func() { g.reload.run(watching, g) })
	}
	running.Go(func() { newRelief(g.log).run(watching) })
	running.Go(func() { g.load.Run(watching) })
	running.Go(func() { g.hub.Run(watching) })
	running.Go(func() { g.leases.run(watching) })
	running.Go(func() { g.keepRooms(watching) })
	g.ready.Store(true)
	g.log.Info("node started", "node", g.node, "url", g.url, "media", g.MediaAddr())

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}

	// Load balancers look at this: nothing new from here on.
	g.ready.Store(false)
	g.log.Info("node stopping", "sessions", len(g.sessions.List()))
	// Sessions before HTTP: everybody gets close_notify at once, and an
	// encoder that answers it with DELETE still finds somebody.
	err = errors.Join(err, g.sessions.Close())
	// Rooms after sessions: closing sessions closes claims and subscriptions,
	// which rooms only have to wait for.
	g.rooms.Close()
	// Event streams after rooms: they tell of the ends.
	g.hub.Close()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err = errors.Join(err, shutdown(stop, public))
	g.hub.Wait()
	// Admin last: probes and scrapes see the stop to its end.
	err = errors.Join(err, shutdown(stop, admin))
	// After all that happens in rooms, and after those who look at them.
	err = errors.Join(err, g.closeWebhooks())
	stopWatching()
	running.Wait()
	// The registry last: all of the above may write to it.
	err = errors.Join(err, g.registry.Close(), g.services.close())
	g.log.Info("node stopped", "node", g.node)
	return err
}

func serveOn(srv *http.Server, ln net.Listener, tls bool) error {
	if tls {
		return srv.ServeTLS(ln, "", "") // TLSConfig has the certificate
	}
	return srv.Serve(ln)
}

// shutdown lets requests end, and ends those that do not.
func shutdown(ctx context.Context, srv *http.Server) error {
	err := srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return srv.Close()
	}
	return err
}

// Close ends a node that was made and never run.
func (g *Gateway) Close() error {
	err := g.sessions.Close()
	g.rooms.Close()
	return errors.Join(err, g.closeListeners(), g.closeWebhooks(), g.registry.Close(), g.services.close())
}

// publicServer bounds what strangers may cost (design: slow and endless
// requests end by themselves).
func (g *Gateway) publicServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // proxies speak it
	srv := &http.Server{
		Handler:           g.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	if g.cfg.hasTLS() {
		srv.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return g.cert.Load(), nil
			},
		}
	}
	return srv
}

// adminServer has no write timeout: a CPU profile takes as long as asked for.
func (g *Gateway) adminServer() *http.Server {
	return &http.Server{
		Handler:           g.adminHandler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

func (g *Gateway) closeListeners() error {
	var err error
	if g.http != nil {
		err = g.http.Close()
	}
	if g.admin != nil {
		err = errors.Join(err, g.admin.Close())
	}
	return err
}

// loadFiles reads tokens and keys, the certificate and the ICE servers. Nothing is replaced
// unless all of it can be read.
func (g *Gateway) loadFiles(cfg *Config) error {
	access, err := g.newAccess(cfg)
	if err != nil {
		return err
	}
	var cert *tls.Certificate
	if cfg.hasTLS() {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return fmt.Errorf("tls-cert, tls-key: %w", err)
		}
		cert = &pair
	}
	servers, err := loadICEServers(cfg.ICEServersFile)
	if err != nil {
		return err
	}
	secrets, err := loadSecrets(cfg)
	if err != nil {
		return err
	}
	if g.services.hook != nil && cfg.AuthWebhook != "" { // one that is taken away stays until a restart, as it is
		secrets, err := loadHookSecrets(cfg)
		if err != nil {
			return err
		}
		g.services.hook.SetSecrets(secrets)
	}
	g.access.Store(access)
	g.iceServers.Store(&servers)
	if g.webhooks != nil && len(secrets) > 0 {
		g.webhooks.SetSecrets(secrets)
	}
	g.cert.Store(cert)
	return nil
}
