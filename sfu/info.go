package sfu

import (
	"maps"
	"slices"
	"strings"
	"time"
)

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
	Name, Session, Identity string // the publisher's session and identity
	Live                    bool
	Since                   time.Time // of the first media; before that, of Start
	Muted                   Muted
	Tracks                  []TrackInfo
	Viewers                 int
}

// TrackInfo is a snapshot of a track.
type TrackInfo struct {
	Kind   string      // "audio" or "video"
	Codec  string      // "H264", "opus", ...
	Stats  TrackStats  // of all layers
	Layers []LayerInfo // the best first; one without simulcast
}

// TrackStats counts what was received on one track.
type TrackStats struct {
	Packets, Bytes uint64 // Bytes of payload
	Lost           uint64 // missing for good
	Duplicates     uint64
	Malformed      uint64 // datagrams that are no RTP packets
	NACKs          uint64 // sequence numbers asked for
	Recovered      uint64 // of those, how many came
	PLIs           uint64 // keyframe requests sent to the publisher
	Bitrate        uint64 // bit/s over the last second or two
}

func (s *TrackStats) add(o TrackStats) {
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Lost += o.Lost
	s.Duplicates += o.Duplicates
	s.Malformed += o.Malformed
	s.NACKs += o.NACKs
	s.Recovered += o.Recovered
	s.PLIs += o.PLIs
	s.Bitrate += o.Bitrate
}

// Stats sums over all rooms of the node. The numbers of rooms, publications
// (with a publisher) and subscriptions and the bit rate are those of now, the
// others count over the node's whole life.
type Stats struct {
	Rooms, Publications, Subscriptions int
	// Waiting is the subscriptions for which nothing is on air, Idle those of them
	// that were started.
	Waiting, Idle int
	// Unplayable counts how often a viewer could not be given a track because
	// its codec was not in the viewer's offer.
	Unplayable uint64
	TrackStats
}

// Stats sums what the node forwards.
func (rs *Rooms) Stats() Stats {
	s := Stats{Unplayable: rs.unplayable.Load()}
	for _, r := range rs.all() {
		r.mu.Lock()
		if !r.gone {
			s.Rooms++
			s.Subscriptions += len(r.subscriptions)
			s.Waiting += r.waiting
			s.Idle += r.idle
			for _, p := range r.publications {
				if p.current != nil {
					s.Publications++
				}
			}
		}
		r.mu.Unlock()
	}
	rs.mu.Lock()
	s.TrackStats = rs.ended
	tracks := slices.Collect(maps.Keys(rs.tracks))
	rs.mu.Unlock()
	now := time.Now()
	for _, t := range tracks {
		s.add(t.recv.stats(now))
	}
	return s
}

// info is called with the room's lock held.
func (r *room) info() RoomInfo {
	info := RoomInfo{
		Name: r.name, Settings: r.settings, Created: r.created, Explicit: r.explicit,
		Program: r.program, Viewers: len(r.subscriptions),
	}
	now := time.Now()
	for _, p := range r.publications {
		if p.current == nil {
			continue // claimed, but nobody has come yet
		}
		info.Live = info.Live || p.live()
		info.Publications = append(info.Publications, r.publicationInfo(p, now))
	}
	slices.SortFunc(info.Publications, func(a, b PublicationInfo) int { return strings.Compare(a.Name, b.Name) })
	return info
}

// publicationInfo is called with the room's lock held.
func (r *room) publicationInfo(p *publication, now time.Time) PublicationInfo {
	info := PublicationInfo{Name: p.name, Live: p.live(), Muted: r.muted[p.name], Viewers: r.viewers(p.name)}
	c := p.current
	if c == nil {
		return info
	}
	info.Session, info.Identity, info.Since = c.cfg.Session, c.cfg.Identity, c.since
	for _, layers := range c.layers {
		if len(layers) == 0 {
			continue
		}
		track := TrackInfo{Kind: layers[0].cfg.Kind, Codec: layers[0].codecName()}
		for _, t := range layers {
			track.Stats.add(t.recv.stats(now))
			track.Layers = append(track.Layers, t.layerInfo(now))
		}
		info.Tracks = append(info.Tracks, track)
	}
	return info
}
