package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
)

// Record types and sizes of DTLS 1.2 (RFC 6347 section 4.1).
const (
	recordChangeCipher = 20
	recordAlert        = 21
	recordHandshake    = 22
	recordData         = 23
	recordHeader       = 13
	maxAlertRecord     = 128
)

const (
	// maxRevivals bounds the connections revived at a time in a Table.
	maxRevivals = 64
	// reviveLimit bounds one; it takes well below a millisecond on an idle machine.
	reviveLimit = 500 * time.Millisecond
	// reviveEvery is how often one viewer's records can make work: a forged alert
	// costs as much as a real one.
	reviveEvery = time.Second
)

// alerts is a viewer's late alert: one that came when no connection was there
// to open it. Only the last one is kept.
type alerts struct {
	record []byte
	busy   bool      // a goroutine looks into one
	next   time.Time // not before
}

// record takes a datagram of DTLS records. Mux read loop only.
func (v *viewer) record(b []byte) {
	seen := inspect(b)
	v.mu.Lock()
	if v.phase == phaseIdle && !v.active && b[0] == recordHandshake {
		v.begin() // as server the ClientHello starts it
	}
	var again []byte
	switch v.phase {
	case phaseWaiting, phaseJoining:
		v.evidence.received(b)
		if seen.data { // never before the end of a handshake, and the DTLS stack would wait for a reader of it
			v.t.mux.drop(dropDTLS)
			break
		}
		v.keep(seen.alert)
		if v.phase == phaseJoining {
			v.push(b) // or has it from begin already: the stack knows a repetition
			break
		}
		v.hold(b)
		v.t.lobby.press()
	case phaseDropping, phaseDropped:
		again = v.late(seen)
	case phaseIdle, phaseClosed:
		v.t.mux.drop(dropDTLS)
	}
	to := v.pair
	v.mu.Unlock()
	if again != nil {
		_, _ = v.t.mux.conn.WriteToUDPAddrPort(again, to) // as lost as the one before
	}
}

// late looks at records that come after the handshake. An alert may be the
// viewer's good-bye. The last message of a handshake says that the viewer may
// have missed our last flight (RFC 6347 section 4.2.4): it is returned, to be
// sent again byte by byte, so that no record number is used for two things.
// V.mu is held.
func (v *viewer) late(seen records) (again []byte) {
	switch {
	case !seen.legal:
		v.t.mux.drop(dropDTLS)
	case seen.alert != nil:
		v.keep(seen.alert)
		if v.phase == phaseDropped {
			v.hear(time.Now())
		}
	case seen.finished && v.flight != nil && v.repeats < maxRepeats:
		v.repeats++
		return v.flight
	case v.phase == phaseDropped:
		v.t.mux.drop(dropDTLS)
	}
	return nil
}

func (v *viewer) push(b []byte) {
	if !v.join.pipe.push(b, v.pair) {
		v.t.mux.drop(dropQueue)
	}
}

// keep remembers an alert, in case the connection is dropped before it has read
// it. v.mu is held.
func (v *viewer) keep(alert []byte) {
	if alert != nil {
		v.alerts.record = slices.Clone(alert)
	}
}

// records is what can be seen of a datagram of DTLS records without keys.
type records struct {
	// legal: nothing in it that an honest viewer does not send after the handshake,
	// as are plain-text alerts and application data, which anybody can forge.
	legal    bool
	alert    []byte // the first encrypted one
	finished bool   // there is an encrypted handshake message
	data     bool   // there is application data
}

func inspect(b []byte) (seen records) {
	seen.legal = true
	for len(b) > 0 {
		size := len(b) + 1
		if len(b) >= recordHeader {
			size = recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		}
		if len(b) < size {
			seen.legal = false
			return seen
		}
		epoch, body := binary.BigEndian.Uint16(b[3:]), b[recordHeader:size]
		switch {
		case b[0] == recordHandshake && epoch <= 1:
			seen.finished = seen.finished || epoch == 1
		case b[0] == recordChangeCipher && epoch == 0 && len(body) == 1 && body[0] == 1:
		case b[0] == recordAlert && epoch == 1 && size <= maxAlertRecord:
			if seen.alert == nil {
				seen.alert = b[:size]
			}
		default:
			seen.legal = false
			seen.data = seen.data || b[0] == recordData
		}
		b = b[size:]
	}
	return seen
}

