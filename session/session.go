package session

import (
	"errors"
	"net/netip"
	"time"

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
	ErrUnanswered           = errors.New("session: the offer has no answer yet")
	ErrTooMany              = errors.New("session: too many sessions")
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
	Room, Publication string
	Identity          string // of whoever opened it, "" without authentication
	Name              string // of the same, to show to people
	Token             Token  // that opened it
}

// Token is what of a token goes on counting after the session was opened.
type Token struct {
	ID              string    // "": there is none
	Issued, Expires time.Time // zero: not known, never
}

// Config is how a Table is set up.
type Config struct {
	Node      string         // node name: first part of session ids
	URL       string         // public base URL, no trailing slash: Location
	Media     netip.AddrPort // UDP listen address; port 0: any
	Advertise []netip.Addr   // addresses for candidates; empty: the listener's, or the interfaces'
	Simulcast bool           // take all layers of a publisher's video; false: it sends one stream
	// LenientPatch takes a PATCH without If-Match that names the present ICE
	// credentials as a trickle.
	LenientPatch bool
	// Times; zero means the default.
	ConnectTimeout time.Duration // 201 to DTLS up; default 40 s (RFC 8863)
	ConsentTimeout time.Duration // silence that ends a session; default 30 s
	// OnEvent is told what happens to sessions, nil: nobody. For each of them the
	// calls are in order, one at a time. It must not block, and may call
	// nothing of a Table that waits for a session.
	OnEvent func(Event)
}

// PublisherSetup is what whip wants to know of a publisher's session. The
// functions are called one at a time, never after Closed returned, and must
// not block.
type PublisherSetup struct {
	ID        string // from Table.NewID; "": made up
	Labels    Labels
	Remote    netip.Addr   // where the POST came from; bounds unconnected sessions (zero or loopback: no bound)
	Connected func() error // DTLS is up; an error ends the session
	Track     func(*IncomingTrack)
	Closed    func(Cause)
	// Diagnose says what is wrong with the media of a connected session, "" for
	// nothing. Unlike the others it may run beside them. nil: nobody knows.
	Diagnose func(now time.Time) Cause
}

// ViewerSetup is what whep wants to know of a viewer's session, as
// PublisherSetup.
type ViewerSetup struct {
	ID        string // from Table.NewID; "": made up
	Labels    Labels
	Prefer    []webrtc.RTPCodecCapability // codecs on air
	Connected func(v *egress.Viewer, sections []ViewerSection)
	Closed    func(Cause)
	Diagnose  func(now time.Time) Cause // as PublisherSetup's
}

// Info is a snapshot of a session.
type Info struct {
	ID      string // see PublicID
	Role    Role
	Labels  Labels
	State   string // "connecting", "live", "silent" or "ended"
	Cause   Cause  // why it ended, or what is wrong with it now; "" when all is well
	Since   time.Time
	Viewer  *egress.ViewerStats // viewers only
	RTT     time.Duration
	Profile string // SRTP protection profile, "" before DTLS is up
}
