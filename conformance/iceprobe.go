package conformance

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/pion/stun/v4"
)

// probeTime is how long checks are sent to see what comes: a full agent sends
// its own within some tens of milliseconds.
const probeTime = time.Second

// probeICE sends connectivity checks to the first UDP candidate of a session's
// answer, and tells whether they are answered and whether the server sends checks
// of its own.
func (t *T) probeICE(s *Session) (answers, asks bool) {
	answer, offer := describe(s.Answer), describe(s.Offer)
	to := ""
	for _, v := range answer.candidates() {
		if c, ok := parseCandidate(v); ok && c.transport == "udp" {
			to = net.JoinHostPort(c.address, strconv.Itoa(c.port))
			break
		}
	}
	if to == "" {
		return false, false
	}
	ctx, cancel := context.WithTimeout(t.ctx, probeTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to)
	if err != nil {
		return false, false
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing is left to be said
	user := answer.icePart("ice-ufrag") + ":" + offer.icePart("ice-ufrag")
	buf := make([]byte, 1500)
	for end := time.Now().Add(probeTime); time.Now().Before(end); {
		check, err := connectivityCheck(user, answer.icePart("ice-pwd"))
		if err != nil {
			t.Fatalf("make a connectivity check: %v", err)
		}
		// An ICMP error of an earlier one may come back here: then nobody answers.
		_, _ = conn.Write(check)
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // fails on closed sockets alone
		for {
			n, err := conn.Read(buf)
			if err != nil {
				break
			}
			m := &stun.Message{Raw: buf[:n]}
			if m.Decode() != nil {
				continue
			}
			answers = answers || m.Type == stun.BindingSuccess
			asks = asks || m.Type == stun.BindingRequest
		}
	}
	return answers, asks
}

// connectivityCheck is a check of the controlling side (RFC 8445 section 7.2.4).
func connectivityCheck(user, pwd string) ([]byte, error) {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(user),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0x7f, 0xff, 0xff}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}
