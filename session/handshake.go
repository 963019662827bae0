package session

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"github.com/sluicemedia/sluice/egress"
)

const (
	maxJoins     = 200                    // handshakes under way in a Table
	joinQueue    = 16                     // datagrams of one handshake that may wait
	flight       = 100 * time.Millisecond // until a flight is first repeated
	handshakeMax = 10 * time.Second       // first check to keys
	lingerMax    = 10 * time.Second       // keys to dropping the connection without word from the viewer
)

var (
	errFingerprint = errors.New("session: the certificate is not the one of the offer")
	errNoProfile   = errors.New("session: no SRTP protection profile")
)

// join is a viewer's DTLS while a goroutine of the Table looks after it.
type join struct {
	pipe   *pipe
	cancel func()        // ends it, before or after the handshake
	done   chan struct{} // closed when the goroutine has let go of the connection

	mu   sync.Mutex // guards conn
	conn *dtls.Conn
	due  bool // release was called
}

// release makes the goroutine drop the connection, if the handshake is over.
func (j *join) release() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.due = true
	if j.conn != nil {
		// Never fails: it wakes Read.
		_ = j.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// begin starts the handshake if there is room for one more; if not, the
// viewer's next check or ClientHello tries again. v.mu is held.
func (v *viewer) begin() {
	select {
	case v.t.joins <- struct{}{}:
	default:
		v.t.mux.drop(dropJoins)
		return
	}
	// Nobody's call: close ends it.
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // see above
	v.phase = phaseJoining
	j := &join{
		pipe:   newPipe(joinQueue, v.t.mux.local, v.t.mux.buffers, v.write),
		cancel: cancel, done: make(chan struct{}),
	}
	v.join = j
	v.t.handshakes.started.Add(1)
	v.t.wg.Go(func() { v.runJoin(ctx, j) })
}

// runJoin shakes hands, tells everybody, and keeps the connection for as long
// as the viewer may need its last flight again.
func (v *viewer) runJoin(ctx context.Context, j *join) {
	defer close(j.done)
	defer func() { j.cancel(); _ = j.pipe.Close() }() // Close of a pipe returns nil
	conn, keys, err := v.handshake(ctx, j)
	<-v.t.joins
	if err != nil {
		v.t.handshakes.failed.Add(1)
		v.failed(err)
		return
	}
	v.t.handshakes.done.Add(1)
	sections, connected, err := v.start(keys)
	if err != nil {
		_ = conn.Close() // says close_notify
		v.s.end(CauseInternal)
		return
	}
	v.s.live(keys.Profile.String())
	v.s.notify(func() { connected(v.egress, sections) })
	v.linger(ctx, j, conn)
}

// handshake runs DTLS and derives the SRTP keys (RFC 5764). On error the
// connection is closed and whatever alert was due has been sent.
func (v *viewer) handshake(ctx context.Context, j *join) (*dtls.Conn, egress.Keys, error) {
	v.mu.Lock()
	to := net.UDPAddrFromAddrPort(v.pair)
	v.mu.Unlock()
	differs := false
	verify := dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
		if len(certs) == 0 || !matches(v.fingerprints, certs[0]) {
			differs = true
			return errFingerprint
		}
		return nil
	})
	var conn *dtls.Conn
	var err error
	if v.active {
		conn, err = dtls.ClientWithOptions(j.pipe, to, v.t.dtls.client(verify)...)
	} else {
		conn, err = dtls.ServerWithOptions(j.pipe, to, v.t.dtls.server(verify)...)
	}
	if err != nil {
		return nil, egress.Keys{}, fmt.Errorf("session: set up DTLS: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, v.t.handshakeLimit)
	defer cancel()
	if err = conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // nothing more to say
		if differs {
			err = errFingerprint
		}
		return nil, egress.Keys{}, fmt.Errorf("session: shake hands: %w", err)
	}
	keys, err := extractKeys(conn, v.active)
	if err != nil {
		_ = conn.Close() // as above
		return nil, egress.Keys{}, err
	}
	return conn, keys, nil
}

