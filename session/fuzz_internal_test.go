package session

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

// FuzzCheck: a check may carry any attributes under the right password, and
// before and behind it. Each gets silence or one answer that parses, is
// protected, and is for the request.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("\x00\x24\x04\x6e\x00\x1e\xff\x00\x25\x00"), []byte("\x80\x22\x01a"), uint16(0), true)
	f.Add([]byte("\x7f\xff\x00\x80\x29\x08tiebreak"), []byte(nil), uint16(0), true)
	f.Add([]byte(nil), []byte("\x00\x25\x00\x00\x08\x14aaaaaaaaaaaaaaaaaaaa"), uint16(3), false)
	g := newGeneration(credentials{"local123", "0123456789abcdef01234567"}, credentials{"remote12", "x"})
	from := netip.MustParseAddrPort("[2001:db8::1]:1000")
	f.Fuzz(func(t *testing.T, before, behind []byte, spoil uint16, fingerprint bool) {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("local123:remote12"))
		addAttributes(m, before)
		if pionKey(g).AddTo(m) != nil {
			return // a fingerprint is there already
		}
		protected := len(m.Raw)
		addAttributes(m, behind)
		if fingerprint {
			if err := stun.Fingerprint.AddTo(m); err != nil {
				return // there is one already
			}
		}
		if len(m.Raw) > maxDatagram {
			return
		}
		spoilt := spoil != 0 && int(spoil) < protected
		if spoilt {
			m.Raw[spoil] ^= 0x01
		}
		var r responder
		if r.decode(m.Raw) != nil || string(r.local) != g.local.ufrag {
			return
		}
		v, reply := r.judge(g, from)
		asPionDoes(t, g, from, m.Raw)
		if spoilt && (v == checkAccepted || v == checkNominated) {
			t.Errorf("a check with byte %d spoilt was accepted", spoil)
		}
		if len(reply) == 0 {
			if v != checkIntegrity {
				t.Errorf("verdict %d without an answer", v)
			}
			return
		}
		answer := &stun.Message{Raw: bytes.Clone(reply)}
		if err := answer.Decode(); err != nil {
			t.Fatalf("the answer does not parse: %v", err)
		}
		if !bytes.Equal(answer.TransactionID[:], m.Raw[8:20]) || stun.Fingerprint.Check(answer) != nil {
			t.Errorf("the answer to %x is %x", m.Raw, reply)
		}
		if v != checkMalformed && pionKey(g).Check(answer) != nil {
			t.Errorf("verdict %d is answered without protection", v)
		}
		if len(reply) > 2*len(m.Raw)+80 {
			t.Errorf("%d bytes are answered by %d", len(m.Raw), len(reply))
		}
	})
}

// addAttributes adds attributes of two bytes of type, one of length, and value.
func addAttributes(m *stun.Message, b []byte) {
	for len(b) >= 3 {
		n := min(int(b[2]), len(b)-3)
		m.Add(stun.AttrType(binary.BigEndian.Uint16(b)), b[3:3+n])
		b = b[3+n:]
	}
}
