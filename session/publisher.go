package session

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// IncomingTrack is one RTP stream of a publisher.
type IncomingTrack struct {
	Kind       string
	Codec      webrtc.RTPCodecCapability
	SSRC       uint32
	RID        string
	Extensions map[uint8]egress.ExtensionKind
	// OnSenderReport, set inside PublisherSetup.Track, is called for every
	// sender report of the stream.
	OnSenderReport func(ntp uint64, rtp uint32, arrived time.Time)
}

// Read blocks for the next RTP packet of the stream.
func (t *IncomingTrack) Read(b []byte) (int, error) { return 0, errTODO }

// WriteRTCP sends feedback to the publisher.
func (t *IncomingTrack) WriteRTCP(pkts []rtcp.Packet) error { return errTODO }

// ingestConfig is what the Table gives to its publishers' side.
type ingestConfig struct {
	// side is the publishers' part of the media socket, made for
	// ice.NewUDPMuxDefault. Only datagrams of ufrags registered with mux, and of
	// addresses that the ice package has answered with success, arrive there.
	side        net.PacketConn
	mux         *mux             // openRoute registers ufrags
	certificate tls.Certificate  // shared with viewers
	fingerprint string           // of certificate, sha-256, colon form
	candidates  []netip.AddrPort // for AnswerConfig
	log         *slog.Logger
}

// ingest makes the transports of publishers.
type ingest struct{}

// newIngest prepares what all publishers share: the ice package's UDP mux and
// the webrtc.API.
func newIngest(cfg ingestConfig) (*ingest, error) { return &ingest{}, nil }

// open answers a publisher's offer. The transport calls s.notify around each
// function of setup but Closed, s.live once DTLS is up, and s.end when it is
// over by itself. Errors are *OfferError or internal ones.
func (i *ingest) open(s *Session, o *Offer, setup PublisherSetup) (tr transport, answer []byte, err error) {
	return nil, nil, errTODO
}

// close ends what newIngest started; all transports were closed before.
func (i *ingest) close() error { return nil }
