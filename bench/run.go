package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
)

// generator is a run under way.
type generator struct {
	config    *Config
	observer  *observer
	fleet     *fleet
	joiner    *joiner
	publisher *publisher // nil: somebody else publishes
	before    usage      // of the server, without viewers
	joined    int        // viewers ever tried, of which one in Config.Sample is sampled
	mu        sync.Mutex // guards joined
}

// Run puts the load on the server and measures it. When ctx ends early, the report
// holds the steps that were measured. Every session that was begun is ended.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	g, err := newGenerator(ctx, &c)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { g.fleet.keepAlive(ctx) })
	defer func() {
		stop()
		running.Wait()
		if failed := g.close(ctx); failed != nil {
			c.progress("not every session was ended: %v", failed)
		}
	}()
	if err := g.publish(ctx); err != nil {
		return nil, err
	}
	report = g.newReport()
	if c.FindLimit {
		report.Limit, err = findLimit(ctx, g, c.Viewers[0], c.MaxLatency, func(s Step) { report.Steps = append(report.Steps, s) })
	} else {
		err = g.steps(ctx, report)
	}
	if ctx.Err() != nil {
		report.Interrupted = true
		return report, nil
	}
	return report, err
}

func newGenerator(ctx context.Context, c *Config) (*generator, error) {
	bind, err := c.bindAddress(ctx)
	if err != nil {
		return nil, err
	}
	identity, err := newIdentity()
	if err != nil {
		return nil, err
	}
	f := &fleet{latency: new(histogram)}
	open := newNetwork
	if c.network != nil {
		open = c.network
	}
	n, err := open(f)
	if err != nil {
		return nil, err
	}
	var profiles []dtls.SRTPProtectionProfile
	for _, name := range c.SRTP {
		p, _ := srtpProfile(name) // Validate knows them
		profiles = append(profiles, p)
	}
	return &generator{config: c, observer: c.observer(), fleet: f, joiner: &joiner{
		client: newClient(c), endpoint: c.WHEP, bind: bind, identity: identity, profiles: profiles,
		network: n, fleet: f, patience: c.JoinTimeout, hands: make(chan struct{}, handshakes),
	}}, nil
}

// bindAddress is where viewers and publisher receive: what was asked for, or the
// address by which this machine reaches the server.
func (c *Config) bindAddress(ctx context.Context) (netip.Addr, error) {
	if c.Bind != "" {
		return netip.ParseAddr(c.Bind)
	}
	endpoint := c.WHEP
	if endpoint == "" {
		endpoint = c.WHIP
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("bench: %w", err)
	}
	// Connecting a UDP socket sends nothing; the port does not matter.
	conn, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "9"))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("bench: find the way to the server: %w", err)
	}
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err := errors.Join(err, conn.Close()); err != nil {
		return netip.Addr{}, fmt.Errorf("bench: find the way to the server: %w", err)
	}
	return at.Addr().Unmap().WithZone(""), nil
}

// publish goes on air, when that is asked for, and notes what the server uses
// without viewers once it has settled.
func (g *generator) publish(ctx context.Context) error {
	if g.config.WHIP != "" {
		within, cancel := context.WithTimeout(ctx, g.config.JoinTimeout)
		defer cancel()
		p, err := publish(within, g.config, g.joiner.client, g.joiner.bind)
		if err != nil {
			return err
		}
		g.publisher = p
		g.config.progress("on air")
		if err := wait(ctx, g.config.Settle); err != nil {
			return nil // ended early, which Run tells
		}
	}
	var err error
	g.before, err = g.observer.now()
	return err
}

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *generator) newReport() *Report {
	r := &Report{
		WHIP: g.config.WHIP, WHEP: g.config.WHEP, SRTP: g.config.SRTP, BeforeRSS: g.before.rss, Steps: []Step{},
		Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()},
	}
	if g.publisher != nil {
		r.Stream = &Stream{
			Bitrate: g.config.Bitrate, FrameRate: frameRate,
			Spacing: float64(g.config.Spacing) / float64(time.Microsecond),
		}
	}
	return r
}

// steps measures one number of viewers after the other.
func (g *generator) steps(ctx context.Context, r *Report) error {
	counts := g.config.Viewers
	if g.config.WHEP == "" {
		counts = []int{0}
	}
	for _, n := range counts {
		s, err := g.measure(ctx, n)
		if err != nil {
			return err
		}
		r.Steps = append(r.Steps, s)
	}
	return nil
}

// close ends every session, the publisher's last.
func (g *generator) close(ctx context.Context) error {
	err := g.leave(ctx, g.fleet.take(maxViewers))
	if g.publisher != nil {
		err = errors.Join(err, g.publisher.close(ctx))
	}
	err = errors.Join(err, g.joiner.network.close())
	g.joiner.client.http.CloseIdleConnections()
	return err
}

// leave ends sessions, several at a time. Of errors one is enough.
func (g *generator) leave(ctx context.Context, viewers []*viewer) error {
	var all sync.WaitGroup
	slots := make(chan struct{}, g.config.Parallel)
	first := make(chan error, 1)
	for _, v := range viewers {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := g.joiner.leave(ctx, v); err != nil {
				select {
				case first <- err:
				default:
				}
			}
		})
	}
	all.Wait()
	close(first)
	return <-first
}
