package egress

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pion/srtp/v3"
)

// Errors of SRTCP packets that are not acted upon.
var (
	errShortRTCP   = errors.New("egress: SRTCP: too short")
	errClearRTCP   = errors.New("egress: SRTCP: not encrypted")
	errForgedRTCP  = errors.New("egress: SRTCP: authentication failed")
	errReplayed    = errors.New("egress: SRTCP: replayed, or too late to tell")
	errManySenders = errors.New("egress: SRTCP: too many sender SSRCs")
)

const (
	rtcpHeader   = 8 // in the clear: common header and sender SSRC
	rtcpIndex    = 4 // E flag and index at, or near, the end
	rtcpOverhead = rtcpIndex + maxOverhead
	encrypted    = 1 << 31 // the E flag
)

// An rtcpCipher seals or opens SRTCP packets, RFC 3711 section 3.4 and RFC 7714
// section 9. The session has two, one for each direction.
type rtcpCipher interface {
	// sealRTCP appends the sealed form of a compound packet to dst, which must
	// not overlap it. One index of an SSRC must not be used twice.
	sealRTCP(dst, plain []byte, index uint32) []byte
	// openRTCP appends the compound packet in a datagram to dst, which must not
	// overlap it, after having checked that it is authentic.
	openRTCP(dst, datagram []byte) (plain []byte, index uint32, err error)
}

// newRTCPCipher makes the cipher of one direction from its master key and salt.
func newRTCPCipher(profile srtp.ProtectionProfile, key, salt []byte) (rtcpCipher, error) {
	if err := checkKeys(profile, key, salt); err != nil {
		return nil, err
	}
	if profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		return newCMCipher(key, salt, labelRTCP)
	}
	return newGCMCipher(key, salt, labelRTCP)
}

// sealRTCP implements rtcpCipher. RFC 7714 section 9: what is in the clear is
// authenticated, E flag and index included, which end the packet.
func (g *gcmCipher) sealRTCP(dst, plain []byte, index uint32) []byte {
	g.nonce(binary.BigEndian.Uint32(plain[4:]), uint64(index))
	aad := binary.BigEndian.AppendUint32(plain[:rtcpHeader:rtcpHeader], encrypted|index)
	dst = append(dst, plain[:rtcpHeader]...)
	dst = g.aead.Seal(dst, g.iv[:], plain[rtcpHeader:], aad)
	return append(dst, aad[rtcpHeader:]...)
}

// openRTCP implements rtcpCipher.
func (g *gcmCipher) openRTCP(dst, datagram []byte) ([]byte, uint32, error) {
	end := len(datagram) - rtcpIndex
	if end < rtcpHeader+g.aead.Overhead() {
		return nil, 0, errShortRTCP
	}
	word := binary.BigEndian.Uint32(datagram[end:])
	if word&encrypted == 0 {
		return nil, 0, errClearRTCP
	}
	index := word &^ encrypted
	g.nonce(binary.BigEndian.Uint32(datagram[4:]), uint64(index))
	aad := binary.BigEndian.AppendUint32(datagram[:rtcpHeader:rtcpHeader], word)
	dst = append(dst, datagram[:rtcpHeader]...)
	plain, err := g.aead.Open(dst, g.iv[:], datagram[rtcpHeader:end], aad)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errForgedRTCP, err)
	}
	return plain, index, nil
}

// sealRTCP implements rtcpCipher. RFC 3711 section 3.4: E flag and index come
// before the tag, which covers them.
func (c *cmCipher) sealRTCP(dst, plain []byte, index uint32) []byte {
	start := len(dst)
	dst = append(dst, plain...)
	packet := dst[start:]
	c.crypt(packet[rtcpHeader:], packet[rtcpHeader:], binary.BigEndian.Uint32(plain[4:]), uint64(index))
	dst = binary.BigEndian.AppendUint32(dst, encrypted|index)
	return append(dst, c.sum(dst[start:], nil)...)
}

// openRTCP implements rtcpCipher.
func (c *cmCipher) openRTCP(dst, datagram []byte) ([]byte, uint32, error) {
	tag := len(datagram) - cmTag
	end := tag - rtcpIndex
	if end < rtcpHeader {
		return nil, 0, errShortRTCP
	}
	if !hmac.Equal(c.sum(datagram[:tag], nil), datagram[tag:]) {
		return nil, 0, errForgedRTCP
	}
	word := binary.BigEndian.Uint32(datagram[end:])
	if word&encrypted == 0 {
		return nil, 0, errClearRTCP
	}
	index := word &^ encrypted
	start := len(dst)
	dst = append(dst, datagram[:end]...)
	packet := dst[start:]
	c.crypt(packet[rtcpHeader:], packet[rtcpHeader:], binary.BigEndian.Uint32(datagram[4:]), uint64(index))
	return dst, index, nil
}

// maxSenders bounds the SSRCs that one viewer reports from: each has a replay
// window that is kept. Browsers use one for each media section.
const maxSenders = 8

// incomingRTCP opens the SRTCP packets of one viewer, each once.
type incomingRTCP struct {
	cipher  rtcpCipher
	senders []replayWindow // at most maxSenders
}

// replayWindow remembers the indexes of a sender, RFC 3711 section 3.3.2.
type replayWindow struct {
	ssrc uint32
	high uint32 // highest index
	seen uint64 // bit n: high-n was there
}

// open decrypts a datagram into dst, which must not overlap it.
func (in *incomingRTCP) open(dst, datagram []byte) ([]byte, error) {
	plain, index, err := in.cipher.openRTCP(dst, datagram)
	if err != nil {
		return nil, err
	}
	ssrc := binary.BigEndian.Uint32(datagram[4:])
	for i := range in.senders {
		if w := &in.senders[i]; w.ssrc == ssrc {
			if !w.take(index) {
				return nil, errReplayed
			}
			return plain, nil
		}
	}
	if len(in.senders) == maxSenders {
		return nil, errManySenders
	}
	in.senders = append(in.senders, replayWindow{ssrc: ssrc, high: index, seen: 1})
	return plain, nil
}

// take claims an index; false when it was there or is older than the window.
func (w *replayWindow) take(index uint32) bool {
	if index > w.high {
		w.seen = w.seen<<(index-w.high) | 1 // a shift by 64 or more leaves zero
		w.high = index
		return true
	}
	bit := uint64(1) << (w.high - index) // zero when too old
	if bit == 0 || w.seen&bit != 0 {
		return false
	}
	w.seen |= bit
	return true
}