// dropConn drops the connection but for what a late alert needs. Only the
// goroutine of the join calls it.
func (v *viewer) dropConn(j *join, conn *dtls.Conn) {
	// Muted first: Close would send close_notify. The state is taken after that,
	// so that no record number can be used twice.
	j.pipe.mute()
	st, ok := conn.ConnectionState()
	_ = conn.Close() // of a muted pipe
	v.mu.Lock()
	if ok {
		st.PeerCertificates, st.IdentityHint, st.SessionID = nil, nil, nil
		v.state = &st
	}
	v.join = nil
	closed := v.phase == phaseClosed
	if !closed {
		v.phase = phaseDropped
		v.hear(time.Now())
	}
	v.mu.Unlock()
	if closed { // while it was dropped: close left the rest to us
		v.farewell()
	}
}

// hear looks into the kept alert, on a goroutine of its own, unless it is too
// soon for that; then the sweeper comes back to it. v.mu is held.
func (v *viewer) hear(now time.Time) {
	a := &v.alerts
	if a.record == nil || a.busy || v.state == nil || now.Before(a.next) {
		return
	}
	select {
	case v.t.revivals <- struct{}{}:
	default:
		return
	}
	record := a.record
	a.record, a.busy, a.next = nil, true, now.Add(reviveEvery)
	v.t.wg.Go(func() {
		ended := v.open(record)
		<-v.t.revivals
		v.mu.Lock()
		v.alerts.busy = false
		v.mu.Unlock()
		if ended {
			v.s.end(CausePeerClosed)
		}
	})
}

// retryAlert is called by the sweeper.
func (v *viewer) retryAlert(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == phaseDropped {
		v.hear(now)
	}
}

// open decrypts a late alert; true when it ends the connection.
func (v *viewer) open(record []byte) bool {
	v.reviving.Lock()
	defer v.reviving.Unlock()
	conn, p, err := v.revive()
	if err != nil {
		v.t.log.Warn("DTLS not resumed", "session", v.s.name, "err", err)
		return false
	}
	v.mu.Lock()
	from := v.pair
	v.mu.Unlock()
	// Only now: an alert during the "handshake" would fail it. The pipe ends behind
	// this one record, and so does Read.
	p.push(record, from)
	_ = conn.SetReadDeadline(time.Now().Add(reviveLimit)) // never fails
	_, _ = conn.Read(make([]byte, 64))
	p.mute()
	// Read says EOF in either case; Write knows whether an alert closed the connection.
	_, err = conn.Write(nil)
	ended := errors.Is(err, dtls.ErrConnClosed)
	_ = conn.Close() // of a muted pipe
	if ended {
		v.mu.Lock()
		v.gone = true
		v.mu.Unlock()
	}
	return ended
}

// farewell says close_notify on behalf of a dropped connection.
func (v *viewer) farewell() {
	// The slot comes before reviving, as in hear: farewells that held reviving
	// while alerts of the same viewers held every slot would wait for each other.
	v.t.revivals <- struct{}{} // bounded work, so this wait is short
	defer func() { <-v.t.revivals }()
	v.reviving.Lock()
	defer v.reviving.Unlock()
	v.mu.Lock()
	silent := v.gone || v.state == nil
	v.mu.Unlock()
	if silent {
		return
	}
	conn, _, err := v.revive()
	if err != nil {
		v.t.log.Warn("DTLS not resumed", "session", v.s.name, "err", err)
		return
	}
	_ = conn.Close() // says close_notify; what is lost is lost
}

// revive makes a short-lived connection from the kept state, which reads one
// datagram. v.reviving is held: record numbers are counted in the state.
func (v *viewer) revive() (*dtls.Conn, *pipe, error) {
	v.mu.Lock()
	to, st := net.UDPAddrFromAddrPort(v.pair), v.state
	v.mu.Unlock()
	p := newPipe(1, v.t.mux.local, v.t.mux.buffers, v.write)
	p.limit = 1
	conn, err := dtls.ResumeWithOptions(st, p, to, v.t.dtls.shared...)
	if err != nil {
		return nil, nil, fmt.Errorf("session: resume DTLS: %w", err)
	}
	// Sends nothing: the state is that of a finished handshake.
	ctx, cancel := context.WithTimeout(context.Background(), reviveLimit) //nolint:forbidigo // a short piece of work of our own
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		p.mute()
		_ = conn.Close() // of a muted pipe
		return nil, nil, fmt.Errorf("session: resume DTLS: %w", err)
	}
	return conn, p, nil
}
