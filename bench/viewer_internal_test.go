package bench

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
)

// wire is a socket that keeps what is sent.
type wire struct {
	sent   [][]byte
	closed bool
}

func (w *wire) local() netip.AddrPort        { return netip.MustParseAddrPort("127.0.0.1:9") }
func (w *wire) connect(netip.AddrPort) error { return nil }
func (w *wire) send(b []byte) error          { w.sent = append(w.sent, bytes.Clone(b)); return nil }
func (w *wire) drops() uint64                { return 0 }
func (w *wire) close() error                 { w.closed = true; return nil }

// connected is a viewer with keys, of a server that got its answer.
func connected(t *testing.T) (*viewer, *wire) {
	t.Helper()
	w := &wire{}
	key, salt := make([]byte, 16), make([]byte, 14)
	out, err := srtp.CreateContext(key, salt, srtp.ProtectionProfile(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
	if err != nil {
		t.Fatal(err)
	}
	return &viewer{
		fleet: &fleet{latency: new(histogram)}, sock: w, connected: true, out: out, answer: &answer{},
		checked: make(chan struct{}, 1), remote: netip.MustParseAddrPort("127.0.0.1:5"), consented: time.Now(),
		check: checker{ufrag: "own", pwd: "own password", remoteUfrag: "other", remotePwd: "other password"},
	}, w
}

// TestViewerRepeatsFlight: a server that has not got the end of the handshake gets
// it again, which the handshake itself can no longer do.
func TestViewerRepeatsFlight(t *testing.T) {
	v, w := connected(t)
	p := newPipe(nil, func([]byte) error { return nil })
	for _, step := range []struct {
		deliver bool
		text    string
	}{{false, "early"}, {true, "question"}, {false, "one"}, {false, "two"}} {
		if step.deliver {
			p.deliver([]byte(step.text))
		} else if _, err := p.WriteTo([]byte(step.text), nil); err != nil {
			t.Fatal(err)
		}
	}
	v.flight = p.retire()
	if n, err := p.WriteTo([]byte("close_notify"), nil); n != 12 || err != nil {
		t.Errorf("got %d, %v: a retired pipe takes everything", n, err)
	}
	v.takeDTLS([]byte{recordHandshake, 254, 253})
	if got := slices.Collect(func(yield func(string) bool) {
		for _, b := range w.sent {
			if !yield(string(b)) {
				return
			}
		}
	}); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q, want the last flight", got)
	}
	if v.ended {
		t.Error("a handshake record ended the session")
	}
	if v.takeDTLS([]byte{recordAlert, 254, 253}); !v.ended {
		t.Error("an alert did not end the session")
	}
}

// TestViewerConsent: checks are answered and asked for, and a viewer without answers
// stops in the end.
func TestViewerConsent(t *testing.T) {
	v, w := connected(t)
	build := func(setters ...stun.Setter) []byte {
		m, err := stun.Build(setters...)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	begin := v.consented
	v.keepAlive(true, begin)
	request := &stun.Message{Raw: w.sent[0]}
	if err := request.Decode(); err != nil || len(w.sent) != 1 {
		t.Fatalf("got %d datagrams, %v", len(w.sent), err)
	}
	var user stun.Username
	if user.GetFrom(request) != nil || user.String() != "other:own" || !request.Contains(stun.AttrUseCandidate) ||
		stun.NewShortTermIntegrity("other password").Check(request) != nil {
		t.Errorf("got %v", request)
	}

	answer := func(id [stun.TransactionIDSize]byte, password string) []byte {
		return build(stun.NewTransactionIDSetter(id), stun.BindingSuccess, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	}
	later := begin.Add(consentTimeout)
	for _, wrong := range [][]byte{answer(request.TransactionID, "wrong"), answer(stun.NewTransactionID(), "other password"), {0, 1, 2}} {
		if v.take(wrong, len(wrong), 0, later); v.consented != begin {
			t.Errorf("% x was taken for an answer", wrong)
		}
	}
	right := answer(request.TransactionID, "other password")
	if v.take(right, len(right)+1, 0, later); v.consented != begin {
		t.Error("the beginning of an answer was taken for one")
	}
	if v.take(right, len(right), 0, later); v.consented != later || len(v.checked) != 1 {
		t.Error("an answer was not taken")
	}

	theirs := build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("own:other"), stun.NewShortTermIntegrity("own password"), stun.Fingerprint)
	v.take(theirs, len(theirs), 0, later)
	reply := &stun.Message{Raw: w.sent[len(w.sent)-1]}
	if err := reply.Decode(); err != nil || reply.Type != stun.BindingSuccess || stun.NewShortTermIntegrity("own password").Check(reply) != nil {
		t.Errorf("got %v, %v", reply, err)
	}
	forged := build(stun.TransactionID, stun.BindingRequest, stun.NewShortTermIntegrity("guess"), stun.Fingerprint)
	before := len(w.sent)
	if v.take(forged, len(forged), 0, later); len(w.sent) != before {
		t.Error("a check with a wrong password was answered")
	}

	if v.keepAlive(false, later.Add(consentTimeout)); v.ended {
		t.Error("consent ended too early")
	}
	if v.keepAlive(false, later.Add(consentTimeout+1)); !v.ended {
		t.Error("consent did not end")
	}
	before = len(w.sent)
	if v.keepAlive(true, later); len(w.sent) != before {
		t.Error("a viewer that has ended sends on")
	}
}

// TestViewerReport: what a report says of loss (RFC 3550 section 6.4.1).
func TestViewerReport(t *testing.T) {
	v, _ := connected(t)
	if raw, err := v.report(); raw != nil || err != nil {
		t.Errorf("got % x, %v before anything came", raw, err)
	}
	in, err := srtp.CreateContext(make([]byte, 16), make([]byte, 14), srtp.ProtectionProfile(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
	if err != nil {
		t.Fatal(err)
	}
	receive := func(from, to int) {
		for n := from; n <= to; n++ {
			b := []byte{0x80, 96, byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, 0, 7}
			v.take(b, 1000, 0, time.Now())
		}
	}
	for _, step := range []struct {
		from, to int
		want     rtcp.ReceptionReport
	}{
		{65_530, 65_533, rtcp.ReceptionReport{SSRC: 7, LastSequenceNumber: 65_533}},
		// Two of four are lost, 65534 and 65535.
		{65_536, 65_537, rtcp.ReceptionReport{SSRC: 7, LastSequenceNumber: 65_537, FractionLost: 128, TotalLost: 2}},
		{65_538, 65_541, rtcp.ReceptionReport{SSRC: 7, LastSequenceNumber: 65_541, TotalLost: 2}},
		// They come after all: what is less than nothing is told as nothing.
		{65_534, 65_535, rtcp.ReceptionReport{SSRC: 7, LastSequenceNumber: 65_541}},
	} {
		receive(step.from, step.to)
		raw, err := v.report()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := in.DecryptRTCP(nil, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		var r rtcp.ReceiverReport
		if err := r.Unmarshal(plain); err != nil || len(r.Reports) != 1 || r.Reports[0] != step.want {
			t.Errorf("to %d: got %+v, %v; want %+v", step.to, r.Reports, err, step.want)
		}
	}
	if got := v.totals(); got.packets != 12 || got.bytes != 12_000 || got.missing != 0 || got.late != 2 {
		t.Errorf("got %+v", got)
	}
}

// TestViewerIgnores: what is not media, STUN or DTLS counts for nothing.
func TestViewerIgnores(t *testing.T) {
	v, w := connected(t)
	for _, b := range [][]byte{nil, {0x80}, {5, 1, 2}, {64, 0}, {0x80, 200, 0, 1}, {0x80, 96, 0, 1}, {192, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}} {
		v.take(b, len(b), 0, time.Now())
	}
	early := &viewer{}
	early.take([]byte{recordHandshake, 1, 2}, 3, 0, time.Now())
	early.take(make([]byte, 20), 20, 0, time.Now())
	early.take(append([]byte{0x80, 96}, make([]byte, 20)...), 22, 0, time.Now())
	if got := v.totals(); got != (totals{}) || v.ended || len(w.sent) != 0 || early.tracks[audio].packets != 0 {
		t.Errorf("got %+v, %d datagrams", got, len(w.sent))
	}
}

// TestViewerTakeAllocs: what comes for a viewer that does not decrypt costs no memory.
func TestViewerTakeAllocs(t *testing.T) {
	v, _ := connected(t)
	b := append([]byte{0x80, 96}, make([]byte, 100)...)
	now := time.Now()
	n := uint16(0)
	if allocs := testing.AllocsPerRun(1000, func() {
		n++
		b[2], b[3] = byte(n>>8), byte(n)
		v.take(b, 1200, 0, now)
	}); allocs != 0 || v.tracks[audio].packets == 0 {
		t.Errorf("%v allocations for a packet", allocs)
	}
}

func TestFleetTakesEnded(t *testing.T) {
	f := &fleet{latency: new(histogram)}
	var all []*viewer
	for i := range 4 {
		v, _ := connected(t)
		v.ended = i%2 == 0
		v.tracks[video].packets = 10
		f.add(v)
		all = append(all, v)
	}
	if c, _ := f.count(); c.closed != 2 || c.all.packets != 40 || len(c.own) != 4 {
		t.Errorf("got %+v", c)
	}
	if got := f.takeEnded(); !slices.Equal(got, []*viewer{all[0], all[2]}) {
		t.Errorf("got %d viewers", len(got))
	}
	if got := f.take(1); !slices.Equal(got, all[1:2]) || !slices.Equal(f.list(), all[3:]) {
		t.Errorf("got %d viewers, %d are left", len(got), len(f.list()))
	}
	if c, _ := f.count(); c.closed != 0 || c.all.packets != 40 || len(c.own) != 1 {
		t.Errorf("got %+v: what they received stays", c)
	}
}
