package gateway

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/events/webhook"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
	"github.com/sluicemedia/sluice/whep"
)

// problem is what clients are told of one kind of error (RFC 9457). Its name
// is the last element of the type and of the page that explains it.
type problem struct {
	name   string
	status int
	title  string // what happened
	remedy string // what to do
	// retryAfter, when not zero, is the mean of the Retry-After sent along,
	// in seconds. It is spread by a third, so that a crowd comes back apart.
	retryAfter int
}

// problems is the one place where errors get their HTTP status.
var problems = []problem{
	{"not-found", http.StatusNotFound, "There is nothing here.", "Check the path. Names are 1 to 64 of A-Z a-z 0-9 . _ - and do not begin with a dot; a slash at the end and the case of letters matter.", 0},
	{"room-not-found", http.StatusNotFound, "There is no such room.", "Publish into it, or make it with POST /v1/rooms.", 0},
	{"session-not-found", http.StatusNotFound, "There is no such session.", "It has ended, or the URL is not the Location of the 201. POST a new offer.", 0},
	{"stream-not-found", http.StatusNotFound, "There is no such event stream.", "It was ended, or the URL is not the Location of the 201. POST to the events URL of the session for a new one.", 0},
	{"dead-letter-not-found", http.StatusNotFound, "There is no such dead letter.", "It was replayed or let go, or its endpoint is configured no more. GET /v1/webhooks/dead lists those that are there.", 0},
	{"revocation-not-found", http.StatusNotFound, "There is no such revocation.", "It was undone or has ended by itself, or is about a room that the token does not administer. GET /v1/revocations lists those that are there.", 0},
	{"method-not-allowed", http.StatusMethodNotAllowed, "This method is not for this resource.", "The Allow header lists those that are.", 0},

	{"unauthorized", http.StatusUnauthorized, "A token is needed.", "Send Authorization: Bearer and your token. In OBS, put the token into Bearer Token; in ffmpeg, use -authorization.", 0},
	{"invalid-token", http.StatusUnauthorized, "The token is not known.", "Check it for missing characters, or ask the operator for a new one.", 0},
	{"token-expired", http.StatusUnauthorized, "The token has come to its end.", "Ask for a new token where this one came from.", 0},
	{"token-revoked", http.StatusUnauthorized, "The token was taken back.", "Ask whoever gave you the token for another one.", 0},
	{"token-not-yet-valid", http.StatusUnauthorized, "The token is not valid yet.", "Wait for the time in its nbf or iat claim. If that should be over, compare the clocks of both sides.", 0},
	{"auth-unavailable", http.StatusServiceUnavailable, "Nobody who knows the token answers.", "Try again after the time in Retry-After. The operator finds the reason in the log.", 5},
	{"other-identity", http.StatusForbidden, "The token is somebody else's.", "Refresh a session with a token of the same identity (sub) as the one that opened it.", 0},
	{"token-not-newer", http.StatusUnprocessableEntity, "The token ends before the one that the session has.", "Refresh a session with a newer token.", 0},
	{"insufficient-scope", http.StatusForbidden, "The token does not allow this.", "Ask the operator for a token with the grant for this room.", 0},

	{"alias-without-room", http.StatusUnprocessableEntity, "The bearer token names no room.", "On /api/whip and /api/whep the bearer token is the name of the room: 1 to 64 of A-Z a-z 0-9 . _ -. With authentication it is a token for exactly one room.", 0},
	{"too-many-requests", http.StatusTooManyRequests, "The session was sent too many requests.", "Send several candidates in one PATCH, and slower.", 1},
	{"too-many-failures", http.StatusTooManyRequests, "Too many requests from this address have failed.", "Correct what is wrong with them, and wait for the time in Retry-After. Requests that are right are answered all the same.", 3},
	{"too-many-passwords", http.StatusTooManyRequests, "Too many passwords were tried for this room.", "Wait for the time in Retry-After. Five tries a minute are allowed; ask whoever invited you for the right one.", 12},
	{"too-many-rooms", http.StatusTooManyRequests, "Rooms are made too fast.", "Make fewer at a time: 100 at once and 10 a second are allowed. A room also comes into being by itself when somebody publishes there.", 3},
	{"too-many-listeners", http.StatusTooManyRequests, "Too many event streams are open.", "Close those that nobody reads. One address may have 200, one room 5000.", 10},
	{"too-many-streams", http.StatusTooManyRequests, "The session has too many event streams.", "End one with DELETE, or read one that is there.", 10},
	{"too-many-messages", http.StatusTooManyRequests, "Too many messages were sent.", "Send slower: 20 a second, and 60 at once.", 2},
	{"too-many-tests", http.StatusTooManyRequests, "Webhooks were tested a moment ago.", "Wait for the time in Retry-After.", 2},
	{"media-type", http.StatusUnsupportedMediaType, "The body has the wrong media type.", "Send offers as application/sdp, fragments as application/trickle-ice-sdpfrag, everything else as application/json.", 0},
	{"too-large", http.StatusRequestEntityTooLarge, "The body is too large.", "Offers, fragments and JSON are bounded at 64 KiB.", 0},
	{"too-slow", http.StatusRequestTimeout, "The body came too slowly.", "Send it within 5 seconds.", 0},
	{"precondition-missing", http.StatusPreconditionRequired, "If-Match is missing.", "Send the ETag of the 201, or of the last ICE restart, in If-Match.", 0},
	{"precondition-failed", http.StatusPreconditionFailed, "If-Match names an ICE session that is over.", "Send the ETag of the 201, or of the last ICE restart, in If-Match.", 0},

	{session.ProblemMalformed, http.StatusBadRequest, "The body is not SDP that can be read.", "Send the SDP as the browser or encoder made it, whole, as the body.", 0},
	{session.ProblemFragment, http.StatusBadRequest, "The fragment cannot be read.", "Send an SDP fragment as in RFC 8840: ice-ufrag, ice-pwd, and the mid of a section of the offer.", 0},
	{session.ProblemDirection, http.StatusUnprocessableEntity, "A section goes in the wrong direction.", "Publishers offer sendonly or sendrecv, viewers recvonly or sendrecv, in every section. Who answers our offer is recvonly.", 0},
	{session.ProblemTooManyTracks, http.StatusUnprocessableEntity, "The offer has more than one track of a kind.", "Offer one audio and one video section at most.", 0},
	{session.ProblemMultipleStreams, http.StatusUnprocessableEntity, "The offer has more than one media stream.", "Add all tracks to one MediaStream.", 0},
	{session.ProblemNoCommonCodec, http.StatusUnprocessableEntity, "No codec is common to both sides.", "Offer one of the codecs that the detail names.", 0},
	{session.ProblemNoBundle, http.StatusUnprocessableEntity, "The sections are not bundled.", "Offer one BUNDLE group with all sections (bundlePolicy max-bundle).", 0},
	{session.ProblemNoRTCPMux, http.StatusUnprocessableEntity, "RTCP is not multiplexed with RTP.", "Offer a=rtcp-mux (rtcpMuxPolicy require).", 0},
	{session.ProblemDTLSSetup, http.StatusUnprocessableEntity, "The DTLS setup attribute cannot be answered.", "Offer a=setup:actpass.", 0},
	{session.ProblemFingerprint, http.StatusUnprocessableEntity, "The offer has no usable certificate fingerprint.", "Offer a=fingerprint with sha-256.", 0},
	{session.ProblemICE, http.StatusUnprocessableEntity, "The ICE parameters of the offer cannot be used.", "Offer an ice-ufrag of at least 4 and an ice-pwd of at least 22 characters, and full ICE, not ice-lite.", 0},
	{session.ProblemSimulcast, http.StatusUnprocessableEntity, "The simulcast of the offer cannot be taken.", "Offer at most 4 layers of one codec, and the header extension urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id.", 0},
	{session.ProblemTooComplex, http.StatusUnprocessableEntity, "The offer has more in it than this node is willing to read.", "Offer fewer sections, codecs or candidates.", 0},

	{"not-live", http.StatusConflict, "Nothing is on air here.", "Try again after the time in Retry-After, or let the room's owner set wait: then viewers may come first.", 3},
	{"offer-unanswered", http.StatusConflict, "The offer of this session has no answer yet.", "PATCH the answer first, as application/sdp. Candidates may follow it.", 0},
	{"publication-busy", http.StatusConflict, "Somebody else publishes here.", "Use another publication name, wait until they stop, or let the room's owner set conflict to replace.", 3},
	{"room-exists", http.StatusConflict, "There is such a room already.", "Change it with PATCH, or choose another name.", 0},
	{"room-changed", http.StatusPreconditionFailed, "The room has changed since you saw it.", "GET it, decide again, and send its new ETag in If-Match. Without If-Match the change is made whatever the room is like.", 0},
	{"room-locked", http.StatusForbidden, "The room is locked.", "Ask somebody who moderates the room to unlock it. Who is in it stays.", 0},
	{"join-refused", http.StatusForbidden, "You cannot join this room.", "Check the name of the room and the password, or ask whoever invited you. The answer is the same for a room that is not there.", 0},
	{"publication-not-found", http.StatusNotFound, "There is no such publication.", "The list of publications has those that are there.", 0},
	{"idempotency-key-reused", http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request.", "Take a new key for every request that is not the same one again.", 0},
	{"idempotency-key-malformed", http.StatusBadRequest, "The Idempotency-Key cannot be read.", "Send one header with 1 to 255 printable ASCII characters, such as a UUID.", 0},
	{"registry-unavailable", http.StatusServiceUnavailable, "The registry of rooms takes no changes now.", "Try again after the time in Retry-After, with the same Idempotency-Key: the change may have been made. The operator finds the reason in the log.", 3},
	{"room-full", http.StatusServiceUnavailable, "The room takes no more.", "Try again later, or let the room's owner raise max_publications or max_viewers.", 10},
	{"overloaded", http.StatusServiceUnavailable, "This node takes no more.", "Try again after the time in Retry-After. The node measures what it can carry; its operator finds the reason in the log and in the metric sluice_admission_refused_total.", 10},
	{"stopping", http.StatusServiceUnavailable, "This node is stopping.", "Try again after the time in Retry-After.", 3},

	{"json-malformed", http.StatusBadRequest, "The body is not the JSON that is wanted.", "See /openapi.yaml for the fields and their types.", 0},
	{whep.ProblemEvents, http.StatusBadRequest, "An event type is not known here.", "Ask for types that the Link of the session lists in its events parameter, or send no body for all of them.", 0},
	{whep.ProblemLayer, http.StatusUnprocessableEntity, "There is no such layer.", "Choose one that the layers event tells of and that is active, and a section of the offer that is video.", 0},
	{"query-malformed", http.StatusBadRequest, "A query parameter has no meaning.", "limit is 1 to 1000; cursor is the next of the page before; state is connecting, live, silent or ended.", 0},
	{"field-invalid", http.StatusUnprocessableEntity, "A field has a value that cannot be taken.", "See the detail.", 0},
	{"not-in-this-version", http.StatusUnprocessableEntity, "A field belongs to a later version.", "Leave it out.", 0},
	{"internal", http.StatusInternalServerError, "Something went wrong here, not with you.", "Try again. If it stays, tell the operator the request_id.", 0},
}

// causes says which problem the errors of other packages are.
var causes = []struct {
	err  error
	name string
}{
	{auth.ErrInvalid, "invalid-token"},
	{auth.ErrExpired, "token-expired"},
	{auth.ErrNotYet, "token-not-yet-valid"},
	{auth.ErrUnavailable, "auth-unavailable"},
	{session.ErrNotFound, "session-not-found"},
	{session.ErrMediaType, "media-type"},
	{session.ErrTooLarge, "too-large"},
	{session.ErrTimeout, "too-slow"},
	{session.ErrUnanswered, "offer-unanswered"},
	{session.ErrPrecondition, "precondition-failed"},
	{session.ErrPreconditionRequired, "precondition-missing"},
	{session.ErrClosed, "stopping"},
	{session.ErrTooMany, "overloaded"},
	{session.ErrRateLimited, "too-many-requests"},
	{sfu.ErrNoLayer, whep.ProblemLayer},
	{webhook.ErrNotFound, "dead-letter-not-found"},
	{whep.ErrNoStream, "stream-not-found"},
	{whep.ErrTooManyStreams, "too-many-streams"},
	{events.ErrTooManyListeners, "too-many-listeners"},
	{events.ErrTooManyRooms, "too-many-listeners"},
	{events.ErrTooManyMessages, "too-many-messages"},
	{events.ErrCommand, "json-malformed"},
	{events.ErrClosed, "stopping"},
	{sfu.ErrPublicationBusy, "publication-busy"},
	{sfu.ErrNotLive, "not-live"},
	{sfu.ErrPublicationNotFound, "publication-not-found"},
	{sfu.ErrRoomNotFound, "room-not-found"},
	{sfu.ErrRoomExists, "room-exists"},
	{sfu.ErrTooMany, "room-full"},
	{sfu.ErrName, "not-found"},
	{cluster.ErrExists, "room-exists"},
	{cluster.ErrNotFound, "room-not-found"},
	{cluster.ErrConflict, "room-changed"},
	{cluster.ErrRequestReused, "idempotency-key-reused"},
	{cluster.ErrNoLeader, "registry-unavailable"},
	{cluster.ErrInvalid, "field-invalid"},
	{sfu.ErrClosed, "stopping"},
}

// problemError is an error of this package: a problem by name, with a detail
// that clients may read.
type problemError struct {
	name   string
	detail string
}

func (e *problemError) Error() string { return "gateway: " + e.name + ": " + e.detail }

// viewerError marks the errors of a WHEP POST. One widely used player takes a
// 400 there as an invitation to a protocol of 2022, so it is never sent.
type viewerError struct{ error }

func (e viewerError) Unwrap() error { return e.error }

// lookup finds a problem by its name; an unknown one is internal.
func lookup(name string) (p problem, known bool) {
	for _, p = range problems {
		if p.name == name {
			return p, true
		}
	}
	return p, false // internal is the last
}

// problemOf translates an error. The detail is for clients.
func problemOf(err error) (p problem, detail string) {
	var own *problemError
	var offer *session.OfferError
	var draft *events.DraftError
	var known bool
	switch {
	case errors.As(err, &own):
		detail = own.detail
		p, known = lookup(own.name)
	case errors.As(err, &offer):
		detail = offer.Detail
		p, known = lookup(offer.Problem)
	case errors.As(err, &draft):
		detail = draft.Detail
		p, known = lookup("field-invalid")
	default:
		name := ""
		for _, c := range causes {
			if errors.Is(err, c.err) {
				name = c.name
				break
			}
		}
		p, known = lookup(name)
	}
	if !known {
		detail = ""
	}
	var viewer viewerError
	if errors.As(err, &viewer) && p.status == http.StatusBadRequest {
		p.status = http.StatusUnprocessableEntity
	}
	return p, detail
}

// document is the body of an error answer (RFC 9457).
type document struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
}

