package session

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// ErrRateLimited is returned for a session that is patched too often.
var ErrRateLimited = errors.New("session: too many requests")

// A browser sends one PATCH for each of its candidates, some tens in a burst,
// and a few more when its network changes.
const (
	patchRate  = 20 // a second
	patchBurst = 100
)

// patching is what a session keeps for its PATCH requests.
type patching struct {
	mids    []string // of all sections offered
	limiter *rate.Limiter
	lenient bool // see Config.LenientPatch

	// mu makes the check of a precondition and what follows from it one step.
	// It is held while the session restarts, and taken before any other lock.
	mu       sync.Mutex
	offered  credentials // of the offer
	replaced credentials // those before the last restart
}

func newPatching(o *Offer) *patching {
	mids := make([]string, len(o.Sections))
	for i, s := range o.Sections {
		mids[i] = strings.Clone(s.MID)
	}
	return &patching{
		mids:    mids,
		limiter: rate.NewLimiter(patchRate, patchBurst),
		offered: credentials{ufrag: strings.Clone(o.UFrag), pwd: strings.Clone(o.Pwd)},
	}
}

// patched is the session as seen by its PATCH requests.
type patched interface {
	ETag() string
	Restart(*Fragment) (reply []byte, etag string, err error)
	peer() credentials
	trickle(*Fragment)
}

func (p *patching) serve(w http.ResponseWriter, r *http.Request, s patched) error {
	if !p.limiter.Allow() {
		w.Header().Set("Retry-After", "1")
		return ErrRateLimited
	}
	if !hasMediaType(r, typeFragment) {
		w.Header().Set("Accept-Patch", typeFragment)
		return ErrMediaType
	}
	body, err := readBody(w, r, ProblemFragment)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wildcard, err := precondition(r.Header.Values("If-Match"), s.ETag())
	if errors.Is(err, ErrPreconditionRequired) && p.forgiven(body, s.peer()) {
		err = nil
	}
	if err != nil {
		return err
	}
	f, err := ParseFragment(body)
	if err != nil {
		return err
	}
	restart, err := p.judge(f, s.peer(), wildcard)
	if err != nil {
		return err
	}
	if !restart {
		s.trickle(f)
		w.WriteHeader(http.StatusNoContent) // without ETag: RFC 9725 section 4.3.2
		return nil
	}
	before := s.peer()
	reply, etag, err := s.Restart(f)
	if err != nil {
		return err
	}
	if now := s.peer(); now != before {
		p.replaced = before
	}
	w.Header().Set("ETag", etag)
	return writeICE(w, http.StatusOK, typeFragment, reply)
}

// forgiven tells whether a PATCH without If-Match is taken all the same: its
// credentials say which ICE session it means, and it restarts nothing.
func (p *patching) forgiven(body []byte, now credentials) bool {
	if !p.lenient {
		return false
	}
	f, err := ParseFragment(body)
	return err == nil && credentials{ufrag: f.UFrag, pwd: f.Pwd} == now
}

// judge tells a restart from a trickle: by the credentials, whatever If-Match
// says (RFC 9725 section 4.3.3).
func (p *patching) judge(f *Fragment, now credentials, wildcard bool) (restart bool, err error) {
	for _, mid := range f.MIDs {
		if !slices.Contains(p.mids, mid) && !slices.Contains(p.mids, "") {
			return false, refuse(ProblemFragment, "no section of the offer has the mid %q", mid)
		}
	}
	sent := credentials{ufrag: f.UFrag, pwd: f.Pwd}
	switch {
	case sent == (credentials{}):
		return false, nil
	case sent == now:
		// The present credentials once more are a trickle, or a restart whose
		// answer was lost. Whoever names the tag has had the answer; "*" after a
		// restart has not, and gets the same answer again.
		return wildcard && now != p.offered, nil
	case sent == p.offered || sent == p.replaced:
		return false, ErrPrecondition // a straggler of an ICE session that is over
	case sent.ufrag == now.ufrag || sent.pwd == now.pwd:
		return false, refuse(ProblemFragment, "an ICE restart changes both ice-ufrag and ice-pwd; only one was changed")
	}
	return true, nil
}

// precondition evaluates If-Match (RFC 9110 section 13.1.1). Wildcard tells that
// it was "*", which RFC 9725 prints in quotes in figure 4: both are taken.
// Weak tags never match.
func precondition(fields []string, etag string) (wildcard bool, err error) {
	text := strings.Trim(strings.Join(fields, ","), " \t")
	if text == "" {
		return false, ErrPreconditionRequired
	}
	matched := false
	for tag := range strings.SplitSeq(text, ",") { // tags of ours hold no comma
		switch strings.Trim(tag, " \t") {
		case "*", `"*"`:
			return true, nil
		case etag:
			matched = true
		}
	}
	if !matched {
		return false, ErrPrecondition
	}
	return false, nil
}
