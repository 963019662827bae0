package egress

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"testing"
)

// A kept stream gives what a new one would, for any counter and length, in any
// order; and so does one whose counter was not found.
func TestCounterMode(t *testing.T) {
	block, err := aes.NewCipher([]byte("sixteen byte key"))
	if err != nil {
		t.Fatal(err)
	}
	kept := newCounterMode(block)
	if kept.at == nil {
		t.Error("the counter was not found in this Go: AES_CM costs an allocation for each packet")
	}
	for name, m := range map[string]counterMode{"kept": kept, "made anew": {block: block}} {
		t.Run(name, func(t *testing.T) {
			random := newRand(11)
			for range 300 {
				var iv [aes.BlockSize]byte
				binary.BigEndian.PutUint64(iv[:], random(1<<31)<<33|random(1<<31))
				binary.BigEndian.PutUint64(iv[8:], random(1<<31)<<33|random(1<<31))
				if random(4) == 0 {
					copy(iv[8:], "\xff\xff\xff\xff\xff\xff\xff\xfe") // carries over
				}
				plain := bytes.Repeat([]byte{byte(random(256))}, int(random(1500)))
				want := make([]byte, len(plain))
				cipher.NewCTR(block, iv[:]).XORKeyStream(want, plain)
				got := make([]byte, len(plain))
				m.xor(got, plain, &iv)
				if !bytes.Equal(got, want) {
					t.Fatalf("counter %x, %d bytes: got another key stream", iv, len(plain))
				}
				m.xor(got, got, &iv) // in place
				if !bytes.Equal(got, plain) {
					t.Fatalf("counter %x: does not decrypt in place", iv)
				}
			}
		})
	}
}

type (
	stream struct{ cipher.Stream }
	other  struct{ x *struct{ ivlo, ivhi uint64 } }
	signed struct {
		x *struct{ ivlo, ivhi, offset int64 }
	}
	misled struct {
		x *struct{ ivlo, ivhi, offset uint64 }
	}
	streamsOnly struct{}
)

func (other) XORKeyStream(_, _ []byte)       {}
func (signed) XORKeyStream(_, _ []byte)      {}
func (misled) XORKeyStream(_, _ []byte)      {}
func (streamsOnly) XORKeyStream(_, _ []byte) {}

// What is laid out otherwise is left alone.
func TestCounterNotFound(t *testing.T) {
	for name, s := range map[string]cipher.Stream{
		"an interface": stream{streamsOnly{}}, "nothing inside": streamsOnly{}, "a pointer": &streamsOnly{},
		"a field less": other{new(struct{ ivlo, ivhi uint64 })}, "another type": signed{new(struct{ ivlo, ivhi, offset int64 })},
		"nil": misled{},
	} {
		if at := findCounter(s); at != nil {
			t.Errorf("%s: a counter was found", name)
		}
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	s := misled{new(struct{ ivlo, ivhi, offset uint64 })}
	m := counterMode{block: block, stream: s, at: findCounter(s)}
	if m.at == nil || m.seeks() {
		t.Error("a stream that does not mind its counter was believed")
	}
}
