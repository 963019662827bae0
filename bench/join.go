package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// joiner is what the joins of all viewers share.
type joiner struct {
	client   *client
	endpoint string
	bind     netip.Addr
	identity identity
	profiles []dtls.SRTPProtectionProfile
	network  network
	fleet    *fleet
	patience time.Duration // for each join
	// hands bounds how many handshakes are under way: more of them would only
	// make each slower.
	hands chan struct{}
}

const (
	handshakes = 48
	// checkInterval is the initial RTO of RFC 8445 section 14.3 for one check at
	// a time; checkPatience is for each candidate.
	checkInterval = 100 * time.Millisecond
	checkPatience = 3 * time.Second
	flightTimeout = 250 * time.Millisecond
)

// join makes a connected viewer. A viewer that could not be made has left.
func (j *joiner) join(ctx context.Context, number int, sampled bool) (*viewer, error) {
	v := &viewer{
		fleet: j.fleet, number: number, sampled: sampled, checked: make(chan struct{}, 1),
		check: checker{ufrag: randomText(4), pwd: randomText(12), tieBreaker: rand.Uint64()}, //nolint:gosec // G404: it breaks ties, no secret
	}
	j.fleet.begin()
	defer j.fleet.done()
	var err error
	if v.sock, err = j.network.open(j.bind, v); err != nil {
		return nil, err
	}
	v.began = time.Now()
	if err = j.enter(ctx, v); err == nil {
		j.fleet.add(v)
		return v, nil
	}
	return nil, errors.Join(err, j.leave(ctx, v))
}

// stageError says which part of a join failed.
type stageError struct {
	stage string
	err   error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

func (j *joiner) enter(ctx context.Context, v *viewer) error {
	sdp, session, err := j.client.post(ctx, j.endpoint, viewerOffer(v.check.ufrag, v.check.pwd, j.identity.fingerprint, v.sock.local()))
	if err != nil {
		return err
	}
	v.session, v.answered = session, time.Since(v.began)
	a, err := parseAnswer(sdp)
	if err != nil {
		return err
	}
	if err := j.nominate(ctx, v, a); err != nil {
		return &stageError{"ICE", late(ctx, j.patience, err)}
	}
	select {
	case j.hands <- struct{}{}:
		defer func() { <-j.hands }()
	case <-ctx.Done():
		return &stageError{"DTLS", late(ctx, j.patience, ctx.Err())}
	}
	if err := j.shake(ctx, v, a); err != nil {
		return &stageError{"DTLS", late(ctx, j.patience, err)}
	}
	return nil
}

// late is what became of a part of a join whose time is over.
func late(ctx context.Context, patience time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", patience)
	}
	return err
}

// nominate finds an address of the server that answers checks.
func (j *joiner) nominate(ctx context.Context, v *viewer, a *answer) error {
	candidates := a.reachable(j.bind)
	if len(candidates) == 0 {
		return errors.New("no candidate with UDP and an address of our family")
	}
	for _, to := range candidates {
		if err := v.sock.connect(to); err != nil {
			continue // no route to it: the next may have one
		}
		v.fleet.mu.Lock()
		v.remote, v.answer = to, a
		v.check.remoteUfrag, v.check.remotePwd = a.ufrag, a.pwd
		v.pipe = newPipe(net.UDPAddrFromAddrPort(to), v.sock.send)
		request, err := v.check.request()
		v.fleet.mu.Unlock()
		if err != nil {
			return err
		}
		ok, err := v.repeat(ctx, request)
		if ok || err != nil {
			return err
		}
	}
	return errors.New("no check was answered")
}

// repeat sends a check until it is answered or not worth more.
func (v *viewer) repeat(ctx context.Context, request []byte) (answered bool, err error) {
	patience := time.NewTimer(checkPatience)
	defer patience.Stop()
	again := time.NewTicker(checkInterval)
	defer again.Stop()
	for {
		_ = v.sock.send(request) // a port that is closed may open
		select {
		case <-v.checked:
			return true, nil
		case <-again.C:
		case <-patience.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// shake does the handshake, keeps its keys and lets go of the rest.
func (j *joiner) shake(ctx context.Context, v *viewer, a *answer) error {
	conn, err := j.newConn(v, a)
	if err != nil {
		return err
	}
	err = conn.HandshakeContext(ctx)
	if err == nil {
		err = v.arm(conn, a.passive)
	}
	// Closing tells the server only of a handshake that failed.
	return errors.Join(err, conn.Close())
}

func (j *joiner) newConn(v *viewer, a *answer) (*dtls.Conn, error) {
	peer := net.UDPAddrFromAddrPort(v.remote)
	options := []dtls.Option{
		dtls.WithCertificates(j.identity.cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(a.fingerprint.check),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithSRTPProtectionProfiles(j.profiles...),
		dtls.WithFlightInterval(flightTimeout),
	}
	if a.passive {
		client := make([]dtls.ClientOption, len(options))
		for i, o := range options {
			client[i] = o
		}
		return dtls.ClientWithOptions(v.pipe, peer, client...)
	}
	server := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range options {
		server = append(server, o)
	}
	return dtls.ServerWithOptions(v.pipe, peer, server...)
}

// arm takes the keys of a finished handshake.
func (v *viewer) arm(conn *dtls.Conn, client bool) error {
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("a connection without a state")
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("no SRTP profile was chosen")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return err
	}
	var in *srtp.Context
	var err error
	if v.sampled {
		if in, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile); err != nil {
			return err
		}
	}
	out, err := srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return err
	}
	flight := v.pipe.retire()
	v.fleet.mu.Lock()
	defer v.fleet.mu.Unlock()
	v.profile, v.in, v.out, v.connected = c.Profile, in, out, true
	v.entered = time.Since(v.began)
	for _, d := range v.early {
		v.open(d.b, d.arrival, d.now)
	}
	v.early = nil
	if !client {
		v.flight = flight // a server's is the last of all
	}
	return nil
}

// leave ends the session and closes the socket. The session is ended even when
// ctx is over.
func (j *joiner) leave(ctx context.Context, v *viewer) error {
	var err error
	if v.session != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
		defer cancel()
		err = j.client.leave(ctx, v.session)
	}
	return errors.Join(err, v.sock.close())
}

// leavePatience bounds the end of one session.
const leavePatience = 5 * time.Second
