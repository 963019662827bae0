package gatewaytest

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4/packetio"
)

// SealedOptions are what tells one SealedViewer from another.
type SealedOptions struct {
	Profile     dtls.SRTPProtectionProfile // the only one offered
	RTX         bool                       // of video; audio is never offered with it
	Passive     bool                       // offer setup:passive: the node is the DTLS client
	TransportCC bool                       // offer transport-wide sequence numbers
}

// SealedViewer is a viewer whose every datagram is opened by hand, with pion's
// srtp.Context, and held against what was sent: see sealedstream.go. Nothing of
// what comes is left out of its counts.
type SealedViewer struct {
	t       testing.TB
	options SealedOptions
	client  *http.Client
	base    string
	// Path is the session URL's path.
	Path string

	ufrag, pwd   string
	remote       sealedAnswer
	fromDTLS     *packetio.Buffer
	dtls         *dtls.Conn
	done         chan struct{}
	reading      sync.WaitGroup
	closed       sync.Once
	disconnected bool

	mu      sync.Mutex // guards what follows
	conn    *net.UDPConn
	conns   []*net.UDPConn
	checked chan struct{} // capacity 1: a check was answered
	in, out *srtp.Context // nil until the handshake is over
	early   [][]byte      // what came before
	streams map[uint32]*sealedStream
	again   map[uint32]*sealedStream // by the SSRC of retransmissions
	counts  SealedCounts
	faults  []string
}

// ViewSealed joins a room and returns once the keys are there.
func ViewSealed(t testing.TB, n *Node, room string, o SealedOptions) *SealedViewer {
	t.Helper()
	v := &SealedViewer{
		t: t, options: o, client: n.Client, base: n.LocalURL(),
		ufrag: fmt.Sprintf("u%07d", time.Now().UnixNano()%1e7), pwd: strings.Repeat("password", 3),
		fromDTLS: packetio.NewBuffer(), done: make(chan struct{}), checked: make(chan struct{}, 1),
		streams: map[uint32]*sealedStream{}, again: map[uint32]*sealedStream{},
	}
	t.Cleanup(v.Close)
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	v.post(room, certificate.Certificate[0])
	for kind, ssrcs := range v.remote.ssrcs {
		s := newSealedStream(v, kind, ssrcs[0])
		v.streams[s.ssrc] = s
		if len(ssrcs) > 1 {
			v.again[ssrcs[1]] = s
		}
	}
	v.open()
	if err := v.handshake(certificate); err != nil {
		t.Fatal(err)
	}
	v.reading.Go(v.live)
	return v
}

// post offers and reads the answer.
func (v *SealedViewer) post(room string, certificate []byte) {
	v.t.Helper()
	resp, err := v.client.Post(v.base+"/whep/"+room, "application/sdp", strings.NewReader(v.offer(certificate)))
	if err != nil {
		v.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	_, path, found := strings.Cut(resp.Header.Get("Location"), "/s/")
	if err != nil || resp.StatusCode != http.StatusCreated || !found {
		v.t.Fatalf("POST: %d %s %v", resp.StatusCode, body, err)
	}
	v.Path = "/s/" + path
	if v.remote, err = readSealedAnswer(string(body)); err != nil {
		v.t.Fatalf("%v: %s", err, body)
	}
}

// open makes a socket, checks the path from it and nominates it.
func (v *SealedViewer) open() {
	v.t.Helper()
	conn, err := net.DialUDP("udp", nil, v.remote.addr)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20) // as far as the system allows
	v.mu.Lock()
	v.conn = conn
	v.conns = append(v.conns, conn)
	v.mu.Unlock()
	v.reading.Go(func() { v.read(conn) })
	for range 200 {
		v.check()
		select {
		case <-v.checked:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	v.t.Fatal("no check was answered")
}

// Move goes on from another port.
func (v *SealedViewer) Move() {
	v.t.Helper()
	select {
	case <-v.checked: // of an earlier check
	default:
	}
	v.open()
}

// Vanish closes the socket and says nothing to anybody.
func (v *SealedViewer) Vanish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.conns {
		_ = c.Close()
	}
	v.disconnected = true
}

func (v *SealedViewer) check() {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(v.remote.ufrag+":"+v.ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, 1853824767)},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity(v.remote.pwd), stun.Fingerprint)
	if err != nil {
		v.t.Error(err)
		return
	}
	_, _ = v.socket().Write(m.Raw) // the next one may have more luck
}

