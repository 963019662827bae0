package session_test

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// close_notify of the viewer ends the session, while the gateway still has the
// DTLS connection and after it dropped it.
func TestViewerSaysCloseNotify(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	for name, report := range map[string]bool{"kept": false, "dropped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := openRaw(t, table)
			r.join()
			if report {
				r.report()
			}
			_ = r.dtls.Close()
			r.ended(session.CausePeerClosed)
		})
	}
	for name, o := range map[string]viewerOptions{"pion": {}, "pion, as DTLS server": {offer: passive}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := view(t, table, o)
			w.plays(w.up(), "hello")
			if err := w.pc.Close(); err != nil {
				t.Error(err)
			}
			w.ended(session.CausePeerClosed)
		})
	}
}

// The end of a session is said with close_notify, likewise.
func TestGatewaySaysCloseNotify(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	for name, report := range map[string]bool{"kept": false, "dropped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := openRaw(t, table)
			r.join()
			if report {
				r.report()
			}
			r.session.Close(session.CauseKicked)
			r.hangs()
			r.ended(session.CauseKicked)
		})
	}
	for name, o := range map[string]viewerOptions{"pion": {}, "pion, as DTLS server": {offer: passive}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := view(t, table, o)
			w.up()
			w.session.Close(session.CauseDeleted)
			w.transport(webrtc.DTLSTransportStateClosed)
			w.ended(session.CauseDeleted)
			if i := w.session.Info(); i.State != "ended" || i.Cause != session.CauseDeleted {
				t.Errorf("got %+v", i)
			}
		})
	}
}

// Nothing that can be forged without the keys ends a session.
func TestForgedRecords(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	r.join()
	plainAlert := []byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 1, 0}
	fatal := []byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40}
	data := []byte{23, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 1, 0}
	badChange := []byte{20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 1, 2}
	hello := []byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 1, 0}
	short := []byte{21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 200}
	behind := append(append([]byte(nil), hello...), plainAlert...)
	forged := append([]byte{21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 26}, make([]byte, 26)...)

	refused := func(b []byte) {
		t.Helper()
		before := table.Stats().Drops["dtls_refused"]
		r.write(b)
		poll(t, "refused", func() bool { return table.Stats().Drops["dtls_refused"] == before+1 })
	}
	for _, b := range [][]byte{plainAlert, fatal, data, badChange, short, behind} {
		refused(b)
	}
	r.write(forged) // the stack cannot open it
	r.report()
	for _, b := range [][]byte{plainAlert, fatal, data, badChange, short, hello} {
		refused(b)
	}
	for range 50 { // costs a resumption a second at most
		r.write(forged)
	}
	r.check(checkOption{}) // comes behind them in the read loop
	if len(r.closed) != 0 {
		t.Fatal("a forged record ended the session")
	}
	_ = r.dtls.Close()
	r.ended(session.CausePeerClosed) // by the sweeper
}
