package bench

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// hostPriority is that of the peer reflexive candidate a check would make
// (RFC 8445 section 7.1.1).
const hostPriority = 110<<24 | 65535<<8 | 255

// checker makes and answers the connectivity checks of one viewer, who controls
// and nominates at once.
type checker struct {
	ufrag, pwd             string // the viewer's
	remoteUfrag, remotePwd string
	tieBreaker             uint64
	sent                   [stun.TransactionIDSize]byte // the last check
}

// request is the next check.
func (c *checker) request() ([]byte, error) {
	m, err := stun.Build(
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(c.remoteUfrag+":"+c.ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, hostPriority)},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: binary.BigEndian.AppendUint64(nil, c.tieBreaker)},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(c.remotePwd), stun.Fingerprint,
	)
	if err != nil {
		return nil, err
	}
	c.sent = m.TransactionID
	return m.Raw, nil
}

// take reads a STUN message from the server: whether it answers the last check,
// and what to answer if it is a check of the server's own.
func (c *checker) take(raw []byte, from netip.AddrPort) (success bool, reply []byte) {
	m := &stun.Message{Raw: raw}
	if m.Decode() != nil {
		return false, nil
	}
	switch m.Type {
	case stun.BindingSuccess:
		return m.TransactionID == c.sent && stun.NewShortTermIntegrity(c.remotePwd).Check(m) == nil, nil
	case stun.BindingRequest:
		if stun.NewShortTermIntegrity(c.pwd).Check(m) != nil {
			return false, nil
		}
		r, err := stun.Build(
			stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
			&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
			stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint,
		)
		if err == nil {
			return false, r.Raw
		}
	}
	return false, nil
}
