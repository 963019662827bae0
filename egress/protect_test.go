package egress

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// profiles are those that a viewer may have.
var profiles = []struct {
	name    string
	profile srtp.ProtectionProfile
	allocs  float64 // per packet sealed
}{
	{"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm, 0},
	{"AEAD_AES_256_GCM", srtp.ProtectionProfileAeadAes256Gcm, 0},
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80, 0},
}

// testKeys are fixed keys of a profile.
func testKeys(t testing.TB, profile srtp.ProtectionProfile) Keys {
	t.Helper()
	keyLen, err := profile.KeyLen()
	if err != nil {
		t.Fatal(err)
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		t.Fatal(err)
	}
	fill := func(n int, start byte) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = start + byte(i)*7
		}
		return b
	}
	return Keys{
		Profile:  profile,
		LocalKey: fill(keyLen, 1), LocalSalt: fill(saltLen, 2),
		RemoteKey: fill(keyLen, 3), RemoteSalt: fill(saltLen, 4),
	}
}

func TestProtectorAgreesWithPion(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			k := testKeys(t, tc.profile)
			p, err := newProtector(k.Profile, k.LocalKey, k.LocalSalt)
			if err != nil {
				t.Fatal(err)
			}
			peer, err := srtp.CreateContext(k.LocalKey, k.LocalSalt, k.Profile, srtp.SRTPReplayProtection(1024))
			if err != nil {
				t.Fatal(err)
			}
			// In order over the wrap, then late ones from before it, and an
			// independent retransmission SSRC in between.
			indexes := []uint64{65533, 65535, 65536, 65537, 65534, 131000, 131071, 131073, 131072}
			rtx := uint64(7)
			for _, index := range indexes {
				if index == 131000 { // come near the second wrap in steps a receiver can follow
					for i := uint64(70000); i < index; i += 20000 {
						sealAndOpen(t, p, peer, 0xa1a2a3a4, i, false)
					}
				}
				sealAndOpen(t, p, peer, 0xa1a2a3a4, index, index%2 == 0)
				sealAndOpen(t, p, peer, 0xb1b2b3b4, rtx, true)
				rtx++
			}
		})
	}
}

// sealAndOpen seals a packet in both ways that the payload may lie and has
// pion open it.
func sealAndOpen(t *testing.T, p protector, peer *srtp.Context, ssrc uint32, index uint64, extensions bool) {
	t.Helper()
	payload := fmt.Appendf(nil, "payload of packet %d, and some more to cross AES blocks", index)
	ids := newExtensionIDs(map[ExtensionKind]uint8{ExtensionMID: 3, ExtensionTransportCC: 4})
	h := header{payloadType: 111, marker: true, seq: uint16(index), timestamp: 42, ssrc: ssrc, ids: &ids}
	if extensions {
		h.mid, h.transportSeq, h.hasTransport = "video0", 0x1234, true
	}
	var shared, inPlace [bufferSize]byte
	n := h.put(shared[:])
	sealed := shared[:p.seal(shared[:], n, payload, ssrc, index)]

	m := h.put(inPlace[:])
	copy(inPlace[m:], payload)
	same := inPlace[:p.seal(inPlace[:], m, inPlace[m:m+len(payload)], ssrc, index)]
	if !bytes.Equal(sealed, same) {
		t.Fatalf("index %d: sealed in place differs", index)
	}

	var got rtp.Header
	plain, err := peer.DecryptRTP(nil, sealed, &got)
	if err != nil {
		t.Fatalf("index %d: pion does not open it: %v", index, err)
	}
	headerLen, err := got.Unmarshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain[headerLen:], payload) {
		t.Fatalf("index %d: got payload %q, want %q", index, plain[headerLen:], payload)
	}
	if extensions && string(got.GetExtension(3)) != "video0" {
		t.Fatalf("index %d: got mid %q", index, got.GetExtension(3))
	}
}

func TestProtectorRefusesKeys(t *testing.T) {
	gcm := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
	for _, tc := range []struct {
		name      string
		profile   srtp.ProtectionProfile
		key, salt []byte
	}{
		{"short key", gcm.Profile, gcm.LocalKey[:15], gcm.LocalSalt},
		{"long salt", gcm.Profile, gcm.LocalKey, make([]byte, 14)},
		{"no key", gcm.Profile, nil, nil},
		{"32-bit tag", srtp.ProtectionProfileAes128CmHmacSha1_32, make([]byte, 16), make([]byte, 14)},
		{"no encryption", srtp.ProtectionProfileNullHmacSha1_80, make([]byte, 16), make([]byte, 14)},
		{"unknown", 0x4711, make([]byte, 16), make([]byte, 14)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if p, err := newProtector(tc.profile, tc.key, tc.salt); err == nil {
				t.Errorf("got %T, want an error", p)
			}
		})
	}
}

func TestSealAllocations(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			k := testKeys(t, tc.profile)
			p, err := newProtector(k.Profile, k.LocalKey, k.LocalSalt)
			if err != nil {
				t.Fatal(err)
			}
			buf, payload := make([]byte, bufferSize), make([]byte, 1200)
			index := uint64(1)
			got := testing.AllocsPerRun(200, func() {
				p.seal(buf, rtpHeader, payload, 1, index)
				index++
			})
			if got > tc.allocs {
				t.Errorf("got %v allocations a packet, want at most %v", got, tc.allocs)
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, tc := range profiles {
		b.Run(tc.name, func(b *testing.B) {
			k := testKeys(b, tc.profile)
			p, err := newProtector(k.Profile, k.LocalKey, k.LocalSalt)
			if err != nil {
				b.Fatal(err)
			}
			buf, payload := make([]byte, bufferSize), make([]byte, 1200)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			index := uint64(1)
			for b.Loop() {
				p.seal(buf, rtpHeader, payload, 1, index)
				index++
			}
		})
	}
}
