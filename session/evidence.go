package session

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// noticeAfter is how long a step of connecting may take before its absence is
// shown as the cause of a session that still waits for it. With the sweeper's
// second it is 4 s at most.
const noticeAfter = 3 * time.Second

// Alerts of DTLS that name a cause (RFC 5246 section 7.2).
const (
	alertBadCertificate       = 42
	alertCertificateUnknown   = 46
	alertUnknownCA            = 48
	alertInsufficientSecurity = 71
)

// evidence is what was seen on the wire of a session that connects. The mux's
// read loop and whoever sends write it, the sweeper reads it.
type evidence struct {
	checks   atomic.Uint64 // connectivity checks that name the session, good or not
	profiles atomic.Int32  // of a ClientHello: a profileVerdict
	alertIn  atomic.Int32  // last plain fatal alert of the peer, and one; 0: none
	alertOut atomic.Int32  // last one of ours
}

// profileVerdict is what a ClientHello says of SRTP protection profiles.
type profileVerdict int32

const (
	profilesUnknown profileVerdict = iota
	profilesCommon
	profilesForeign // none that we know
)

// waiting names what a session lacks that was created then and passed its
// first check at first (zero: never), "" as long as there is no hurry.
func (e *evidence) waiting(now, created, first time.Time) Cause {
	switch {
	case first.IsZero() && now.Sub(created) < noticeAfter:
		return ""
	case first.IsZero():
		return e.unreached()
	case now.Sub(first) < noticeAfter:
		return ""
	default:
		return CauseDTLSTimeout
	}
}

// unreached tells the two ways apart in which ICE does not come about.
func (e *evidence) unreached() Cause {
	if e.checks.Load() > 0 {
		return CauseICERefused
	}
	return CauseNoICE
}

// failure refines the cause of a failed handshake.
func (e *evidence) failure() Cause {
	in, out := e.alertIn.Load()-1, e.alertOut.Load()-1
	switch {
	case profileVerdict(e.profiles.Load()) == profilesForeign:
		return CauseNoProfile
	case profileVerdict(e.profiles.Load()) == profilesUnknown && (in == alertInsufficientSecurity || out == alertInsufficientSecurity):
		// We were the client, with suites that every server has: what is not
		// secure enough in such a handshake is SRTP.
		return CauseNoProfile
	case in == alertBadCertificate, in == alertCertificateUnknown, in == alertUnknownCA:
		return CauseFingerprint // ours, seen from there
	default:
		return CauseDTLSFailed
	}
}

// received looks at a datagram of DTLS records from the peer. Nothing of it is
// proven: it may name a cause, never end a session.
func (e *evidence) received(b []byte) {
	if a := fatalAlert(b); a != 0 {
		e.alertIn.Store(a)
		return
	}
	if isClientHello(b) && e.profiles.Load() == int32(profilesUnknown) {
		e.profiles.Store(int32(helloProfiles(b[recordHeader:])))
	}
}

// sent looks at a datagram to the peer.
func (e *evidence) sent(b []byte) {
	if a := fatalAlert(b); a != 0 {
		e.alertOut.Store(a)
	}
}

// fatalAlert is the description of an unencrypted fatal alert, and one; 0 for
// anything else.
func fatalAlert(b []byte) int32 {
	const fatal = 2
	if len(b) == recordHeader+2 && b[0] == recordAlert && b[3] == 0 && b[4] == 0 && b[recordHeader] == fatal {
		return int32(b[recordHeader+1]) + 1
	}
	return 0
}

// helloProfiles reads the use_srtp extension (RFC 5764 section 4.1.1) of a
// handshake message that is a ClientHello. One that comes in fragments is not
// put together: then nothing is known.
func helloProfiles(b []byte) profileVerdict {
	const header, useSRTP = 12, 14
	if len(b) < header || b[6] != 0 || b[7] != 0 || b[8] != 0 { // fragment offset
		return profilesUnknown
	}
	length, fragment := int(b[1])<<16|int(b[2])<<8|int(b[3]), int(b[9])<<16|int(b[10])<<8|int(b[11])
	b = b[header:]
	if fragment != length || len(b) < length {
		return profilesUnknown
	}
	r := reader{b: b[:length]}
	r.skip(2 + 32)      // version, random
	r.skip(r.number(1)) // session id
	r.skip(r.number(1)) // cookie
	r.skip(r.number(2)) // cipher suites
	r.skip(r.number(1)) // compression methods
	extensions := reader{b: r.take(r.number(2))}
	if r.short {
		return profilesUnknown
	}
	for !extensions.short && len(extensions.b) > 0 {
		kind, body := extensions.number(2), extensions.take(extensions.number(2))
		if kind != useSRTP {
			continue
		}
		in := reader{b: body}
		for list := in.take(in.number(2)); len(list) >= 2; list = list[2:] {
			switch binary.BigEndian.Uint16(list) {
			case 0x0001, 0x0007, 0x0008: // AES128_CM_HMAC_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM
				return profilesCommon
			}
		}
		return profilesForeign
	}
	return profilesForeign // none at all
}

// reader takes fields off the front of b; short: there were not enough.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.short = nil, true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) number(size int) (n int) {
	for _, c := range r.take(size) {
		n = n<<8 | int(c)
	}
	return n
}
