package mutant

import (
	"net"
	"slices"

	"github.com/pion/stun/v4"
)

// forge answers a check with success, as the server would.
func (d *datagram) forge(pwd string) {
	m, err := d.message()
	if err != nil {
		return
	}
	setters := []stun.Setter{
		stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.IP(d.leg.client.Addr().AsSlice()), Port: int(d.leg.client.Port())},
	}
	if pwd != "" {
		setters = append(setters, stun.NewShortTermIntegrity(pwd))
	}
	if answer, err := stun.Build(append(setters, stun.Fingerprint)...); err == nil {
		d.leg.toClient(answer.Raw)
	}
}

// mapped is a response that tells the client its own address, and not that
// of the relay which the server saw, signed anew. What is no success, or is
// signed with an unknown password, is left as it is.
func (d *datagram) mapped() []byte {
	m, err := d.message()
	if err != nil || !m.Contains(stun.AttrXORMappedAddress) {
		return d.data
	}
	f := d.session().know()
	for _, pwd := range []string{f.pwd, f.formerPwd} {
		if pwd == "" || !d.genuine(pwd) {
			continue
		}
		out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), m.Type,
			&stun.XORMappedAddress{IP: net.IP(d.leg.client.Addr().AsSlice()), Port: int(d.leg.client.Port())},
			others(m, stun.AttrXORMappedAddress), stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
		if err == nil {
			return out.Raw
		}
	}
	return d.data
}

// attributes are some of a message, to be put into another.
type attributes []stun.RawAttribute

func (list attributes) AddTo(m *stun.Message) error {
	for _, a := range list {
		m.Add(a.Type, a.Value)
	}
	return nil
}

// others are the attributes of a message but those of some types, and but those
// that sign it.
func others(m *stun.Message, but ...stun.AttrType) attributes {
	but = append(but, stun.AttrMessageIntegrity, stun.AttrFingerprint)
	return slices.DeleteFunc(slices.Clone(attributes(m.Attributes)), func(a stun.RawAttribute) bool { return slices.Contains(but, a.Type) })
}

// has tells whether a STUN message has an attribute.
func (d *datagram) has(a stun.AttrType) bool {
	m, err := d.message()
	return err == nil && m.Contains(a)
}

// genuine tells whether a message has the integrity that the password gives,
// and no wrong fingerprint.
func (d *datagram) genuine(pwd string) bool {
	m, err := d.message()
	return err == nil && stun.NewShortTermIntegrity(pwd).Check(m) == nil &&
		(!m.Contains(stun.AttrFingerprint) || stun.Fingerprint.Check(m) == nil)
}

// rewrite sends a check to the server that names another ufrag of it, signed
// anew; attributes in drop are left out.
func (d *datagram) rewrite(username, pwd string, drop ...stun.AttrType) {
	m, err := d.message()
	if err != nil {
		return
	}
	out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), m.Type, stun.NewUsername(username),
		others(m, append(drop, stun.AttrUsername)...), stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	if err == nil {
		d.leg.toServer(out.Raw)
	}
}

// check sends a connectivity check to the client, which a lite server never does.
func (l *leg) check(f facts, role stun.AttrType) {
	out, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(f.remoteUfrag+":"+f.ufrag),
		stun.RawAttribute{Type: role, Value: []byte("tiebreak")}, stun.NewShortTermIntegrity(f.remotePwd), stun.Fingerprint)
	if err == nil {
		l.toClient(out.Raw)
	}
}