func extractKeys(conn *dtls.Conn, active bool) (egress.Keys, error) {
	st, ok := conn.ConnectionState()
	if !ok {
		return egress.Keys{}, errors.New("session: no DTLS state")
	}
	p, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return egress.Keys{}, errNoProfile
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(p)}
	if err := c.ExtractSessionKeysFromDTLS(&st, active); err != nil {
		return egress.Keys{}, fmt.Errorf("session: derive SRTP keys: %w", err)
	}
	return egress.Keys{
		Profile:  c.Profile,
		LocalKey: c.Keys.LocalMasterKey, LocalSalt: c.Keys.LocalMasterSalt,
		RemoteKey: c.Keys.RemoteMasterKey, RemoteSalt: c.Keys.RemoteMasterSalt,
	}, nil
}

// failed ends the session with the cause of a failed handshake.
func (v *viewer) failed(err error) {
	cause := v.evidence.failure()
	switch {
	case errors.Is(err, errNoProfile):
		cause = CauseNoProfile
	case errors.Is(err, errFingerprint):
		cause = CauseFingerprint
	case errors.Is(err, context.DeadlineExceeded):
		cause = CauseDTLSTimeout
	}
	v.t.log.Debug("handshake failed", "session", v.s.name, "err", err)
	v.s.end(cause)
}

// start lets media flow. It fails when the session was closed meanwhile.
func (v *viewer) start(k egress.Keys) ([]ViewerSection, func(*egress.Viewer, []ViewerSection), error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == phaseClosed {
		return nil, nil, ErrNotFound
	}
	if err := v.egress.Start(k, v.pair); err != nil {
		return nil, nil, fmt.Errorf("session: start sending: %w", err)
	}
	v.phase = phaseLinger
	sections, connected := v.sections, v.connected
	v.sections, v.connected, v.fingerprints = nil, nil, nil
	return sections, connected, nil
}

// linger keeps the connection until the viewer has proven to hold the keys:
// until then the viewer may be missing our last flight and ask for it by
// repeating its own. As client we have heard the viewer's last flight.
func (v *viewer) linger(ctx context.Context, j *join, conn *dtls.Conn) {
	stop := context.AfterFunc(ctx, j.release)
	defer stop()
	j.mu.Lock()
	j.conn = conn
	limit := time.Now().Add(v.t.lingerLimit)
	if v.active || j.due || v.proven.Load() {
		limit = time.Unix(1, 0)
	}
	_ = conn.SetReadDeadline(limit) // never fails
	j.mu.Unlock()

	err := untilDeadlineOrEnd(conn)
	v.mu.Lock()
	closed := v.phase == phaseClosed
	if !closed {
		v.phase = phaseDropping
		v.gone = err == nil
	}
	v.mu.Unlock()
	switch {
	case closed:
		_ = conn.Close() // says close_notify
	case err == nil:
		_ = conn.Close() // the close_notify was answered already
		v.s.end(CausePeerClosed)
	default:
		v.dropConn(j, conn) //nolint:contextcheck // what it may open outlives the handshake's time
	}
}

// untilDeadlineOrEnd reads until the viewer ends the connection (nil) or the
// deadline comes. There is no application data in DTLS-SRTP without data
// channels, and what does not parse is none of our business either. The buffer
// is small on purpose: it lives as long as a viewer joins.
func untilDeadlineOrEnd(conn *dtls.Conn) error {
	buf := make([]byte, 64)
	for {
		_, err := conn.Read(buf)
		var timeout net.Error
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &timeout) && timeout.Timeout():
			return err
		}
	}
}

// matches tells whether a certificate has one of the offer's fingerprints.
func matches(prints []Fingerprint, certificate []byte) bool {
	for _, f := range prints {
		var sum []byte
		switch f.Hash {
		case "sha-256":
			s := sha256.Sum256(certificate)
			sum = s[:]
		case "sha-384":
			s := sha512.Sum384(certificate)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(certificate)
			sum = s[:]
		}
		if sum != nil && subtle.ConstantTimeCompare(sum, f.Value) == 1 {
			return true
		}
	}
	return false
}
