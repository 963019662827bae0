package conformance

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
)

// maxHeard bounds what an agent keeps of each kind; the oldest go first.
const maxHeard = 20000

// heard is all that a server has sent to an agent.
type heard struct {
	mu        sync.Mutex // guards what follows
	waiting   map[[stun.TransactionIDSize]byte]chan *stun.Message
	requests  []heardCheck
	binding   []time.Time // Binding indications
	packetsIn []heardRTP
	feedback  []heardRTCP
	hello     time.Time // first DTLS record
	helloType byte      // its handshake type
	records   int       // DTLS records
	closed    time.Time // close_notify, or another end of the DTLS connection
	closedBy  error     // io.EOF: close_notify
	in        *srtp.Context
	early     [][]byte // SRTP that came before the keys
	unsealed  int      // packets that could not be decrypted
	last      time.Time
}

// heardCheck is a check of the server.
type heardCheck struct {
	at      time.Time
	to      netip.AddrPort // our address
	message *stun.Message
}

// heardRTP is one media packet.
type heardRTP struct {
	at time.Time
	to netip.AddrPort
	rtp.Packet
}

// heardRTCP is one datagram of RTCP.
type heardRTCP struct {
	at      time.Time
	packets []rtcp.Packet
}

func (h *heard) prepare() { h.waiting = map[[stun.TransactionIDSize]byte]chan *stun.Message{} }

// expect announces that the response to a transaction is waited for.
func (h *heard) expect(id [stun.TransactionIDSize]byte) <-chan *stun.Message {
	c := make(chan *stun.Message, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[id] = c
	return c
}

func (h *heard) forget(id [stun.TransactionIDSize]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, id)
}

// keep appends within the bound.
func keep[E any](list []E, e E) []E {
	if len(list) >= maxHeard {
		list = slices.Delete(list, 0, maxHeard/2)
	}
	return append(list, e)
}

// read takes datagrams until the socket is closed.
func (a *Agent) read(sock *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if n == 0 || err != nil {
			continue // an ICMP error of a datagram sent before
		}
		a.datagram(sock, append([]byte(nil), buf[:n]...), from)
	}
}

// datagram sorts by the first byte (RFC 7983 section 7).
func (a *Agent) datagram(sock *net.UDPConn, b []byte, from netip.AddrPort) {
	now := time.Now()
	a.mu.Lock()
	a.last = now
	a.mu.Unlock()
	switch {
	case b[0] < 4:
		m := &stun.Message{Raw: b}
		if m.Decode() == nil {
			a.stun(sock, m, from, now)
		}
	case b[0] >= 20 && b[0] < 64:
		a.mu.Lock()
		a.records++
		if a.hello.IsZero() && len(b) > 13 {
			a.hello, a.helloType = now, b[13]
		}
		a.mu.Unlock()
		a.pipe.push(b)
	case b[0] >= 128 && b[0] < 192 && len(b) >= 12:
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.in == nil {
			if len(a.early) < 256 {
				a.early = append(a.early, b)
			}
			return
		}
		a.media(b, localOf(sock), now)
	}
}

// stun notes a response or indication, and answers a request.
func (a *Agent) stun(sock *net.UDPConn, m *stun.Message, from netip.AddrPort, now time.Time) {
	a.mu.Lock()
	switch m.Type.Class {
	case stun.ClassSuccessResponse, stun.ClassErrorResponse:
		if c := a.waiting[m.TransactionID]; c != nil {
			select {
			case c <- m:
			default:
			}
		}
	case stun.ClassIndication:
		a.binding = keep(a.binding, now)
	case stun.ClassRequest:
		a.requests = keep(a.requests, heardCheck{now, localOf(sock), m})
	}
	a.mu.Unlock()
	if m.Type != stun.BindingRequest || a.deaf.Load() {
		return
	}
	reply, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().Unmap().AsSlice(), Port: int(from.Port())},
		stun.NewShortTermIntegrity(a.own().pwd), stun.Fingerprint)
	if err == nil { // cannot fail with these attributes; silence is what a lost reply would be
		a.sendFrom(sock, reply.Raw, from)
	}
}

// media opens a packet and notes it. a.mu is held.
func (a *Agent) media(b []byte, to netip.AddrPort, now time.Time) {
	if b[1] >= 192 && b[1] <= 223 {
		plain, err := a.in.DecryptRTCP(nil, b, nil)
		if err != nil {
			a.unsealed++
			return
		}
		packets, err := rtcp.Unmarshal(plain)
		if err != nil {
			a.unsealed++
			return
		}
		a.feedback = keep(a.feedback, heardRTCP{now, packets})
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				a.keyframes.Add(1)
			}
		}
		return
	}
	plain, err := a.in.DecryptRTP(nil, b, nil)
	if err != nil {
		a.unsealed++
		return
	}
	p := heardRTP{at: now, to: to}
	if p.Unmarshal(plain) != nil {
		a.unsealed++
		return
	}
	a.packetsIn = keep(a.packetsIn, p)
}

// arm begins to decrypt, first what came before the keys.
func (a *Agent) arm(in *srtp.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.in = in
	for _, b := range a.early {
		a.media(b, a.addr(), time.Now())
	}
	a.early = nil
}

// packets are those of a payload type, all with a type below 0.
func (h *heard) packets(payloadType int) []heardRTP {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []heardRTP
	for i := range h.packetsIn {
		if payloadType < 0 || int(h.packetsIn[i].PayloadType) == payloadType {
			list = append(list, h.packetsIn[i])
		}
	}
	return list
}

// count is how many packets of a payload type came after an instant.
func (h *heard) count(payloadType int, after time.Time) int {
	n := 0
	for _, p := range h.packets(payloadType) {
		if p.at.After(after) {
			n++
		}
	}
	return n
}

// reports are the RTCP datagrams.
func (h *heard) reports() []heardRTCP {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.feedback)
}

// serverChecks are the checks that the server sent.
func (h *heard) serverChecks() []heardCheck {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

// farewell is when and how the server ended the DTLS connection, the zero time
// when it has not.
func (h *heard) farewell() (time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed, h.closedBy
}

// silentSince is when the last datagram of any kind came.
func (h *heard) silentSince() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// firstRecord is when the first DTLS record came and its handshake type: 1 for
// a ClientHello.
func (h *heard) firstRecord() (time.Time, byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hello, h.helloType
}

// dtlsRecords is how many DTLS datagrams came.
func (h *heard) dtlsRecords() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records
}

// lastOf is the latest packet of a payload type, a zero one before the first.
func (h *heard) lastOf(payloadType int) heardRTP {
	if list := h.packets(payloadType); len(list) > 0 {
		return list[len(list)-1]
	}
	return heardRTP{}
}

// opened tells whether anything came that only the handshake's keys open: then
// the server has finished it, too.
func (h *heard) opened() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.packetsIn)+len(h.feedback) > 0
}
