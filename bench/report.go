package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
)

// Report is what was measured. Times in it are milliseconds unless their names say
// otherwise; a field that could not be measured is left out.
type Report struct {
	WHIP    string   `json:"whip,omitempty"`
	WHEP    string   `json:"whep,omitempty"`
	Stream  *Stream  `json:"stream,omitempty"` // what was published
	SRTP    []string `json:"srtp_offered"`
	Machine Machine  `json:"machine"`
	// BeforeRSS is that of the server with the publisher and no viewer.
	BeforeRSS   int64  `json:"rss_kib_before_viewers,omitempty"`
	Steps       []Step `json:"steps"`
	Limit       *Limit `json:"limit,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
}

// Stream is what the publisher sends.
type Stream struct {
	Bitrate   int     `json:"video_bit_s"`
	FrameRate int     `json:"frames_s"`
	Spacing   float64 `json:"spacing_us"`
}

// Machine is where the generator runs.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"` // that the generator may use
	Go   string `json:"go"`
}

// Step is what was measured of one number of viewers.
type Step struct {
	Viewers   Viewers   `json:"viewers"`
	Profile   string    `json:"srtp_profile,omitempty"`
	Join      Join      `json:"join"`
	Media     Media     `json:"media"`
	Server    *Server   `json:"server,omitempty"`
	Generator Generator `json:"generator"`
	Histogram []Bar     `json:"latency_histogram,omitempty"`
}

// Viewers is how many there were of each kind.
type Viewers struct {
	Asked     int `json:"asked"`     // in this step, with those who were there before
	Connected int `json:"connected"` // when the measuring began
	Sampled   int `json:"sampled"`   // of the connected: those who decrypt
	Refused   int `json:"refused"`   // by 503, those of churn included
	Failed    int `json:"failed"`    // to join, for any other reason, those of churn included
	Silent    int `json:"silent"`    // connected all the time, and received nothing
	Closed    int `json:"closed"`    // by the server, or its consent was missing
	Replaced  int `json:"replaced"`  // by churn
}

// Join is how the new viewers of a step came in.
type Join struct {
	Tried         int        `json:"tried"`
	Seconds       float64    `json:"seconds"` // for all of them
	PerSecond     float64    `json:"per_second"`
	ServerCPU     *float64   `json:"server_cpu_ms_per_join,omitempty"`
	OwnCPU        float64    `json:"generator_cpu_ms_per_join"`
	Post          *Quantiles `json:"post_ms,omitempty"`           // POST to 201
	Connected     *Quantiles `json:"connected_ms,omitempty"`      // POST to keys
	FirstMedia    *Quantiles `json:"first_media_ms,omitempty"`    // POST to first packet
	FirstKeyframe *Quantiles `json:"first_keyframe_ms,omitempty"` // POST to first keyframe, sampled viewers
	Refusal       *Quantiles `json:"refusal_ms,omitempty"`        // POST to 503
	RetryAfter    int        `json:"refused_with_retry_after"`
	Failures      []Failure  `json:"failures,omitempty"`
	Others        *Others    `json:"others,omitempty"`
}

// Others is what viewers who were there before got during the joins.
type Others struct {
	Viewers   int      `json:"viewers"`
	Latency   *Latency `json:"latency_ms,omitempty"`
	StampLoss float64  `json:"loss_percent_stamps"`
	Loss      float64  `json:"loss_percent_sequence"`
}

