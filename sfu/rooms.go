package sfu

import (
	"errors"
	"log/slog"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// Errors that callers act on.
var (
	ErrPublicationBusy = errors.New("sfu: the publication is live from another publisher")
	ErrNotLive         = errors.New("sfu: nothing is on air")
	ErrRoomNotFound    = errors.New("sfu: no such room")
	ErrRoomExists      = errors.New("sfu: the room exists already")
	ErrTooMany         = errors.New("sfu: the room is full")
	ErrName            = errors.New("sfu: not a legal name")
	ErrClosed          = errors.New("sfu: closed")
)

// Rooms is the set of rooms of this node.
type Rooms struct{}

// NewRooms makes an empty set.
func NewRooms(cfg Config, log *slog.Logger) *Rooms { return &Rooms{} }

// Config bounds rooms.
type Config struct {
	MaxRooms        int // 0: no limit
	MaxPublications int // per room, when the room says nothing; 0: no limit
	MaxViewers      int // per room, when the room says nothing; 0: no limit
}

// DefaultConfig is what a node runs with when nothing is configured.
func DefaultConfig() Config { return Config{} }

// Settings are what the owner of a room decides about it.
type Settings struct {
	Wait            bool // viewers may come before the publisher
	Replace         bool // a second publisher takes over even from a live one
	MaxPublications int  // 0: the node's default
	MaxViewers      int  // 0: the node's default
}

// RoomInfo is a snapshot of a room.
type RoomInfo struct {
	Name         string
	Settings     Settings
	Created      time.Time
	Explicit     bool   // made by Create; an implicit room goes when it is empty
	Live         bool   // at least one publication is on air
	Program      string // what a viewer without a publication name gets; "" none
	Publications []PublicationInfo
	Viewers      int
}

// PublicationInfo is a snapshot of a publication.
type PublicationInfo struct {
	Name, Session, Identity string
	Live                    bool
	Since                   time.Time
	Tracks                  []TrackInfo
	Viewers                 int
}

// TrackInfo is a snapshot of a track.
type TrackInfo struct {
	Kind  string // "audio" or "video"
	Codec string // "H264", "opus", ...
	Stats TrackStats
}

// TrackStats counts what was received on one track.
type TrackStats struct {
	Packets, Bytes uint64
	Lost           uint64 // missing for good
	Duplicates     uint64
	NACKs          uint64 // sequence numbers asked for
	Recovered      uint64 // of those, how many came
	PLIs           uint64 // keyframe requests sent to the publisher
	Bitrate        uint64 // bit/s over the last second or two
}

// Create makes a room that stays until Delete. ErrRoomExists, ErrName, ErrTooMany.
func (r *Rooms) Create(name string, s Settings) (RoomInfo, error) { return RoomInfo{}, nil }

// Update changes the settings of a room. ErrRoomNotFound.
func (r *Rooms) Update(name string, s Settings) (RoomInfo, error) { return RoomInfo{}, nil }

// Delete ends a room: all claims and subscriptions in it end. ErrRoomNotFound.
func (r *Rooms) Delete(name string) error { return nil }

// Info returns a room. ErrRoomNotFound.
func (r *Rooms) Info(name string) (RoomInfo, error) { return RoomInfo{}, nil }

// List returns all rooms by name.
func (r *Rooms) List() []RoomInfo { return nil }

// Stats sums what the node forwards.
func (r *Rooms) Stats() Stats { return Stats{} }

// Stats sums over all rooms of the node, over its whole life.
type Stats struct {
	Rooms, Publications, Subscriptions int
	TrackStats
}

// ClaimConfig describes a publisher's session.
type ClaimConfig struct {
	Session  string // session id, for lists and logs
	Identity string // "" without authentication
	// Replaced is called, on a goroutine of its own, when the claim lost the
	// publication to another or the room was deleted.
	Replaced func()
}

// Claim is one publisher's session on a publication.
type Claim struct{}

// Publish claims a publication (name "" is "main"), making the room where
// needed. It does not disturb a publisher who is there: see Claim.Start.
// ErrPublicationBusy when one is, and may not be replaced: the contract's rule
// is that a newcomer takes over when no media came in the last 2 s (also none
// ever), when the identities are equal and not empty, or when the room says so.
func (r *Rooms) Publish(room, name string, cfg ClaimConfig) (*Claim, error) { return &Claim{}, nil }

// Start makes the claim the publication's publisher: called when its DTLS is
// up. A previous claim is told by Replaced. ErrPublicationBusy when another
// has become live meanwhile, ErrClosed when the claim was closed.
func (c *Claim) Start() error { return nil }

// Close gives the publication up; viewers stay and wait for the next publisher.
func (c *Claim) Close() {}

// Source is one incoming RTP stream.
type Source interface {
	// Read blocks for the next RTP packet, retransmissions already undone (RFC
	// 4588); any error ends the track.
	Read(b []byte) (n int, err error)
	// WriteRTCP sends feedback to the publisher.
	WriteRTCP(pkts []rtcp.Packet) error
}

// TrackConfig describes an incoming RTP stream.
type TrackConfig struct {
	Kind       string // "audio" or "video"
	Codec      webrtc.RTPCodecCapability
	SSRC       uint32
	RID        string
	Extensions map[uint8]egress.ExtensionKind // ids of the publisher's numbering
}

// AddTrack starts forwarding a stream. It may come before Start: then packets
// are read and dropped until Start. A second track of a kind replaces the first.
func (c *Claim) AddTrack(cfg TrackConfig, src Source) (*Track, error) { return &Track{}, nil }

// Track is one incoming RTP stream of a claim; it implements egress.Source.
type Track struct{}

// SenderReport tells the track of the publisher's sender report.
func (t *Track) SenderReport(ntp uint64, rtp uint32, arrived time.Time) {}

// Sink is where a subscription sends one kind of media: a stream of the viewer
// and how the viewer's offer calls a codec (false: it cannot decode it).
type Sink struct {
	Stream *egress.Stream
	Format func(webrtc.RTPCodecCapability) (egress.Format, bool)
}

// SubscriptionConfig describes a viewer's session.
type SubscriptionConfig struct {
	Session string
	// Ended is called, on a goroutine of its own, when the room was deleted or
	// nobody published for the time of Linger.
	Ended func()
}

// Subscription is one viewer's session on a publication, or on the room's
// program when it was made without a name.
type Subscription struct{}

// Subscribe registers a viewer. ErrNotLive when nothing is on air and the room
// does not say wait; ErrRoomNotFound when there is no such room; ErrTooMany.
func (r *Rooms) Subscribe(room, publication string, cfg SubscriptionConfig) (*Subscription, error) {
	return &Subscription{}, nil
}

// Codecs are those on air now, for the answer to prefer; empty when not live.
func (s *Subscription) Codecs() []webrtc.RTPCodecCapability { return nil }

// Start binds the sinks (nil: that kind is not wanted): media flows from now
// on, from the last keyframe, and over every change of publisher or program.
func (s *Subscription) Start(audio, video *Sink) {}

// Close ends the subscription.
func (s *Subscription) Close() {}
