package session_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

// raw is a viewer made by hand: it says what a test wants said, and nothing
// else. It costs little, so that there can be hundreds.
type raw struct {
	t         *testing.T
	session   *session.Session
	to        *net.UDPAddr
	sock      *net.UDPConn
	socks     []*net.UDPConn // all there ever were
	ufrag     string         // ours
	server    string         // the gateway's ufrag
	serverPwd string
	cert      tls.Certificate
	connected chan *egress.Viewer
	closed    chan session.Cause
	responses chan *stun.Message // to any of our sockets
	pipe      *rawPipe
	repeat    time.Duration // until its flights are repeated
	dtls      *dtls.Conn
	out       *srtp.Context
	readers   sync.WaitGroup
	media     chan netip.AddrPort // local address at which media came
	rtp       func(b []byte)      // is shown media; nil: nobody
}

const rawOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
	"a=setup:%s\r\na=fingerprint:sha-256 %s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\n"

// rawCertificate is shared by all: making one takes longer than joining.
var rawCertificate = sync.OnceValues(selfsign.GenerateSelfSigned)

func fingerprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	var pairs []string
	for _, b := range sum {
		pairs = append(pairs, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return strings.Join(pairs, ":")
}

const rawUFrag = "rawviewer"

// rawOfferText is the offer of all raw viewers.
func rawOfferText(t testing.TB) []byte {
	t.Helper()
	cert, err := rawCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, rawOffer, "active", fingerprint(cert), rawUFrag, "0123456789abcdef01234567")
}

