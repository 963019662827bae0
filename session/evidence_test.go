package session

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
)

// firstWrite is a socket that keeps the first datagram and is then broken.
type firstWrite struct {
	net.PacketConn
	datagram []byte
	done     chan struct{}
}

func (c *firstWrite) WriteTo(b []byte, _ net.Addr) (int, error) {
	if c.datagram == nil {
		c.datagram = append([]byte(nil), b...)
		close(c.done)
	}
	return len(b), nil
}

func (c *firstWrite) ReadFrom([]byte) (int, net.Addr, error) {
	<-c.done
	return 0, nil, errors.New("broken")
}

func (c *firstWrite) Close() error                     { return nil }
func (c *firstWrite) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (c *firstWrite) SetDeadline(time.Time) error      { return nil }
func (c *firstWrite) SetReadDeadline(time.Time) error  { return nil }
func (c *firstWrite) SetWriteDeadline(time.Time) error { return nil }

// clientHello is the first record of a client with these profiles.
func clientHello(t *testing.T, profiles ...dtls.SRTPProtectionProfile) []byte {
	t.Helper()
	socket := &firstWrite{done: make(chan struct{})}
	var options []dtls.ClientOption
	if len(profiles) > 0 {
		options = append(options, dtls.WithSRTPProtectionProfiles(profiles...))
	}
	conn, err := dtls.ClientWithOptions(socket, &net.UDPAddr{}, append(options, dtls.WithInsecureSkipVerify(true))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err == nil {
		t.Fatal("a handshake over a broken socket")
	}
	_ = conn.Close() // of a broken socket
	return socket.datagram
}

func TestProfilesOfAClientHello(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hello []byte
		want  profileVerdict
	}{
		{"ours", clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_80), profilesCommon},
		{"one of ours", clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_32, dtls.SRTP_AEAD_AES_128_GCM), profilesCommon},
		{"another", clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_32), profilesForeign},
		{"no SRTP", clientHello(t), profilesForeign},
	} {
		var e evidence
		e.received(tt.hello)
		if got := profileVerdict(e.profiles.Load()); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	// A part of one says nothing, whatever its length.
	hello := clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_32)
	for n := range len(hello) - 1 {
		var e evidence
		e.received(hello[:n])
		if got := profileVerdict(e.profiles.Load()); got != profilesUnknown {
			t.Fatalf("%d of %d octets: got %d, want nothing", n, len(hello), got)
		}
	}
}

func TestFailureOfAHandshake(t *testing.T) {
	alert := func(level, description byte, epoch byte) []byte {
		return []byte{recordAlert, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 2, level, description}
	}
	foreign := clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_32)
	common := clientHello(t, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	for _, tt := range []struct {
		name     string
		in, out  [][]byte
		want     Cause
		farewell bool
	}{
		{"nothing seen", nil, nil, CauseDTLSFailed, false},
		{"no profile, as server", [][]byte{foreign}, [][]byte{alert(2, 71, 0)}, CauseNoProfile, true},
		{"no profile, as client", [][]byte{alert(2, 71, 0)}, nil, CauseNoProfile, true},
		{"no suite, as server", [][]byte{common}, [][]byte{alert(2, 71, 0)}, CauseDTLSFailed, true},
		{"the peer refuses our certificate", [][]byte{alert(2, 42, 0)}, nil, CauseFingerprint, true},
		{"some other alert", [][]byte{alert(2, 40, 0)}, nil, CauseDTLSFailed, true},
		{"a warning", [][]byte{alert(1, 71, 0)}, nil, CauseDTLSFailed, false},
		{"encrypted", [][]byte{alert(2, 71, 1)}, nil, CauseDTLSFailed, false},
	} {
		var e evidence
		for _, b := range tt.in {
			e.received(b)
		}
		for _, b := range tt.out {
			e.sent(b)
		}
		if got := e.failure(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if got := e.alertIn.Load() != 0 || e.alertOut.Load() != 0; got != tt.farewell {
			t.Errorf("%s: an alert was seen: %t", tt.name, got)
		}
	}
}

func TestWaiting(t *testing.T) {
	began := time.Now()
	const soon, late = noticeAfter - time.Millisecond, noticeAfter
	for _, tt := range []struct {
		name           string
		since, reached time.Duration // reached below 0: never
		checks         uint64
		want           Cause
	}{
		{"just begun", soon, -1, 0, ""},
		{"no check", late, -1, 0, CauseNoICE},
		{"wrong checks", late, -1, 3, CauseICERefused},
		{"reached late", late + time.Second, late, 1, ""},
		{"no handshake", late + time.Second, time.Second, 9, CauseDTLSTimeout},
	} {
		var e evidence
		e.checks.Store(tt.checks)
		first := time.Time{}
		if tt.reached >= 0 {
			first = began.Add(tt.reached)
		}
		if got := e.waiting(began.Add(tt.since), began, first); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzEvidence: what comes before anybody is known may be anything.
func FuzzEvidence(f *testing.F) {
	f.Add([]byte{recordAlert, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 71})
	f.Add([]byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 40, 1, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 28})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var e evidence
		e.received(b)
		e.sent(b)
		e.failure()
	})
}
