package egress

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is what the SRTP profile prescribes
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/pion/srtp/v3"
)

// maxOverhead is the longest that a protector adds to a packet.
const maxOverhead = 16

// Labels of the key derivation, RFC 3711 section 4.3.1 and 4.3.2.
const (
	labelEncryption     = 0
	labelAuthentication = 1
	labelSalt           = 2
	labelRTCP           = 3 // added to the others
)

// A protector seals the RTP packets of one viewer. It has scratch space of its
// own: one call at a time.
//
// It differs from srtp.Context in that the caller gives the packet index (RFC
// 3711 section 3.3.1: rollover counter and sequence number), so that a packet
// from before a wrap can be sent again, in that the payload is encrypted from
// where it lies into the outgoing buffer, and, for AES_CM, in speed.
type protector interface {
	// seal completes the packet in dst, whose header, extensions included, is
	// dst[:header] already, and returns the length. The payload may be the
	// bytes that follow the header in dst; else it must not overlap dst. There
	// must be room for header, payload and overhead. One index of an SSRC must
	// never be sealed with two contents.
	seal(dst []byte, header int, payload []byte, ssrc uint32, index uint64) int
}

// newProtector makes the protector of a profile from its master key and salt.
func newProtector(profile srtp.ProtectionProfile, key, salt []byte) (protector, error) {
	if err := checkKeys(profile, key, salt); err != nil {
		return nil, err
	}
	if profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		return newCMCipher(key, salt, 0)
	}
	return newGCMCipher(key, salt, 0)
}

// checkKeys refuses profiles that are not supported and keys that do not fit.
func checkKeys(profile srtp.ProtectionProfile, key, salt []byte) error {
	switch profile {
	case srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAeadAes256Gcm,
		srtp.ProtectionProfileAes128CmHmacSha1_80:
	default:
		return fmt.Errorf("egress: SRTP profile %#x is not supported", uint16(profile))
	}
	keyLen, err := profile.KeyLen()
	if err != nil {
		return fmt.Errorf("egress: SRTP keys: %w", err)
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		return fmt.Errorf("egress: SRTP keys: %w", err)
	}
	if len(key) != keyLen || len(salt) != saltLen {
		return fmt.Errorf("egress: SRTP keys: key of %d and salt of %d bytes, want %d and %d",
			len(key), len(salt), keyLen, saltLen)
	}
	return nil
}

// deriveKey is the AES-CM key derivation of RFC 3711 section 4.3.3 with a key
// derivation rate of zero. RFC 7714 section 11 uses it for GCM too, the salt
// padded with zeros to 14 bytes.
func deriveKey(label byte, key, salt []byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("egress: derive key: %w", err)
	}
	var iv [aes.BlockSize]byte
	copy(iv[:14], salt)
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out, nil
}

// gcmCipher is AEAD_AES_128_GCM and AEAD_AES_256_GCM, RFC 7714, with the session
// keys of RTP or of RTCP in one direction.
type gcmCipher struct {
	aead     cipher.AEAD
	salt, iv [12]byte
}

func newGCMCipher(key, salt []byte, labels byte) (*gcmCipher, error) {
	sessionKey, err := deriveKey(labels+labelEncryption, key, salt, len(key))
	if err != nil {
		return nil, err
	}
	sessionSalt, err := deriveKey(labels+labelSalt, key, salt, 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sessionKey)
	if err != nil {
		return nil, fmt.Errorf("egress: session keys: %w", err)
	}
	g := &gcmCipher{salt: [12]byte(sessionSalt)}
	if g.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("egress: session keys: %w", err)
	}
	return g, nil
}

// seal implements protector. RFC 7714 section 8.1: the nonce is two zero
// bytes, SSRC, rollover counter and sequence number, masked with the salt.
func (g *gcmCipher) seal(dst []byte, header int, payload []byte, ssrc uint32, index uint64) int {
	g.nonce(ssrc, index)
	return header + len(g.aead.Seal(dst[header:header], g.iv[:], payload, dst[:header]))
}

// nonce sets iv for an index of 48 bits.
func (g *gcmCipher) nonce(ssrc uint32, index uint64) {
	g.iv = g.salt
	xor32(g.iv[2:], ssrc)
	g.iv[6] ^= byte(index >> 40)
	g.iv[7] ^= byte(index >> 32)
	xor32(g.iv[8:], uint32(index))
}

// cmTag is the length of the authentication tag of AES_CM_128_HMAC_SHA1_80.
const cmTag = 10

// cmCipher is AES_CM_128_HMAC_SHA1_80, RFC 3711, with the session keys of RTP or
// of RTCP in one direction.
type cmCipher struct {
	counter  counterMode
	mac      hash.Hash
	salt, iv [aes.BlockSize]byte
	tag      [sha1.Size]byte
	roc      [4]byte
}

func newCMCipher(key, salt []byte, labels byte) (*cmCipher, error) {
	sessionKey, err := deriveKey(labels+labelEncryption, key, salt, len(key))
	if err != nil {
		return nil, err
	}
	authKey, err := deriveKey(labels+labelAuthentication, key, salt, sha1.Size)
	if err != nil {
		return nil, err
	}
	sessionSalt, err := deriveKey(labels+labelSalt, key, salt, 14)
	if err != nil {
		return nil, err
	}
	c := &cmCipher{mac: hmac.New(sha1.New, authKey)}
	copy(c.salt[:], sessionSalt)
	block, err := aes.NewCipher(sessionKey)
	if err != nil {
		return nil, fmt.Errorf("egress: session keys: %w", err)
	}
	c.counter = newCounterMode(block)
	return c, nil
}

// seal implements protector. RFC 3711 section 4.1.1: the counter starts at
// salt, SSRC and index; section 4.2: the tag covers packet and rollover
// counter.
func (c *cmCipher) seal(dst []byte, header int, payload []byte, ssrc uint32, index uint64) int {
	n := header + len(payload)
	c.crypt(dst[header:n], payload, ssrc, index)
	binary.BigEndian.PutUint32(c.roc[:], uint32(index>>16))
	return n + copy(dst[n:n+cmTag], c.sum(dst[:n], c.roc[:]))
}

// crypt encrypts or decrypts src into dst, which is src or does not overlap it.
func (c *cmCipher) crypt(dst, src []byte, ssrc uint32, index uint64) {
	c.iv = c.salt
	xor32(c.iv[4:], ssrc)
	c.iv[8] ^= byte(index >> 40)
	c.iv[9] ^= byte(index >> 32)
	xor32(c.iv[10:], uint32(index))
	c.counter.xor(dst, src, &c.iv)
}

// sum is the authentication tag over a and b, valid until the next call.
func (c *cmCipher) sum(a, b []byte) []byte {
	c.mac.Reset()
	_, _ = c.mac.Write(a) // a hash.Hash never returns an error
	_, _ = c.mac.Write(b)
	return c.mac.Sum(c.tag[:0])[:cmTag]
}

// xor32 masks the four bytes at b with v.
func xor32(b []byte, v uint32) {
	binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)^v)
}
