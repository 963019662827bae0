package session_test

import (
	"strings"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// restart does an ICE restart of a viewer made of a PeerConnection.
func (w *viewing) restart() {
	w.t.Helper()
	offer, err := w.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.pc.SetLocalDescription(offer); err != nil {
		w.t.Fatal(err)
	}
	old := w.pc.RemoteDescription().SDP
	reply, etag, err := w.session.Restart(&session.Fragment{
		UFrag: attribute(offer.SDP, "ice-ufrag"), Pwd: attribute(offer.SDP, "ice-pwd"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if etag != w.session.ETag() {
		w.t.Errorf("tag %s, the session says %s", etag, w.session.ETag())
	}
	answer := old
	for _, name := range []string{"ice-ufrag", "ice-pwd"} {
		value := attribute(string(reply), name)
		if value == "" || value == attribute(old, name) {
			w.t.Fatalf("%s %q in the reply:\n%s", name, value, reply)
		}
		answer = strings.ReplaceAll(answer, attribute(old, name), value)
	}
	if err := w.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		w.t.Fatal(err)
	}
}

// An ICE restart changes the credentials and nothing else: media goes on with
// the same SSRC and keys.
func TestRestart(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	w := view(t, table, viewerOptions{})
	v := w.up()
	w.plays(v, "before")
	tag := w.session.ETag()
	nominated, asked := table.Stats().Checks["nominated"], w.source.asked.Load()
	w.restart()
	if w.session.ETag() == tag {
		t.Error("the tag has not changed")
	}
	poll(t, "new credentials in use", func() bool {
		_, ufrags, _, _ := table.Sizes()
		return ufrags == 1 && table.Stats().Checks["nominated"] > nominated
	})
	poll(t, "a keyframe asked for", func() bool { return w.source.asked.Load() > asked })
	w.plays(v, "after")
	if st := table.Stats(); st.Handshakes.Started != 1 {
		t.Errorf("%d handshakes, want 1", st.Handshakes.Started)
	}
	// Old credentials are void, the restart's are in force until the next.
	w.restart()
	w.plays(v, "again")
}

// Both generations are answered until the new one is nominated. A restart that
// comes to nothing leaves the session as it was.
func TestRestartGenerations(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	v := r.join()
	src := &source{}
	bindRaw(t, v, src)

	f := &session.Fragment{UFrag: "restarted", Pwd: "abcdefghijklmnopqrstuvwx"}
	reply, tag, err := r.session.Restart(f)
	if err != nil {
		t.Fatal(err)
	}
	if again, tag2, err := r.session.Restart(f); err != nil || string(again) != string(reply) || tag2 != tag {
		t.Errorf("the same restart again: %s, %s, %v, want\n%s, %s", again, tag2, err, reply, tag)
	}
	fresh := func(reply []byte, remote string) checkOption {
		return checkOption{local: attribute(string(reply), "ice-ufrag"), remote: remote, pwd: attribute(string(reply), "ice-pwd")}
	}
	success := func(o checkOption) {
		t.Helper()
		if m := r.check(o); m.Type != stun.BindingSuccess {
			t.Errorf("got %v", m)
		}
	}
	success(checkOption{nominate: true})
	success(fresh(reply, f.UFrag))
	success(checkOption{nominate: true}) // not nominated yet, so the old goes on
	r.plays(v, src)

	// A second restart before the first took hold: the last one wins.
	second := &session.Fragment{UFrag: "restart2", Pwd: "abcdefghijklmnopqrstuvwx"}
	reply2, tag2, err := r.session.Restart(second)
	if err != nil || tag2 == tag {
		t.Fatalf("second restart: %s, %v", tag2, err)
	}
	silent := func(o checkOption) {
		t.Helper()
		before := table.Stats().Drops["unknown_ufrag"]
		r.write(r.build(o).Raw)
		poll(t, "silence", func() bool { return table.Stats().Drops["unknown_ufrag"] == before+1 })
	}
	silent(fresh(reply, f.UFrag))
	last := fresh(reply2, second.UFrag)
	last.nominate = true
	success(last)
	silent(checkOption{nominate: true})
	success(last)
	r.plays(v, src)

	r.session.Close(session.CauseKicked)
	r.ended(session.CauseKicked)
	if _, _, err := r.session.Restart(f); err == nil {
		t.Error("an ended session was restarted")
	}
	silent(last)
}

// The viewer's address changes in mid-play, as behind a NAT that rebinds: its
// next nominating check moves media, and nothing else does.
func TestRebinding(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	v := r.join()
	src := &source{}
	bindRaw(t, v, src)
	r.plays(v, src)
	old := r.sock
	r.sock = nil // keep it open
	r.rebind()
	r.check(checkOption{})
	fresh := r.sock
	r.sock = old
	r.plays(v, src) // not nominated
	forged := r.build(checkOption{nominate: true, pwd: "xxxxxxxxxxxxxxxxxxxxxxxx"})
	before := table.Stats().Checks["integrity"]
	if _, err := fresh.Write(forged.Raw); err != nil {
		t.Fatal(err)
	}
	poll(t, "forged check", func() bool { return table.Stats().Checks["integrity"] == before+1 })
	r.plays(v, src) // forged
	r.sock = fresh
	r.check(checkOption{nominate: true})
	r.plays(v, src)
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	// What is said over the new address counts.
	r.report()
	_ = r.dtls.Close()
	r.ended(session.CausePeerClosed)
}
