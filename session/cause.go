package session

// Cause says why a session ended, or what is wrong with one that lives: a
// closed list. Where a POST is refused for the same reason, the problem has
// the same name.
type Cause string

// What is wrong before a session is connected. It lives on, and ends with the
// same cause when nothing changes in time.
const (
	CauseUnanswered  Cause = "offer-unanswered"    // an offer of ours got no answer in time
	CauseNoICE       Cause = "no-ice"              // no connectivity check came
	CauseICERefused  Cause = "ice-refused"         // checks came, none with the session's credentials
	CauseDTLSTimeout Cause = "dtls-timeout"        // checks came, the handshake did not end
	CauseDTLSFailed  Cause = "dtls-failed"         // alert, no cipher suite in common, ...
	CauseNoProfile   Cause = "no-srtp-profile"     // no SRTP protection profile in common
	CauseFingerprint Cause = "fingerprint-differs" // the certificate is not the one of the SDP
)

// What is wrong with the media of a session that is connected.
const (
	CauseNoRTP          Cause = "no-rtp"           // nothing came since the connection
	CauseUnknownPackets Cause = "packets-unknown"  // what comes is of no payload type or SSRC of the offer
	CauseSilent         Cause = "publisher-silent" // nothing comes any more
	CauseNoVideo        Cause = "no-video"         // announced, and only sound comes
	CauseNoKeyframe     Cause = "no-keyframe"      // video that nobody can begin to decode
	CauseBFrames        Cause = "b-frames"         // pictures out of order
	CauseProfile        Cause = "profile-differs"  // H264 that needs another decoder than the SDP says
	CauseNotLive        Cause = "not-live"         // nobody publishes
	CauseCodecRefused   Cause = "codec-refused"    // the viewer's offer has no decoder for what is on air
	CausePoorLink       Cause = "poor-link"        // one packet in twenty or more is lost on the way
)

// Why a session ended that was well.
const (
	CauseConsentLost Cause = "consent-lost"     // nothing was heard for 30 s
	CausePeerClosed  Cause = "closed-by-peer"   // DTLS close_notify
	CauseDeleted     Cause = "deleted"          // DELETE on the session URL
	CauseReplaced    Cause = "replaced"         // another publisher took over
	CauseBusy        Cause = "publication-busy" // another publisher was quicker
	CauseRoomEnded   Cause = "room-ended"       // the room was deleted, or nobody publishes
	CauseKicked      Cause = "kicked"
	CauseExpired     Cause = "token-expired"    // the token that opened it has come to its end
	CauseRevoked     Cause = "token-revoked"    // the token that opened it was taken back
	CauseTooMany     Cause = "too-many-streams" // more SSRCs than any encoder needs
	CauseDrained     Cause = "drained"          // the node stops
	CauseInternal    Cause = "internal"
)

// Advice explains a cause to people.
type Advice struct {
	Cause     Cause
	Title     string // what happened, one sentence
	Publisher string // the publisher's next step; "": it does not happen to publishers
	Viewer    string // the viewer's
	Silent    bool   // no media flows: a connected session is silent, not live
}

// NextStep is what somebody of that role can do.
func (a *Advice) NextStep(r Role) string {
	if r == RolePublisher && a.Publisher != "" || a.Viewer == "" {
		return a.Publisher
	}
	return a.Viewer
}

const (
	openUDP   = "Check that UDP to the media port is open on every firewall on the way, and that --advertise names an address that can be reached from there."
	sameAgain = "Connect again. If it stays, tell the operator the session's id."
	nothing   = "Nothing is to be done."
	waitForIt = "It goes on by itself; the publisher is told what to change."
)

