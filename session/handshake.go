package session

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"github.com/sluicemedia/sluice/egress"
)

const (
	joinQueue    = 16                     // datagrams of one handshake that may wait
	flight       = 100 * time.Millisecond // until a flight is first repeated
	handshakeMax = 10 * time.Second       // first check to keys
	maxRepeats   = 32                     // of our last flight, to one viewer
)

var (
	errFingerprint = errors.New("session: the certificate is not the one of the offer")
	errNoProfile   = errors.New("session: no SRTP protection profile")
)

// join is a viewer's DTLS while a goroutine of the Table looks after it.
type join struct {
	pipe   *pipe
	turn   turn
	began  time.Time
	cancel func()        // ends the handshake
	done   chan struct{} // closed when the goroutine has let go of the connection
	stuck  atomic.Bool   // it was ended to make room for others
}

// begin starts the handshake when its turn comes. v.mu is held.
func (v *viewer) begin() {
	v.phase = phaseWaiting
	if v.t.lobby.enter(v) {
		v.proceed()
	}
}

// admitted is called when the turn of a viewer has come that waits; false when
// it has ended meanwhile.
func (v *viewer) admitted() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase != phaseWaiting {
		return false
	}
	v.proceed()
	return true
}

// hold keeps the datagrams of a ClientHello for when the handshake begins. The
// viewer need not repeat it then, and if it does, nothing is kept twice.
// v.mu is held.
func (v *viewer) hold(b []byte) {
	if first := len(b) > 22 && isClientHello(b) && b[19] == 0 && b[20] == 0 && b[21] == 0; first { // fragment offset
		v.hello = v.hello[:0]
	}
	if len(v.hello)+len(b) > maxDatagram {
		v.t.mux.drop(dropJoins)
		return
	}
	v.hello = append(v.hello, b...) // records may share a datagram
}

// proceed starts the handshake. v.mu is held.
func (v *viewer) proceed() {
	v.phase = phaseJoining
	// Nobody's call: close ends it.
	ctx, cancel := context.WithTimeout(context.Background(), v.t.handshakeLimit) //nolint:forbidigo // see above
	j := &join{
		pipe: newPipe(joinQueue, v.t.mux.local, v.t.mux.buffers, v.write), turn: turn{granted: make(chan struct{}, 1)},
		began: time.Now(), cancel: cancel, done: make(chan struct{}),
	}
	v.join = j
	v.t.lobby.begun(j)
	if len(v.hello) > 0 {
		v.push(v.hello)
		v.hello = nil
	}
	v.t.handshakes.started.Add(1)
	v.t.wg.Go(func() { v.runJoin(ctx, j) })
}

// runJoin shakes hands, lets media flow and drops the connection.
func (v *viewer) runJoin(ctx context.Context, j *join) {
	defer close(j.done)
	defer v.t.lobby.leave(j)                          //nolint:contextcheck // who is next is another viewer
	defer func() { j.cancel(); _ = j.pipe.Close() }() // Close of a pipe returns nil
	conn, keys, err := v.handshake(ctx, j)
	if err != nil {
		v.t.handshakes.failed.Add(1)
		if j.stuck.Load() {
			err = context.DeadlineExceeded
		}
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
	v.dropConn(j, conn) //nolint:contextcheck // what it may open outlives the handshake's time
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
	under := &turnstile{pipe: j.pipe, turn: &j.turn}
	if v.active {
		conn, err = dtls.ClientWithOptions(under, to, v.t.dtls.client(verify)...)
	} else {
		conn, err = dtls.ServerWithOptions(under, to, v.t.dtls.server(verify)...)
	}
	if err != nil {
		return nil, egress.Keys{}, fmt.Errorf("session: set up DTLS: %w", err)
	}
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
	v.phase = phaseDropping
	sections, connected := v.sections, v.connected
	v.sections, v.connected, v.fingerprints = nil, nil, nil
	return sections, connected, nil
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
