package session

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// Errors that callers act on.
var (
	ErrNotFound             = errors.New("session: no such session")
	ErrMediaType            = errors.New("session: wrong media type")
	ErrTooLarge             = errors.New("session: body too large")
	ErrTimeout              = errors.New("session: body came too slowly")
	ErrPrecondition         = errors.New("session: If-Match does not match")
	ErrPreconditionRequired = errors.New("session: If-Match is missing")
	ErrClosed               = errors.New("session: stopping")
	ErrTooMany              = errors.New("session: too many sessions")
)

// Cause says why a session ended (or stays silent): a closed list.
type Cause string

// The causes.
const (
	CauseDeleted     Cause = "deleted"             // DELETE on the session URL
	CausePeerClosed  Cause = "closed-by-peer"      // DTLS close_notify
	CauseNoICE       Cause = "no-ice"              // no connectivity check ever came
	CauseDTLSTimeout Cause = "dtls-timeout"        // checks came, the handshake did not end
	CauseDTLSFailed  Cause = "dtls-failed"         // alert, no SRTP profile in common, ...
	CauseFingerprint Cause = "fingerprint-differs" // the certificate is not the one of the offer
	CauseConsentLost Cause = "consent-lost"        // nothing was heard for 30 s
	CauseReplaced    Cause = "replaced"            // another publisher took over
	CauseRoomEnded   Cause = "room-ended"          // the room was deleted, or nobody publishes
	CauseKicked      Cause = "kicked"
	CauseDrained     Cause = "drained" // the node stops
	CauseInternal    Cause = "internal"
)

// Role is what a session does.
type Role string

// The roles.
const (
	RolePublisher Role = "publisher"
	RoleViewer    Role = "viewer"
)

// Labels say what a session is for; they go into logs and lists.
type Labels struct {
	Room, Publication, Identity string
}

// Config is how a Table is set up.
type Config struct {
	Node      string         // node name: first part of session ids
	URL       string         // public base URL, no trailing slash: Location
	Media     netip.AddrPort // UDP listen address; port 0: any
	Advertise []netip.Addr   // addresses for candidates; empty: the listener's, or the interfaces'
	// Times; zero means the default.
	ConnectTimeout time.Duration // 201 to DTLS up; default 40 s (RFC 8863)
	ConsentTimeout time.Duration // silence that ends a session; default 30 s
}

// PublisherSetup is what whip wants to know of a publisher's session. The
// functions are called one at a time, never after Closed returned, and must
// not block.
type PublisherSetup struct {
	Labels    Labels
	Connected func() error // DTLS is up; an error ends the session
	Track     func(*IncomingTrack)
	Closed    func(Cause)
}

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

// ViewerSetup is what whep wants to know of a viewer's session, as
// PublisherSetup.
type ViewerSetup struct {
	Labels    Labels
	Prefer    []webrtc.RTPCodecCapability // codecs on air
	Connected func(v *egress.Viewer, sections []ViewerSection)
	Closed    func(Cause)
}

// Table holds the sessions of this node and the media socket they share.
type Table struct{}

// NewTable opens the media socket.
func NewTable(cfg Config, log *slog.Logger) (*Table, error) { return nil, errTODO }

// MediaAddr is the address of the media socket.
func (t *Table) MediaAddr() netip.AddrPort { return netip.AddrPort{} }

// Candidates are the addresses put into answers.
func (t *Table) Candidates() []netip.AddrPort { return nil }

// OpenPublisher answers a publisher's offer. *OfferError, ErrClosed, ErrTooMany.
func (t *Table) OpenPublisher(o *Offer, s PublisherSetup) (*Session, error) { return nil, errTODO }

// OpenViewer answers a viewer's offer. *OfferError, ErrClosed, ErrTooMany.
func (t *Table) OpenViewer(o *Offer, s ViewerSetup) (*Session, error) { return nil, errTODO }

// Find returns a living session by its id ("node.secret").
func (t *Table) Find(id string) (*Session, error) { return nil, ErrNotFound }

// List returns all living sessions.
func (t *Table) List() []*Session { return nil }

// Close ends all sessions with close_notify and closes the socket.
func (t *Table) Close() error { return nil }

// Session is one WHIP or WHEP session.
type Session struct{}

// ID is "node.secret", the last element of the session URL.
func (s *Session) ID() string { return "" }

// Answer is the SDP answer of the POST.
func (s *Session) Answer() []byte { return nil }

// ETag is the entity tag of the present ICE session, quoted (RFC 9725 section 4.3.1).
func (s *Session) ETag() string { return "" }

// Info is a snapshot of the session.
func (s *Session) Info() Info { return Info{} }

// Restart does an ICE restart with the peer's new credentials and returns the
// gateway's side: new credentials and all candidates. The same credentials
// again return the same result. On error the old ICE session goes on.
func (s *Session) Restart(f *Fragment) (reply []byte, etag string, err error) {
	return nil, "", errTODO
}

// Close ends the session: close_notify, then silence.
func (s *Session) Close(c Cause) {}

// Info is a snapshot of a session.
type Info struct {
	ID      string
	Role    Role
	Labels  Labels
	State   string // "connecting", "live", "silent" or "ended"
	Cause   Cause
	Since   time.Time
	Viewer  *egress.ViewerStats // viewers only
	RTT     time.Duration
	Profile string // SRTP protection profile, "" before DTLS is up
}
