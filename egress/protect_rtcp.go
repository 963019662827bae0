package egress

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"

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
// section 9. The session has two, one for each direction. It has scratch space
// of its own: one call at a time. Neither direction allocates.
type rtcpCipher interface {
	// sealRTCP seals a compound packet where it lies, with room for rtcpOverhead
	// behind it, and returns what it has become. One index of an SSRC must not
	// be used twice.
	sealRTCP(plain []byte, index uint32) []byte
	// openRTCP decrypts a datagram where it lies, once it is known to be
	// authentic; plain is its beginning. What else it held is undefined then,
	// and so is all of it after an error.
	openRTCP(datagram []byte) (plain []byte, index uint32, err error)
}

// newRTCPCipher makes the cipher of one direction from its master key and salt.
func newRTCPCipher(profile srtp.ProtectionProfile, key, salt []byte) (rtcpCipher, error) {
	if err := checkKeys(profile, key, salt); err != nil {
		return nil, err
	}
	if profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		c, err := newCMCipher(key, salt, labelRTCP)
		if err != nil {
			return nil, err
		}
		return &cmRTCP{cmCipher: c}, nil
	}
	g, err := newGCMCipher(key, salt, labelRTCP)
	if err != nil {
		return nil, err
	}
	return &gcmRTCP{gcmCipher: g}, nil
}

// gcmRTCP is the RTCP half of AEAD_AES_128_GCM and AEAD_AES_256_GCM.
type gcmRTCP struct {
	*gcmCipher
	aad [rtcpHeader + rtcpIndex]byte
}

// prepare sets the nonce and what is authenticated in the clear, RFC 7714
// section 9: the header, and the word of E flag and index that ends the packet.
func (g *gcmRTCP) prepare(header []byte, word uint32) {
	g.nonce(binary.BigEndian.Uint32(header[4:]), uint64(word&^encrypted))
	copy(g.aad[:], header[:rtcpHeader])
	binary.BigEndian.PutUint32(g.aad[rtcpHeader:], word)
}

// sealRTCP implements rtcpCipher.
func (g *gcmRTCP) sealRTCP(plain []byte, index uint32) []byte {
	g.prepare(plain, encrypted|index)
	sealed := g.aead.Seal(plain[:rtcpHeader], g.iv[:], plain[rtcpHeader:], g.aad[:])
	return append(sealed, g.aad[rtcpHeader:]...)
}

// openRTCP implements rtcpCipher.
func (g *gcmRTCP) openRTCP(datagram []byte) ([]byte, uint32, error) {
	end := len(datagram) - rtcpIndex
	if end < rtcpHeader+g.aead.Overhead() {
		return nil, 0, errShortRTCP
	}
	word := binary.BigEndian.Uint32(datagram[end:])
	if word&encrypted == 0 {
		return nil, 0, errClearRTCP
	}
	g.prepare(datagram, word)
	body, err := g.aead.Open(datagram[rtcpHeader:rtcpHeader], g.iv[:], datagram[rtcpHeader:end], g.aad[:])
	if err != nil {
		return nil, 0, errForgedRTCP
	}
	return datagram[:rtcpHeader+len(body)], word &^ encrypted, nil
}

// cmRTCP is the RTCP half of AES_CM_128_HMAC_SHA1_80.
type cmRTCP struct{ *cmCipher }

// sealRTCP implements rtcpCipher. RFC 3711 section 3.4: E flag and index come
// before the tag, which covers them.
func (c *cmRTCP) sealRTCP(plain []byte, index uint32) []byte {
	c.crypt(plain[rtcpHeader:], plain[rtcpHeader:], binary.BigEndian.Uint32(plain[4:]), uint64(index))
	sealed := binary.BigEndian.AppendUint32(plain, encrypted|index)
	return append(sealed, c.sum(sealed, nil)...)
}

// openRTCP implements rtcpCipher.
func (c *cmRTCP) openRTCP(datagram []byte) ([]byte, uint32, error) {
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
	c.crypt(datagram[rtcpHeader:end], datagram[rtcpHeader:end], binary.BigEndian.Uint32(datagram[4:]), uint64(index))
	return datagram[:end], index, nil
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

// open decrypts a datagram where it lies.
func (in *incomingRTCP) open(datagram []byte) ([]byte, error) {
	plain, index, err := in.cipher.openRTCP(datagram)
	if err != nil {
		return nil, err
	}
	ssrc := binary.BigEndian.Uint32(plain[4:])
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