// writeProblem answers a request with the problem of err. The text of err goes
// to the log alone.
func (g *Gateway) writeProblem(w http.ResponseWriter, r *http.Request, err error, requestID string) problem {
	p, detail := problemOf(err)
	if detail == "" {
		detail = p.remedy
	}
	body, marshalErr := json.Marshal(document{"/problems/" + p.name, p.title, p.status, detail, requestID})
	if marshalErr != nil { // five strings and a number always have a form
		body = []byte("{}")
	}
	h := w.Header()
	switch p.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(p.name))
	case http.StatusForbidden:
		h.Set("WWW-Authenticate", `Bearer realm="sluice", error="insufficient_scope"`)
	case http.StatusUnsupportedMediaType:
		switch { // a handler that takes something else has said so
		case h.Get("Accept-Patch") != "" || h.Get("Accept-Post") != "":
		case r.Method == http.MethodPatch:
			h.Set("Accept-Patch", "application/trickle-ice-sdpfrag")
		default:
			h.Set("Accept-Post", "application/sdp")
		}
	}
	if p.retryAfter > 0 && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(jitter(p.retryAfter)))
	}
	// What a handler wanted to say about its success must not stand on an error.
	for _, name := range []string{"Location", "ETag", "Link"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone; nobody is left to tell
	}
	return p
}

// challenge is the WWW-Authenticate of RFC 6750 section 3.
func challenge(name string) string {
	if name == "unauthorized" {
		return `Bearer realm="sluice"`
	}
	return `Bearer realm="sluice", error="invalid_token"`
}

// jitter spreads mean seconds by a third, and is at least 1.
func jitter(mean int) int {
	spread := max(1, mean/3)
	return max(1, mean-spread+rand.IntN(2*spread+1)) //nolint:gosec // not a secret
}
