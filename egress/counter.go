package egress

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"reflect"
	"unsafe"
)

// counterMode is AES in counter mode with one key, from any counter on.
//
// SRTP begins every packet with another counter (RFC 3711 section 4.1.1). The
// streams of the standard library can only be made with a counter, and each
// carries a copy of the expanded key: half a kilobyte of garbage for every
// packet and viewer. So one stream is kept, and its counter is set before
// each packet. Where it lies is looked up by name; if a future library calls or
// lays it out otherwise, this falls back to a stream for each packet.
type counterMode struct {
	block  cipher.Block   // nil with at
	stream cipher.Stream  // nil without at
	at     *counterFields // in stream; nil: not found
}

// counterFields are the fields of a stream that say where it stands.
type counterFields struct{ lo, hi, offset *uint64 }

func newCounterMode(block cipher.Block) counterMode {
	m := counterMode{block: block, stream: cipher.NewCTR(block, make([]byte, aes.BlockSize))} //nolint:gosec // its counter is set before it is used
	m.at = findCounter(m.stream)
	if m.at == nil || !m.seeks() {
		m.stream, m.at = nil, nil
	} else {
		m.block = nil // the stream has the key
	}
	return m
}

// findCounter looks for a wrapper of one pointer to a structure with the counter
// as two numbers, and how far the stream has come since.
func findCounter(s cipher.Stream) *counterFields {
	wrapper := reflect.ValueOf(s)
	if wrapper.Kind() != reflect.Struct || wrapper.NumField() != 1 || wrapper.Field(0).Kind() != reflect.Pointer {
		return nil
	}
	inner := wrapper.Field(0)
	if inner.IsNil() || inner.Type().Elem().Kind() != reflect.Struct {
		return nil
	}
	field := func(name string) *uint64 {
		f, ok := inner.Type().Elem().FieldByName(name)
		if !ok || f.Type.Kind() != reflect.Uint64 {
			return nil
		}
		return (*uint64)(unsafe.Add(inner.UnsafePointer(), f.Offset)) // a field of that type at that place
	}
	at := &counterFields{lo: field("ivlo"), hi: field("ivhi"), offset: field("offset")}
	if at.lo == nil || at.hi == nil || at.offset == nil {
		return nil
	}
	return at
}

// seeks tells whether setting the counter does what it should.
func (m *counterMode) seeks() bool {
	var got, want [3 * aes.BlockSize]byte
	for i := range byte(3) {
		iv := [aes.BlockSize]byte{0: 0xfe, 7: 0x80, 8: 0xff, 12: i, 13: 0xff, 14: 0xff, 15: 0xff}
		clear(got[:])
		clear(want[:])
		m.set(&iv)
		m.stream.XORKeyStream(got[:], got[:])
		cipher.NewCTR(m.block, iv[:]).XORKeyStream(want[:], want[:])
		if got != want {
			return false
		}
	}
	return true
}

func (m *counterMode) set(iv *[aes.BlockSize]byte) {
	*m.at.hi = binary.BigEndian.Uint64(iv[:])
	*m.at.lo = binary.BigEndian.Uint64(iv[8:])
	*m.at.offset = 0
}

// xor encrypts or decrypts src into dst with the key stream from the counter iv
// on. Dst is src or does not overlap it.
func (m *counterMode) xor(dst, src []byte, iv *[aes.BlockSize]byte) {
	if m.at == nil {
		cipher.NewCTR(m.block, iv[:]).XORKeyStream(dst, src)
		return
	}
	m.set(iv)
	m.stream.XORKeyStream(dst, src)
}