func (v *SealedViewer) socket() *net.UDPConn {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.conn
}

// handshake runs DTLS and takes the keys.
func (v *SealedViewer) handshake(certificate tls.Certificate) (err error) {
	pipe := sealedPipe{v}
	ctx, cancel := context.WithTimeout(v.t.Context(), 15*time.Second)
	defer cancel()
	common := []dtls.Option{
		dtls.WithCertificates(certificate), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(v.options.Profile), dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
	}
	if v.remote.active != v.options.Passive {
		return fmt.Errorf("the node is active: %t", v.remote.active)
	}
	if v.remote.active {
		options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for _, o := range common {
			options = append(options, o)
		}
		v.dtls, err = dtls.ServerWithOptions(pipe, v.remote.addr, options...)
	} else {
		options := []dtls.ClientOption{}
		for _, o := range common {
			options = append(options, o)
		}
		v.dtls, err = dtls.ClientWithOptions(pipe, v.remote.addr, options...)
	}
	if err != nil {
		return err
	}
	if err := v.dtls.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	state, _ := v.dtls.ConnectionState()
	if p, ok := v.dtls.SelectedSRTPProtectionProfile(); !ok || p != v.options.Profile {
		return fmt.Errorf("the profile is %v (%t), want %v", p, ok, v.options.Profile)
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(v.options.Profile)}
	if err := c.ExtractSessionKeysFromDTLS(&state, !v.remote.active); err != nil {
		return err
	}
	in, err := srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile)
	if err != nil {
		return err
	}
	out, err := srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.in, v.out = in, out
	for _, b := range v.early {
		v.media(b)
	}
	v.early = nil
	return nil
}

// live keeps the session alive: consent checks and receiver reports.
func (v *SealedViewer) live() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		v.check()
		v.mu.Lock()
		v.send(&rtcp.ReceiverReport{SSRC: 1})
		v.mu.Unlock()
		select {
		case <-tick.C:
		case <-v.done:
			return
		}
	}
}

// send seals and sends RTCP; v.mu is held.
func (v *SealedViewer) send(p rtcp.Packet) {
	raw, err := p.Marshal()
	if err == nil {
		raw, err = v.out.EncryptRTCP(nil, raw, nil)
	}
	if err != nil {
		v.t.Error(err)
		return
	}
	_, _ = v.conn.Write(raw) // as the network would lose it
}

// read takes all that comes to one socket.
func (v *SealedViewer) read(conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		b := append([]byte(nil), buf[:n]...)
		switch {
		case n == 0:
		case b[0] < 4:
			m := &stun.Message{Raw: b}
			if m.Decode() == nil && m.Type == stun.BindingSuccess {
				select {
				case v.checked <- struct{}{}:
				default:
				}
			}
		case b[0] < 64:
			_, _ = v.fromDTLS.Write(b) // full: lost
		default:
			v.mu.Lock()
			if v.in == nil {
				v.early = append(v.early, b)
			} else {
				v.media(b)
			}
			v.mu.Unlock()
		}
	}
}

// Close ends the session, once.
func (v *SealedViewer) Close() {
	v.closed.Do(func() {
		close(v.done)
		if v.Path != "" && !v.disconnected {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(v.t.Context()), 5*time.Second)
			defer cancel()
			if r, err := http.NewRequestWithContext(ctx, http.MethodDelete, v.base+v.Path, nil); err == nil {
				if resp, err := v.client.Do(r); err == nil { // the node may be gone
					_ = resp.Body.Close()
				}
			}
		}
		if v.dtls != nil {
			_ = v.dtls.Close()
		}
		_ = v.fromDTLS.Close()
		v.Vanish()
		v.reading.Wait()
	})
}

// sealedPipe gives DTLS its datagrams.
type sealedPipe struct{ v *SealedViewer }

func (p sealedPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.v.fromDTLS.Read(b)
	return n, p.v.remote.addr, err
}
func (p sealedPipe) WriteTo(b []byte, _ net.Addr) (int, error) { return p.v.socket().Write(b) }
func (p sealedPipe) Close() error                              { return nil }
func (p sealedPipe) LocalAddr() net.Addr                       { return p.v.socket().LocalAddr() }
func (p sealedPipe) SetDeadline(t time.Time) error             { return p.SetReadDeadline(t) }
func (p sealedPipe) SetReadDeadline(t time.Time) error         { return p.v.fromDTLS.SetReadDeadline(t) }
func (p sealedPipe) SetWriteDeadline(time.Time) error          { return nil }
