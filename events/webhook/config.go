package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// Config configures an Outbox. [DefaultConfig] sets everything that has a
// default.
type Config struct {
	Path    string        // of the file
	URLs    []string      // the endpoints: operators name them, never clients
	Types   []events.Type // only these are sent; none: all
	Secrets []Secret      // at least one
	Log     *slog.Logger

	Timeout time.Duration // of one request, answer and all
	// MinWait and MaxWait bound the time between tries: it doubles from one to
	// the other, and is drawn from its upper half.
	MinWait, MaxWait time.Duration
	// GoneWait is how long an endpoint that answered 410 is left alone.
	GoneWait time.Duration
	// Tries is how often an event may be refused, by an endpoint that answers
	// otherwise, before it is a dead letter.
	Tries int
	// MaxAge is how long an event is tried at all.
	MaxAge  time.Duration
	Workers int // requests in flight to one endpoint

	MaxQueue   int   // bytes of events that wait in memory for the disk
	MaxPending int   // events that wait on disk for one endpoint
	MaxBytes   int64 // bytes of them
	MaxDead    int   // dead letters kept of one endpoint
	DeadBytes  int64 // bytes of them
	DeadAge    time.Duration

	Gather  time.Duration // how long the writer waits for more before it writes
	Recover time.Duration // how long it waits after the disk refused
	Sweep   time.Duration // how often it looks for what grew too old
}

// DefaultConfig has the defaults.
func DefaultConfig() Config {
	return Config{
		Timeout: 10 * time.Second, MinWait: time.Second, MaxWait: 10 * time.Minute, GoneWait: time.Hour,
		Tries: 20, MaxAge: 72 * time.Hour, Workers: 8,
		MaxQueue: 32 << 20, MaxPending: 1_000_000, MaxBytes: 256 << 20,
		MaxDead: 10_000, DeadBytes: 64 << 20, DeadAge: 14 * 24 * time.Hour,
		Gather: 5 * time.Millisecond, Recover: time.Second, Sweep: time.Minute,
	}
}

// Validate tells what cannot work.
func (c *Config) Validate() error {
	var errs []error
	for i, text := range c.URLs {
		if err := CheckURL(text); err != nil {
			errs = append(errs, err)
		}
		if slices.Contains(c.URLs[:i], text) {
			errs = append(errs, fmt.Errorf("%s is there twice", shown(text)))
		}
	}
	if len(c.URLs) > maxEndpoints {
		errs = append(errs, fmt.Errorf("there are more than %d endpoints", maxEndpoints))
	}
	if len(c.Secrets) == 0 {
		errs = append(errs, errors.New("there is no secret to sign with"))
	}
	for _, d := range []time.Duration{c.Timeout, c.MinWait, c.GoneWait, c.MaxAge, c.DeadAge, c.Recover, c.Sweep} {
		if d <= 0 {
			errs = append(errs, errors.New("a duration is not positive"))
		}
	}
	if c.MaxWait < c.MinWait || c.Gather < 0 {
		errs = append(errs, errors.New("the waits contradict each other"))
	}
	if min(c.Tries, c.Workers, c.MaxQueue, c.MaxPending, c.MaxDead) < 1 || min(c.MaxBytes, c.DeadBytes) < 1 {
		errs = append(errs, errors.New("a bound is not positive"))
	}
	return errors.Join(errs...)
}

const maxEndpoints = 16

// CheckURL tells whether a URL can be an endpoint. Errors do not repeat its
// query, in which secrets may stand.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("%s is not an http or https URL", shown(text))
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%s: a user and a fragment do not belong into it", shown(text))
	default:
		return nil
	}
}

// KnownTypes are the types that may be chosen.
func KnownTypes() []events.Type {
	return []events.Type{
		events.SessionJoined, events.SessionLeft, events.PublicationStarted, events.PublicationStopped, events.PublicationMuted,
		events.ProgramChanged, events.LayerChanged, events.QualityChanged, events.RoomChanged, events.RoomEnded, events.MessageSent,
	}
}

// shown is a URL as errors and lists have it: without user, query and fragment.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
