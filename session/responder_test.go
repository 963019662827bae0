package session_test

import (
	"maps"
	"net"
	"testing"

	"github.com/pion/stun/v4"

	"github.com/sluicemedia/sluice/session"
)

// checks adds up what became of all checks so far.
func checks(st session.Stats) map[string]uint64 {
	all := map[string]uint64{}
	maps.Copy(all, st.Checks)
	for k, n := range st.Drops {
		all[k] += n
	}
	return all
}

func TestChecks(t *testing.T) {
	t.Parallel()
	attr := func(a stun.AttrType, v ...byte) stun.Setter { return stun.RawAttribute{Type: a, Value: v} }
	set := func(s ...stun.Setter) []stun.Setter { return s }
	table := newTable(t, nil)
	r := openRaw(t, table)
	for _, c := range []struct {
		name   string
		check  checkOption
		code   stun.ErrorCode // 0: success; -1: silence
		counts string
	}{
		{"of another session", checkOption{local: "nobodyishere"}, -1, "unknown_ufrag"},
		{"wrong remote ufrag", checkOption{remote: "other"}, -1, "integrity"},
		{"wrong password", checkOption{pwd: "xxxxxxxxxxxxxxxxxxxxxxxx"}, -1, "integrity"},
		{"wrong fingerprint", checkOption{badFingerprint: true}, -1, "integrity"},
		{"no integrity", checkOption{bare: true}, stun.CodeBadRequest, "malformed"},
		{"no integrity, wrong remote ufrag", checkOption{bare: true, remote: "other"}, -1, "integrity"},
		{"controlled", checkOption{extra: set(tieBreaker(stun.AttrICEControlled))}, stun.CodeRoleConflict, "role_conflict"},
		{"unknown attribute", checkOption{extra: set(attr(0x7FFF, 1, 2, 3))}, stun.CodeUnknownAttribute, "unknown_attribute"},
		{"optional attribute", checkOption{extra: set(attr(0xC057, 0, 1, 0, 2))}, 0, "accepted"},
		{"bare minimum", checkOption{}, 0, "accepted"},
		{"ordinary", checkOption{extra: set(priority(), tieBreaker(stun.AttrICEControlling))}, 0, "accepted"},
		{"nominating", checkOption{extra: set(priority(), tieBreaker(stun.AttrICEControlling)), nominate: true}, 0, "nominated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := checks(table.Stats())[c.counts]
			m := r.build(c.check)
			r.write(m.Raw)
			poll(t, c.counts, func() bool { return checks(table.Stats())[c.counts] == before+1 })
			if c.code < 0 {
				return // a response would be the next one's, which fails on it
			}
			got := r.response(m)
			var code stun.ErrorCodeAttribute
			if c.code != 0 {
				if err := code.GetFrom(got); err != nil || got.Type != stun.BindingError || code.Code != c.code {
					t.Fatalf("got %v, want %d", got, c.code)
				}
				if !c.check.bare && stun.NewShortTermIntegrity(r.serverPwd).Check(got) != nil {
					t.Error("the error response is not protected")
				}
				return
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(got); err != nil || got.Type != stun.BindingSuccess {
				t.Fatalf("got %v: %v", got, err)
			}
			if here := r.sock.LocalAddr().(*net.UDPAddr); mapped.Port != here.Port || !mapped.IP.Equal(here.IP) {
				t.Errorf("mapped address %v, want %v", mapped, here)
			}
			if stun.NewShortTermIntegrity(r.serverPwd).Check(got) != nil || stun.Fingerprint.Check(got) != nil {
				t.Error("the response is not protected")
			}
		})
	}
}

// USE-CANDIDATE behind MESSAGE-INTEGRITY could have been added by anybody.
func TestCheckAttributesBehindIntegrity(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(r.server+":"+r.ufrag),
		stun.NewShortTermIntegrity(r.serverPwd), stun.RawAttribute{Type: stun.AttrUseCandidate})
	if err != nil {
		t.Fatal(err)
	}
	r.write(m.Raw)
	if got := r.response(m); got.Type != stun.BindingSuccess {
		t.Fatalf("got %v", got)
	}
	if st := table.Stats(); st.Checks["nominated"] != 0 || st.Checks["accepted"] != 1 {
		t.Errorf("got %v", st.Checks)
	}
}

// A viewer has at most eight addresses; the one in use is never dropped.
func TestAddressesAreBounded(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	r.check(checkOption{nominate: true})
	first := r.sock
	r.sock = nil // rebind must not close it
	for range 20 {
		r.rebind()
		r.check(checkOption{})
	}
	_, _, addresses, _ := table.Sizes()
	if n := r.session.Addresses(); n != 8 || addresses != 8 {
		t.Errorf("%d addresses of the viewer, %d in all, want 8", n, addresses)
	}
	_ = r.sock.Close()
	r.sock = first
	if err := r.shake(r.cert); err != nil {
		t.Errorf("the address in use was dropped: %v", err)
	}
}

// Datagrams that are nobody's are counted by reason and not answered.
func TestStrayDatagrams(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	rest := make([]byte, 40)
	for _, c := range []struct {
		counts string
		b      []byte
	}{
		{"malformed_stun", append([]byte{0, 1, 0, 99}, rest...)},
		{"malformed_stun", stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw}, // plain STUN: not here
		{"malformed_stun", stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("nocolon")).Raw},
		{"malformed_stun", append(r.build(checkOption{}).Raw, 0)},
		{"unknown_protocol", append([]byte{64}, rest...)},
		{"unknown_protocol", append([]byte{255}, rest...)},
		{"unknown_protocol", nil},
		{"unknown_address", append([]byte{22, 254, 253}, rest...)},
		{"unknown_address", append([]byte{128, 200}, rest...)},
	} {
		before := table.Stats().Drops[c.counts]
		r.write(c.b)
		poll(t, c.counts, func() bool { return table.Stats().Drops[c.counts] == before+1 })
	}
	r.check(checkOption{}) // fails on any other response
	before := table.Stats().Drops["media_from_viewer"]
	r.write(append([]byte{128, 96}, rest...))
	poll(t, "media_from_viewer", func() bool { return table.Stats().Drops["media_from_viewer"] == before+1 })
	r.write(append([]byte{128, 200}, rest...))
	poll(t, "rtcp_refused", func() bool { return table.Stats().Drops["rtcp_refused"] == 1 })
}