// openRaw opens a session; nothing is sent yet.
func openRaw(t *testing.T, table *session.Table) *raw {
	t.Helper()
	o, err := session.ParseOffer(rawOfferText(t))
	if err != nil {
		t.Fatal(err)
	}
	connected, closed := make(chan *egress.Viewer, 1), make(chan session.Cause, 1)
	s, err := table.OpenViewer(o, session.ViewerSetup{
		Connected: func(v *egress.Viewer, _ []session.ViewerSection) { connected <- v },
		Closed:    func(c session.Cause) { closed <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRaw(t, table, s)
	r.connected, r.closed = connected, closed
	return r
}

// newRaw is a raw viewer for a session that was opened.
func newRaw(t *testing.T, table *session.Table, s *session.Session) *raw {
	t.Helper()
	cert, err := rawCertificate()
	if err != nil {
		t.Fatal(err)
	}
	answer := string(s.Answer())
	r := &raw{
		t: t, cert: cert, session: s, ufrag: rawUFrag, repeat: 100 * time.Millisecond,
		to:     net.UDPAddrFromAddrPort(table.MediaAddr()),
		server: attribute(answer, "ice-ufrag"), serverPwd: attribute(answer, "ice-pwd"),
		responses: make(chan *stun.Message, 64), media: make(chan netip.AddrPort, 64),
	}
	r.pipe = &rawPipe{r: r, in: make(chan []byte, 32), deadline: make(chan struct{})}
	t.Cleanup(r.shut)
	r.rebind()
	return r
}

// shut ends whatever the viewer runs, without a word.
func (r *raw) shut() {
	if r.pipe == nil {
		return // vanished
	}
	r.pipe.silence()
	if r.dtls != nil {
		_ = r.dtls.Close()
	}
	_ = r.pipe.Close()
	for _, sock := range r.socks {
		_ = sock.Close() // some of them again
	}
	r.readers.Wait()
}

// attribute is the value of the first a= line of a name.
func attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// rebind goes on from another port; the old socket is closed.
func (r *raw) rebind() {
	r.t.Helper()
	sock, err := net.DialUDP("udp", nil, r.to)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = sock.SetReadBuffer(4 << 20) // as much as we get: on a busy machine it is read late
	if r.sock != nil {
		_ = r.sock.Close()
	}
	r.sock = sock
	r.socks = append(r.socks, sock)
	r.readers.Go(func() { r.read(sock) })
}

func (r *raw) read(sock *net.UDPConn) {
	at := sock.LocalAddr().(*net.UDPAddr).AddrPort()
	buf := make([]byte, 1600)
	for {
		n, err := sock.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		b := append([]byte(nil), buf[:n]...)
		switch {
		case n == 0:
		case b[0] < 4:
			if m := (&stun.Message{Raw: b}); m.Decode() == nil {
				r.responses <- m
			}
		case b[0] < 64:
			select {
			case r.pipe.in <- b:
			default:
			}
		case b[1] < 192 || b[1] > 223: // RTP
			if r.rtp != nil {
				r.rtp(b)
			}
			select {
			case r.media <- at:
			default:
			}
		}
	}
}

// checkOption changes a check.
type checkOption struct {
	local, remote, pwd string // other than those of the session
	nominate           bool
	extra              []stun.Setter // before MESSAGE-INTEGRITY
	bare               bool          // neither MESSAGE-INTEGRITY nor FINGERPRINT
	badFingerprint     bool
}

// build makes a check.
func (r *raw) build(o checkOption) *stun.Message {
	r.t.Helper()
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	set := []stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(or(o.local, r.server) + ":" + or(o.remote, r.ufrag))}
	if o.nominate {
		set = append(set, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	set = append(set, o.extra...)
	if !o.bare {
		set = append(set, stun.NewShortTermIntegrity(or(o.pwd, r.serverPwd)), stun.Fingerprint)
	}
	m, err := stun.Build(set...)
	if err != nil {
		r.t.Fatal(err)
	}
	if o.badFingerprint {
		m.Raw[len(m.Raw)-1] ^= 1
	}
	return m
}

// check sends a check and returns the response.
func (r *raw) check(o checkOption) *stun.Message {
	r.t.Helper()
	m := r.build(o)
	r.write(m.Raw)
	return r.response(m)
}

func (r *raw) response(to *stun.Message) *stun.Message {
	r.t.Helper()
	select {
	case got := <-r.responses:
		if got.TransactionID != to.TransactionID {
			r.t.Fatalf("a response nobody asked for: %v", got)
		}
		return got
	case <-time.After(patience):
		r.t.Fatal("no response to a check")
		return nil
	}
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.sock.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// shake does the DTLS handshake; the error is the handshake's.
func (r *raw) shake(certs ...tls.Certificate) error {
	var err error
	r.dtls, err = dtls.ClientWithOptions(r.pipe, r.to,
		dtls.WithCertificates(certs...), dtls.WithInsecureSkipVerify(true),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithFlightInterval(r.repeat),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.dtls.HandshakeContext(ctx)
}

// join connects: check, handshake, Connected.
func (r *raw) join() *egress.Viewer {
	r.t.Helper()
	if m := r.check(checkOption{nominate: true}); m.Type != stun.BindingSuccess {
		r.t.Fatalf("check: %v", m)
	}
	if err := r.shake(r.cert); err != nil {
		r.t.Fatal(err)
	}
	st, _ := r.dtls.ConnectionState()
	keys := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err := keys.ExtractSessionKeysFromDTLS(&st, true); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if r.out, err = srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile); err != nil {
		r.t.Fatal(err)
	}
	select {
	case v := <-r.connected:
		return v
	case <-time.After(patience):
		r.t.Fatal("not connected")
		return nil
	}
}

// report sends an authenticated receiver report and waits until the gateway
// has taken it.
func (r *raw) report() {
	r.t.Helper()
	plain, err := (&rtcp.ReceiverReport{SSRC: 1}).Marshal()
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := r.out.EncryptRTCP(nil, plain, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(sealed)
	poll(r.t, "proven", func() bool { return r.session.Proven() && r.session.Phase() == "dropped" })
}

// hangs waits until the gateway has said close_notify to us.
func (r *raw) hangs() {
	r.t.Helper()
	_ = r.dtls.SetReadDeadline(time.Now().Add(patience))
	if _, err := r.dtls.Read(make([]byte, 64)); err == nil || err.Error() != "EOF" {
		r.t.Errorf("got %v, want close_notify", err)
	}
}

func (r *raw) ended(want session.Cause) {
	r.t.Helper()
	select {
	case c := <-r.closed:
		if c != want {
			r.t.Errorf("ended by %q, want %q", c, want)
		}
	case <-time.After(patience):
		r.t.Fatalf("not ended: %+v, phase %s", r.session.Info(), r.session.Phase())
	}
}

// plays writes frames until media comes in at our present address.
func (r *raw) plays(v *egress.Viewer, src *source) {
	r.t.Helper()
	here := r.sock.LocalAddr().(*net.UDPAddr).AddrPort()
	poll(r.t, "media at "+here.String(), func() bool {
		src.seq++
		v.Stream("video").Write(&egress.Packet{
			Seq: 1<<16 + src.seq, Timestamp: uint32(src.seq) * 3000, Key: true, Payload: []byte("\x10\x00x"), Arrived: time.Now(),
		})
		for {
			select {
			case at := <-r.media:
				if at == here {
					return true
				}
			default:
				return false
			}
		}
	})
}

// rawPipe is the packet connection under a raw viewer's DTLS.
type rawPipe struct {
	r        *raw
	in       chan []byte
	once     sync.Once
	mu       sync.Mutex
	deadline chan struct{} // closed: reads end
	mute     bool
}

func (p *rawPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	d := p.deadline
	p.mu.Unlock()
	select {
	case m := <-p.in:
		return copy(b, m), p.r.to, nil
	case <-d:
		return 0, nil, net.ErrClosed
	}
}

func (p *rawPipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	mute := p.mute
	p.mu.Unlock()
	if mute {
		return len(b), nil
	}
	return p.r.sock.Write(b)
}

// silence makes the viewer vanish: nothing of its DTLS is sent any more.
func (p *rawPipe) silence() {
	p.mu.Lock()
	p.mute = true
	p.mu.Unlock()
}

func (p *rawPipe) Close() error {
	p.once.Do(func() { close(p.deadline) })
	return nil
}

// SetReadDeadline only knows "now", which is how the DTLS stack ends a read.
func (p *rawPipe) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		_ = p.Close()
	}
	return nil
}

func (p *rawPipe) LocalAddr() net.Addr                { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (p *rawPipe) SetDeadline(t time.Time) error      { return p.SetReadDeadline(t) }
func (p *rawPipe) SetWriteDeadline(_ time.Time) error { return nil }

// attributes of checks that agents send.
func priority() stun.Setter {
	return stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, 1853824767)}
}

func tieBreaker(a stun.AttrType) stun.Setter {
	return stun.RawAttribute{Type: a, Value: binary.BigEndian.AppendUint64(nil, 7)}
}

// bindRaw feeds the viewer's video.
func bindRaw(t *testing.T, v *egress.Viewer, src *source) {
	t.Helper()
	s := v.Stream("video")
	if s == nil {
		t.Fatal("no video stream")
	}
	s.Bind(src, egress.Format{PayloadType: 96, ClockRate: 90000, NACK: true}, nil)
}
