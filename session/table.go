package session

import (
	"log/slog"
	"net/netip"
	"time"
)

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

// Ended tells whether the session of this id ended within the last minute.
func (t *Table) Ended(id string) bool { return false }

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

// Close ends the session: close_notify, then silence. It returns at once; Done
// tells when all is over.
func (s *Session) Close(c Cause) {}

// Done is closed when the session has ended and the setup's Closed has returned.
func (s *Session) Done() <-chan struct{} { return nil }

// peer returns the peer's present ICE credentials: those of the offer or of the
// last restart. They tell a restart from a trickle.
func (s *Session) peer() credentials { return credentials{} }

// trickle hands remote candidates to the transport.
func (s *Session) trickle(f *Fragment) {}

// notify runs a callback of the setup. See transport.
func (s *Session) notify(f func()) bool { return false }

// live says that DTLS is up.
func (s *Session) live(profile string) {}

// end ends the session from inside.
func (s *Session) end(c Cause) {}

// heard tells when the session was made; see transport.sweep.
func (s *Session) created() time.Time { return time.Time{} }
