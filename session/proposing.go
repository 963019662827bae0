package session

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluicemedia/sluice/egress"
)

// proposalLimit is how long an offer of the gateway's is good (WHEP section 4.3.2).
const proposalLimit = 30 * time.Second

// proposal is the transport of a viewer who is sent an offer of ours. Until the
// answer comes there is nothing of it but the offer; then it is that of any
// other viewer.
type proposal struct {
	t         *Table
	s         *Session
	connected func(*egress.Viewer, []ViewerSection)
	deadline  time.Time
	limiter   *rate.Limiter

	mu     sync.Mutex // guards what follows; taken before the mux's lock and Session.mu
	draft  *draft     // nil: answered
	viewer *viewer    // nil: no answer yet
	closed bool
}

// draft is what an offer of ours is made of, for as long as it has no answer.
type draft struct {
	offer  *Offer
	config AnswerConfig
	body   answerBody
}

// ProposeViewer makes a session with an offer of the gateway's own, of what is
// on air; a PATCH with the answer has to follow within 30 s. ErrClosed,
// ErrTooMany. Closed may be called before ProposeViewer has returned.
func (t *Table) ProposeViewer(setup ViewerSetup) (*Session, error) {
	s := t.newSession(setup.ID, RoleViewer, setup.Labels, setup.Closed)
	s.diagnose = setup.Diagnose
	local := newCredentials()
	d := &draft{
		offer: propose(setup.Prefer),
		config: AnswerConfig{
			SessionID: newSDPSession(), UFrag: local.ufrag, Pwd: local.pwd, Fingerprint: t.fingerprint,
			Candidates: t.candidates, CNAME: newUFrag(),
		},
		body: answerBody{setup: "actpass", direction: "sendonly"},
	}
	for i := range d.offer.Sections {
		section := &d.offer.Sections[i]
		a := &answerSection{codecs: section.Codecs, extensions: section.extensions, kind: section.Kind, cname: d.config.CNAME}
		a.chooseSSRCs()
		d.body.sections = append(d.body.sections, a)
	}
	text, err := d.offer.fitAnswer(d.config, &d.body)
	if err != nil {
		return nil, err
	}
	p := &proposal{
		t: t, s: s, connected: setup.Connected, draft: d,
		deadline: s.since.Add(t.proposalLimit),
		limiter:  rate.NewLimiter(patchRate, patchBurst),
	}
	return s, t.add(s, p, text)
}

// WriteCounterOffer answers a POST with 406 and an offer of the gateway's own
// (WHEP section 4.3.2).
func (t *Table) WriteCounterOffer(w http.ResponseWriter, s *Session) error {
	// The whole second before the offer ends: whoever keeps to it is in time.
	until := s.since.Add(t.proposalLimit).UTC().Format(http.TimeFormat)
	w.Header().Set("Location", t.SessionURL(s.ID()))
	w.Header().Set("ETag", s.ETag())
	return writeICE(w, http.StatusNotAcceptable, typeSDP+`; valid-until="`+until+`"`, s.Answer())
}

// patch takes the answer: 204. Taken is false when there was one before; then
// the session is like any other.
func (p *proposal) patch(w http.ResponseWriter, r *http.Request) (taken bool, err error) {
	d := p.pending()
	switch {
	case d == nil:
		return false, nil
	case time.Now().After(p.deadline):
		p.s.end(CauseUnanswered)
		return true, ErrNotFound
	case !p.limiter.Allow():
		w.Header().Set("Retry-After", "1")
		return true, ErrRateLimited
	case hasMediaType(r, typeFragment):
		return true, ErrUnanswered
	case !hasMediaType(r, typeSDP):
		w.Header().Set("Accept-Patch", typeSDP)
		return true, ErrMediaType
	}
	body, err := readBody(w, r, ProblemMalformed)
	if err != nil {
		return true, err
	}
	// There is one offer only, so its tag need not be named (WHEP section 4.3.2
	// asks for none).
	if match := r.Header.Values("If-Match"); len(match) > 0 {
		if _, err := precondition(match, p.s.ETag()); err != nil {
			return true, err
		}
	}
	answer, err := d.offer.readAnswer(body)
	if err != nil {
		return true, err
	}
	if err := p.accept(d, answer); err != nil {
		return true, err
	}
	w.Header().Set("ETag", p.s.ETag())
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

// accept makes the viewer that the answer describes.
func (p *proposal) accept(d *draft, answer *Offer) error {
	var sections []ViewerSection
	for _, i := range answer.played() {
		a := *d.body.sections[i]
		a.codecs = answer.Sections[i].Codecs
		a.extensions = answered(answer.Sections[i].extensions, d.body.direction)
		sections = append(sections, a.viewer(&answer.Sections[i]))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrNotFound
	case p.draft == nil: // another answer was quicker
		return ErrMediaType
	}
	p.s.follow(answer)
	// An answer says active or passive (RFC 8842 section 5.3). Where it says
	// neither, waiting for the viewer's ClientHello is right more often.
	active := answer.Setup == "passive"
	p.viewer, p.draft = p.t.newViewer(p.s, answer, d.config, sections, active, p.connected), nil
	return nil
}

// pending is what an answer would answer, nil once there is one.
func (p *proposal) pending() *draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draft
}

// answered is the viewer once the answer has come, nil before.
func (p *proposal) answered() *viewer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.viewer
}

// restart implements transport.
func (p *proposal) restart(f *Fragment) (credentials, error) {
	if v := p.answered(); v != nil {
		return v.restart(f)
	}
	return credentials{}, ErrUnanswered
}

// trickle implements transport.
func (p *proposal) trickle(f *Fragment) {
	if v := p.answered(); v != nil {
		v.trickle(f)
	}
}

// sweep implements transport.
func (p *proposal) sweep(now time.Time) {
	if v := p.answered(); v != nil {
		v.sweep(now)
	} else if now.After(p.deadline) {
		p.s.end(CauseUnanswered)
	}
}

// close implements transport.
func (p *proposal) close() {
	p.mu.Lock()
	p.closed = true
	v := p.viewer
	p.mu.Unlock()
	if v != nil {
		v.close()
	}
}

// answerAfter is how long a viewer may take over its answer before that is worth
// a word: many gather their candidates first, for seconds.
const answerAfter = 10 * time.Second

// diagnose implements transport.
func (p *proposal) diagnose(now time.Time) Cause {
	if v := p.answered(); v != nil {
		return v.diagnose(now)
	}
	if now.Sub(p.s.created()) < answerAfter {
		return ""
	}
	return CauseUnanswered
}

// refine implements transport.
func (p *proposal) refine(c Cause, now time.Time) Cause {
	if v := p.answered(); v != nil {
		return v.refine(c, now)
	}
	return c
}

// fill implements transport.
func (p *proposal) fill(i *Info) {
	if v := p.answered(); v != nil {
		v.fill(i)
		return
	}
	i.Viewer = &egress.ViewerStats{}
}
