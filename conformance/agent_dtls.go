package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/deadline"
)

// connectPatience bounds ICE and DTLS together: generous, since machines are slow.
const connectPatience = 10 * time.Second

// errPeerCertificate is a certificate that the answer does not name.
var errPeerCertificate = errors.New("the server's certificate does not match the fingerprint of its answer")

// connect nominates a pair, shakes hands and begins to read media.
func (a *Agent) connect() *Agent {
	a.nominate()
	if err := a.shake(); err != nil {
		a.t.Fatalf("expected the DTLS handshake to succeed, got: %v", err)
	}
	return a
}

// nominate sends checks with USE-CANDIDATE until one is answered.
func (a *Agent) nominate() {
	if m := a.check(check{nominate: true, patience: connectPatience}); !successful(m) {
		a.t.Fatalf("expected a success response to a check, got %s", responseText(m))
	}
}

// shake does the DTLS handshake in the role that the answer left to us, and
// derives the SRTP keys.
func (a *Agent) shake() error {
	ctx, cancel := context.WithTimeout(a.t.ctx, connectPatience)
	defer cancel()
	return a.shakeUntil(ctx)
}

func (a *Agent) shakeUntil(ctx context.Context) error {
	conn, err := a.newConn()
	if err != nil {
		return fmt.Errorf("conformance: begin handshake: %w", err)
	}
	a.conn = conn
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	st, ok := conn.ConnectionState()
	if !ok {
		return errors.New("conformance: a connection without a state")
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("no SRTP profile was chosen")
	}
	a.profile = srtp.ProtectionProfile(profile)
	keys := srtp.Config{Profile: a.profile}
	if err := keys.ExtractSessionKeysFromDTLS(&st, a.active); err != nil {
		return fmt.Errorf("conformance: derive keys: %w", err)
	}
	in, err := srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, a.profile)
	if err != nil {
		return fmt.Errorf("conformance: derive keys: %w", err)
	}
	out, err := srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, a.profile)
	if err != nil {
		return fmt.Errorf("conformance: derive keys: %w", err)
	}
	a.sealing.Lock()
	a.out = out
	a.sealing.Unlock()
	a.arm(in)
	a.running.Go(a.listen)
	return nil
}

func (a *Agent) newConn() (*dtls.Conn, error) {
	peer := net.UDPAddrFromAddrPort(a.to)
	options := []dtls.Option{
		dtls.WithCertificates(a.cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithFlightInterval(200 * time.Millisecond),
		dtls.WithSRTPProtectionProfiles(a.profiles...),
		dtls.WithVerifyPeerCertificate(a.verify),
	}
	if len(a.ciphers) > 0 {
		options = append(options, dtls.WithCipherSuites(a.ciphers...))
	}
	if a.active {
		client := make([]dtls.ClientOption, len(options))
		for i, o := range options {
			client[i] = o
		}
		return dtls.ClientWithOptions(a.pipe, peer, client...)
	}
	server := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range options {
		server = append(server, o)
	}
	return dtls.ServerWithOptions(a.pipe, peer, server...)
}

// verify compares the certificate with the fingerprints of the answer.
func (a *Agent) verify(certs [][]byte, _ [][]*x509.Certificate) error {
	for line := range strings.SplitSeq(a.Session.Answer, "\n") {
		hash, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "a=fingerprint:"), " ")
		digest := map[string]func([]byte) []byte{
			"sha-256": func(der []byte) []byte { sum := sha256.Sum256(der); return sum[:] },
			"sha-384": func(der []byte) []byte { sum := sha512.Sum384(der); return sum[:] },
			"sha-512": func(der []byte) []byte { sum := sha512.Sum512(der); return sum[:] },
		}[strings.ToLower(hash)]
		if digest != nil && len(certs) > 0 && strings.EqualFold(value, colons(digest(certs[0]))) {
			return nil
		}
	}
	return errPeerCertificate
}

// listen waits for the end of the DTLS connection.
func (a *Agent) listen() {
	buf := make([]byte, 2048)
	for {
		_, err := a.conn.Read(buf)
		if err == nil {
			continue // data channels
		}
		a.mu.Lock()
		a.closed, a.closedBy = time.Now(), err
		a.mu.Unlock()
		return
	}
}

// hangsUp tells whether the server says close_notify within d.
func (a *Agent) hangsUp(d time.Duration) bool {
	return a.t.Until(d, func() bool {
		_, err := a.farewell()
		return errors.Is(err, io.EOF)
	})
}

// hangUp says close_notify.
func (a *Agent) hangUp() { _ = a.conn.Close() }

// writeRTP seals and sends a media packet.
func (a *Agent) writeRTP(p *rtp.Packet) {
	plain, err := p.Marshal()
	if err != nil {
		a.t.Errorf("a media packet could not be made: %v", err)
		return
	}
	a.sealing.Lock()
	defer a.sealing.Unlock()
	if a.out == nil {
		return
	}
	if sealed, err := a.out.EncryptRTP(nil, plain, nil); err == nil { // else out of keys, in hours
		a.send(sealed)
	}
}

// writeRTCP seals and sends RTCP in one datagram.
func (a *Agent) writeRTCP(packets ...rtcp.Packet) {
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		a.t.Errorf("an RTCP packet could not be made: %v", err)
		return
	}
	a.sealing.Lock()
	defer a.sealing.Unlock()
	if a.out == nil {
		return
	}
	if sealed, err := a.out.EncryptRTCP(nil, plain, nil); err == nil { // as above
		a.send(sealed)
	}
}

// agentPipe is the packet connection under an agent's DTLS.
type agentPipe struct {
	a        *Agent
	in       chan []byte
	done     chan struct{}
	once     sync.Once
	deadline *deadline.Deadline
}

func newAgentPipe(a *Agent) *agentPipe {
	return &agentPipe{a: a, in: make(chan []byte, 64), done: make(chan struct{}), deadline: deadline.New()}
}

// push drops what nobody reads fast enough, as a network would.
func (p *agentPipe) push(b []byte) {
	select {
	case p.in <- b:
	default:
	}
}

func (p *agentPipe) end() { p.once.Do(func() { close(p.done) }) }

func (p *agentPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case m := <-p.in:
		return copy(b, m), net.UDPAddrFromAddrPort(p.a.to), nil
	case <-p.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-p.done:
		return 0, nil, net.ErrClosed
	}
}

func (p *agentPipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.a.send(b)
	return len(b), nil
}

func (p *agentPipe) Close() error { p.end(); return nil }

func (p *agentPipe) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.a.addr()) }

func (p *agentPipe) SetReadDeadline(at time.Time) error { p.deadline.Set(at); return nil }

func (p *agentPipe) SetDeadline(t time.Time) error      { return p.SetReadDeadline(t) }
func (p *agentPipe) SetWriteDeadline(_ time.Time) error { return nil }