// advice is the closed list.
var advice = []Advice{
	{
		CauseUnanswered, "The node made the offer, and no answer has come.", "",
		"PATCH the answer to the session URL, as application/sdp, within half a minute.", false,
	},
	{CauseNoICE, "The connection for media was never tried: nothing came to the media port.", openUDP, openUDP, false},
	{
		CauseICERefused, "Connectivity checks come, but with a password that is not this session's.",
		"Give the encoder the answer of this very session, unchanged. A proxy or script that keeps old answers does this.",
		"Give the player the answer of this very session, unchanged. A proxy or script that keeps old answers does this.", false,
	},
	{
		CauseDTLSTimeout, "The network path works, but the encryption handshake does not come to its end.",
		"Look for a firewall that lets small packets through and drops DTLS or packets above 1200 bytes; try another network.",
		"Look for a firewall that lets small packets through and drops DTLS or packets above 1200 bytes; try another network.", false,
	},
	{
		CauseDTLSFailed, "The encryption handshake failed: the two sides have nothing in common.",
		"Update the encoder: DTLS 1.2 with an ECDHE cipher suite and extended master secret is needed.",
		"Update the browser or player: DTLS 1.2 with an ECDHE cipher suite and extended master secret is needed.", false,
	},
	{
		CauseNoProfile, "The two sides have no SRTP protection profile in common.",
		"Let the encoder offer SRTP_AEAD_AES_128_GCM or SRTP_AES128_CM_HMAC_SHA1_80.",
		"Let the player offer SRTP_AEAD_AES_128_GCM or SRTP_AES128_CM_HMAC_SHA1_80.", false,
	},
	{
		CauseFingerprint, "The certificate of the handshake is not the one that the SDP announced.",
		"Let nothing change the SDP on its way. If nothing does, somebody may be between you and the gateway.",
		"Let nothing change the SDP on its way. If nothing does, somebody may be between you and the gateway.", false,
	},

	{
		CauseNoRTP, "The publisher is connected and has sent no media.",
		"Start the encoder, or choose a camera and a microphone. If it says that it sends, look for a firewall that drops what follows the handshake.",
		"It begins by itself once the publisher sends.", true,
	},
	{
		CauseUnknownPackets, "Media comes with payload types or SSRCs that the offer did not announce.",
		"Send each track with the payload type of the answer and, where the offer names one, its SSRC.", waitForIt, true,
	},
	{
		CauseSilent, "The publisher has stopped sending, though the connection is up.",
		"See whether the encoder hangs or the sources were removed; stop and start it.",
		"It goes on by itself when the publisher sends again.", true,
	},
	{
		CauseNoVideo, "Only sound comes: the announced video is not sent.",
		"Look at the camera or the video encoder. If you want sound only, leave the video out of the offer.",
		"The picture appears by itself once the publisher sends one.", false,
	},
	{
		CauseNoKeyframe, "Video comes without keyframes: nobody who joins can see it.",
		"Set the keyframe interval to 2 seconds (OBS: Output, Keyframe Interval; ffmpeg: -g), and let the encoder answer keyframe requests.",
		"Wait for the next keyframe, or ask the publisher for a keyframe interval of 2 seconds.", false,
	},
	{
		CauseBFrames, "The video has B-frames, which browsers show in the wrong order: it is held back.",
		"Switch B-frames off (OBS: Max B-frames 0 or tune zerolatency; ffmpeg: -bf 0) and start again.",
		"Ask the publisher to switch B-frames off.", false,
	},
	{
		CauseProfile, "The H264 profile of the video is not the one that the SDP announced: some players stay black.",
		"Set the encoder to the profile that it announces, baseline for most: every player shows that.",
		"If the picture stays black, try another browser, or ask the publisher for H264 baseline.", false,
	},
	{CauseNotLive, "Nothing is on air here.", "Publish.", "The picture starts by itself when somebody publishes.", true},
	{
		CauseCodecRefused, "This player did not offer the codec that is on air.",
		"Send H264 or VP8, and Opus: every browser plays those.",
		"Try another browser or player, or ask the publisher for H264 or VP8.", false,
	},
	{
		CausePoorLink, "Many packets are lost on the way: at least one in twenty for three seconds.",
		"Use a cable or stand closer to the access point, and send a lower bit rate than the line carries.",
		"Use a cable or stand closer to the access point, or choose a smaller layer: the line carries less than is sent.", false,
	},

	{
		CauseConsentLost, "Nothing was heard from the other side for half a minute.",
		"Check the network, then publish again; most encoders do so by themselves.",
		"Check the network, then play again; the page does so by itself.", false,
	},
	{CausePeerClosed, "The other side ended the connection.", nothing, nothing, false},
	{CauseDeleted, "The session was ended by its owner.", nothing, nothing, false},
	{CauseReplaced, "Another publisher has taken over.", "Stop the other one, or publish under another name.", "", false},
	{CauseBusy, "Somebody else publishes here.", "Use another publication name, or wait until they stop.", "", false},
	{
		CauseRoomEnded, "The room has ended.",
		"Publish again to open it anew.", "Come back when somebody publishes.", false,
	},
	{CauseKicked, "A moderator ended the session.", "Ask the room's moderator.", "Ask the room's moderator.", false},
	{
		CauseExpired, "The token that the session was opened with has come to its end.",
		"Publish with a new token. To go on without a break, POST a newer one to the session URL with /refresh before the old one ends.",
		"Play with a new token. To go on without a break, POST a newer one to the session URL with /refresh before the old one ends.", false,
	},
	{
		CauseRevoked, "The token that the session was opened with was taken back.",
		"Ask whoever gave you the token for another one.", "Ask whoever gave you the token for another one.", false,
	},
	{CauseTooMany, "The publisher named more streams than any encoder needs.", "Send one stream a track, without changing SSRCs.", "", false},
	{CauseDrained, "The node was stopped.", "Connect again: another node, or the same one, takes over.", "Connect again; the page does so by itself.", false},
	{CauseInternal, "Something went wrong here, not with you.", sameAgain, sameAgain, false},
}

// Advices is the closed list of causes with what to do about each.
func Advices() []Advice { return append([]Advice(nil), advice...) }

// Advice explains the cause; false: it is not of the list.
func (c Cause) Advice() (Advice, bool) {
	for i := range advice {
		if advice[i].Cause == c {
			return advice[i], true
		}
	}
	return Advice{}, false
}

// silent tells whether no media flows in a session with this cause.
func (c Cause) silent() bool {
	a, _ := c.Advice()
	return a.Silent
}