// Failure is a reason and how many joins it ended.
type Failure struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// Quantiles is of times of joins.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Media is what all connected viewers got while it was measured.
type Media struct {
	Seconds   float64  `json:"seconds"`
	Published float64  `json:"published_packets_s,omitempty"`
	Received  float64  `json:"received_packets_s"`
	Packets   uint64   `json:"received_packets"`
	Mbit      float64  `json:"received_mbit_s"`
	Latency   *Latency `json:"latency_ms,omitempty"` // from sending to arrival, sampled viewers

	StampLoss     *float64 `json:"loss_percent_stamps,omitempty"` // end to end, sampled viewers
	StampsMissing uint64   `json:"missing_stamps"`
	Stamps        uint64   `json:"received_stamps"`
	Loss          float64  `json:"loss_percent_sequence"` // by the server's numbers, all viewers
	Missing       uint64   `json:"missing_packets"`
	Late          uint64   `json:"late_packets"`     // out of order
	Twice         uint64   `json:"repeated_packets"` // the same number again
	Undecryptable uint64   `json:"undecryptable_packets"`
	// Short is what is missing of published packets times viewers; not with churn. It
	// is less than nothing when a queue from before was worked off.
	Short     *float64 `json:"short_percent,omitempty"`
	Keyframes uint64   `json:"keyframes"`
	Requests  uint64   `json:"keyframe_requests"`
}

// Latency is one-way, from before the publisher seals a packet to its arrival at
// the viewer's socket.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Server is what the server's process and core used while it was measured.
type Server struct {
	Cores          float64  `json:"cores"`
	CoreBusy       *float64 `json:"core_busy,omitempty"` // share of the core that was not idle, whoever used it
	CPUPerPacket   float64  `json:"cpu_us_per_packet"`
	CPUPerGB       float64  `json:"cpu_s_per_gb"`
	ViewersPerCore float64  `json:"viewers_per_core"`
	RSS            int64    `json:"rss_kib"`
	PeakRSS        int64    `json:"peak_rss_kib"`
	RSSPerViewer   float64  `json:"rss_kib_per_viewer"`
}

// Generator is what the measuring itself took, and whether it was at its limit.
type Generator struct {
	Cores float64 `json:"cores"`
	CPUs  int     `json:"cpus"`
	// Dropped is datagrams that reached a viewer's socket and found no room.
	Dropped uint64 `json:"dropped_packets"`
	// Late is how late the publisher's frames were.
	Late *Quantiles `json:"publisher_late_ms,omitempty"`
	// Limit says why figures of this step tell of the generator; "": they do not.
	Limit string `json:"limit,omitempty"`
}

// Bar is how many packets of sampled viewers had a latency of no more than UpTo,
// and more than that of the bar before.
type Bar struct {
	UpTo    float64 `json:"up_to_ms"`
	Packets uint64  `json:"packets"`
}

// Limit is where --find-limit ended.
type Limit struct {
	Viewers int    `json:"viewers"` // the most that were served well
	Reason  string `json:"reason"`  // what was wrong with more
	// Generator: the server might serve more, the generator could not tell.
	Generator bool `json:"generator"`
}

// Served tells whether every viewer that the server did not refuse was served.
func (r *Report) Served() bool {
	for _, s := range r.Steps {
		if v := s.Viewers; v.Failed > 0 || v.Silent > 0 || v.Closed > 0 {
			return false
		}
	}
	return !r.Interrupted
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("bench: write the report: %w", err)
	}
	return nil
}

// ms is a duration as reports have it: microseconds are the last digit.
func ms(d time.Duration) float64 { return rounded(float64(d)/float64(time.Millisecond), 3) }

func rounded(x float64, places int) float64 {
	p := math.Pow10(places)
	return math.Round(x*p) / p
}

// percent is what share of the whole is missing.
func percent(missing, got uint64) float64 {
	if missing == 0 {
		return 0
	}
	return rounded(100*float64(missing)/float64(missing+got), 4)
}

func (h *histogram) quantiles() *Quantiles {
	if h.n == 0 {
		return nil
	}
	return &Quantiles{P50: ms(h.quantile(.5)), P99: ms(h.quantile(.99)), Max: ms(h.max)}
}

func (h *histogram) latencies() *Latency {
	if h.n == 0 {
		return nil
	}
	return &Latency{P50: ms(h.quantile(.5)), P95: ms(h.quantile(.95)), P99: ms(h.quantile(.99)), Max: ms(h.max)}
}
