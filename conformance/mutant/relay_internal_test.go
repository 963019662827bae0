package mutant

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

func TestKindOfDatagram(t *testing.T) {
	build := func(kind stun.MessageType) []byte {
		m, err := stun.Build(stun.TransactionID, kind)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	for name, c := range map[string]struct {
		b    []byte
		want kind
	}{
		"request":    {build(stun.BindingRequest), stunRequest},
		"success":    {build(stun.BindingSuccess), stunResponse},
		"error":      {build(stun.BindingError), stunResponse},
		"indication": {build(stun.NewType(stun.MethodBinding, stun.ClassIndication)), other},
		"dtls":       {[]byte{22, 0xfe, 0xfd}, dtlsRecord},
		"rtp":        {[]byte{0x80, 96 | 0x80}, rtpPacket},
		"rtcp":       {[]byte{0x81, 205}, rtcpPacket},
		"short":      {[]byte{0}, other},
		"empty":      {nil, other},
	} {
		if got := kindOfDatagram(c.b); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

// dtlsPacket is a datagram of one record.
func dtlsPacket(content byte, epoch uint16, body []byte) []byte {
	b := []byte{content, 0xfe, 0xfd}
	b = binary.BigEndian.AppendUint16(b, epoch)
	b = append(b, 0, 0, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// hello is a handshake message that offers or chooses SRTP profiles.
func hello(handshake byte, profiles ...uint16) []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	body = append(body, 0) // session id
	if handshake == clientHello {
		body = append(body, 0, 0, 2, 0xc0, 0x2b, 1, 0) // cookie, suites, compression
	} else {
		body = append(body, 0xc0, 0x2b, 0)
	}
	list := binary.BigEndian.AppendUint16(nil, uint16(2*len(profiles)))
	for _, p := range profiles {
		list = binary.BigEndian.AppendUint16(list, p)
	}
	list = append(list, 0)                                // MKI
	extensions := []byte{0, 10, 0, 4, 0, 2, 0, 29, 0, 14} // groups, then use_srtp
	extensions = binary.BigEndian.AppendUint16(extensions, uint16(len(list)))
	extensions = append(extensions, list...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
	body = append(body, extensions...)
	return append(append([]byte{handshake}, make([]byte, handshakeHeader-1)...), body...)
}

func TestDTLS(t *testing.T) {
	if !closes(append(dtlsPacket(23, 1, []byte{1}), dtlsPacket(contentAlert, 1, make([]byte, 26))...)) {
		t.Error("an encrypted alert is not seen behind another record")
	}
	if closes(dtlsPacket(contentAlert, 0, []byte{2, 40})) {
		t.Error("an alert of the handshake is taken for the end")
	}
	for _, handshake := range []byte{clientHello, serverHello} {
		packet := dtlsPacket(contentHandshake, 0, hello(handshake, profileCM80, 7))
		if got, want := srtpProfiles(packet), []uint16{profileCM80, 7}; !slices.Equal(got, want) {
			t.Errorf("handshake %d: got profiles %v, want %v", handshake, got, want)
		}
		for n := range packet {
			srtpProfiles(packet[:n]) // whatever is missing, nothing breaks
			helloProfiles(handshake, packet[min(n, recordHeader+handshakeHeader):n])
		}
	}
	if got := srtpProfiles(dtlsPacket(contentHandshake, 0, append([]byte{11}, make([]byte, 40)...))); got != nil {
		t.Errorf("a certificate: got profiles %v, want none", got)
	}
}

// TestRelay sends through a relay, and lets its fault answer, change and drop.
func TestRelay(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := &Proxy{}
	p.fault.swallow = func(d *datagram) bool {
		switch {
		case d.kind != stunRequest:
			return d.kind == rtpPacket
		case d.has(stun.AttrType(0x7fff)):
			d.forge("password")
		case d.genuine("password"):
			d.rewrite("real:client", "password", stun.AttrUseCandidate)
		}
		return true
	}
	r, err := startRelay(p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.setTarget(server.LocalAddr().(*net.UDPAddr).AddrPort())
	client, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	send := func(setters ...stun.Setter) {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Write([]byte{0x80, 96, 0, 0}); err != nil { // dropped
		t.Fatal(err)
	}
	send(stun.NewUsername("shown:client"), stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity("password"), stun.Fingerprint)
	got, from := receive(t, server)
	d := &datagram{data: got}
	if d.username() != "real:client" || !d.genuine("password") || d.has(stun.AttrUseCandidate) {
		t.Errorf("got a check of %q, want it rewritten and signed", d.username())
	}
	if _, err := server.WriteToUDP([]byte{0x81, 200, 0, 0}, from); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, client); kindOfDatagram(got) != rtcpPacket {
		t.Errorf("got %v, want what the server sent", got)
	}
	send(stun.NewUsername("shown:client"), stun.RawAttribute{Type: 0x7fff, Value: []byte{1, 2, 3, 4}})
	forged, _ := receive(t, client)
	if d := (&datagram{data: forged}); kindOfDatagram(forged) != stunResponse || !d.genuine("password") {
		t.Errorf("got %v, want a forged answer with integrity", forged)
	}
}

func receive(t *testing.T, conn *net.UDPConn) ([]byte, *net.UDPAddr) {
	t.Helper()
	b := make([]byte, 1500)
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := conn.ReadFromUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], from
}
