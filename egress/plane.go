package egress

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pion/srtp/v3"
)

// ErrClosed is returned by operations on a closed Plane or Viewer.
var ErrClosed = errors.New("egress: closed")

// PacketWriter is the sending half of the media socket.
type PacketWriter interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// Plane is the sending side of the media socket, shared by all viewers.
type Plane struct{}

// NewPlane starts a plane that writes to conn.
func NewPlane(conn PacketWriter, log *slog.Logger) *Plane { return &Plane{} }

// Close ends the plane's own goroutines; no viewer sends after it.
func (p *Plane) Close() error { return nil }

// Keys are the SRTP master keys of one viewer, from the DTLS exporter
// (RFC 5764 section 4.2). Local is what the gateway seals with.
type Keys struct {
	Profile               srtp.ProtectionProfile
	LocalKey, LocalSalt   []byte
	RemoteKey, RemoteSalt []byte
}

// StreamConfig describes one media section of a viewer.
type StreamConfig struct {
	Kind       string // "audio" or "video"
	MID        string
	SSRC       uint32
	RTXSSRC    uint32                  // 0: no retransmission stream was negotiated
	Extensions map[ExtensionKind]uint8 // negotiated ids, 1 to 14
}

// ViewerConfig describes one WHEP session.
type ViewerConfig struct {
	CNAME   string
	Streams []StreamConfig // at most one of a kind
}

// Viewer is one WHEP session as the plane sees it. Its methods may be called
// from any goroutine.
type Viewer struct{}

// NewViewer makes a viewer that cannot send yet: Start gives it keys.
func (p *Plane) NewViewer(cfg ViewerConfig) *Viewer { return &Viewer{} }

// Stream returns the viewer's stream of a kind, nil if there is none.
func (v *Viewer) Stream(kind string) *Stream { return nil }

// Start installs the keys and the viewer's address; what is bound flows now.
func (v *Viewer) Start(k Keys, addr netip.AddrPort) error { return nil }

// Move changes the address that media is sent to.
func (v *Viewer) Move(addr netip.AddrPort) {}

// HandleRTCP opens one SRTCP datagram of the viewer and acts on it: NACKs are
// answered, keyframe requests go to the bound source, reports feed the
// statistics. Once it returned nil, the viewer has proven to hold the keys.
func (v *Viewer) HandleRTCP(datagram []byte) error { return nil }

// Stop ends sending for good: RTCP BYE, streams unbound, keys dropped.
func (v *Viewer) Stop() {}

// Stats returns a copy of the viewer's counters.
func (v *Viewer) Stats() ViewerStats { return ViewerStats{} }

// ViewerStats counts what one viewer was sent and what it said of it.
type ViewerStats struct {
	Packets, Bytes   uint64 // first transmissions of RTP, payload bytes
	Retransmitted    uint64 // packets sent again
	NACKs            uint64 // sequence numbers asked for
	KeyframeRequests uint64
	Refused          uint64        // RTCP datagrams that could not be opened or parsed
	LossFraction     float64       // video, of the last receiver report, 0 to 1
	Lost             uint64        // cumulative over the streams, from receiver reports
	Jitter           time.Duration // of the last video receiver report
	RTT              time.Duration // 0: not known yet
	FirstVideo       time.Time     // when the first video packet was sent; zero: none yet
}
