package session

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedSide is a sideConn that records what was written and reads what the
// test pushes.
type scriptedSide struct {
	*pipe
	written chan []byte
}

func newScriptedSide() *scriptedSide {
	s := &scriptedSide{written: make(chan []byte, 64)}
	s.pipe = newPipe(8, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &buffers{}, func(b []byte, _ netip.AddrPort) (int, error) {
		s.written <- append([]byte(nil), b...)
		return len(b), nil
	})
	return s
}

// handshakeRecord is the head of a DTLS handshake record.
func handshakeRecord(epoch, kind byte) []byte {
	return []byte{22, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 12, kind, 0, 0, 0}
}

func TestClientHelloIsRepeatedUntilAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		side := newScriptedSide()
		r := newHelloRepeater(side)
		to := netip.MustParseAddrPort("127.0.0.1:5000")
		hello := handshakeRecord(0, 1)
		if _, err := r.WriteToAddrPort(hello, to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if got := len(side.written); got != 3 {
			t.Errorf("got %d ClientHellos in the first 100 ms, want 3", got)
		}
		if !side.push(handshakeRecord(0, 2), to) {
			t.Fatal("the answer was not taken")
		}
		if _, _, err := r.ReadFromAddrPort(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		before := len(side.written)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(side.written); got != before {
			t.Errorf("%d more were sent after the answer", got-before)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUnansweredClientHelloIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		side := newScriptedSide()
		r := newHelloRepeater(side)
		to := netip.MustParseAddrPort("127.0.0.1:5000")
		if _, err := r.WriteTo(handshakeRecord(0, 1), net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := len(side.written), 1+len(helloRepeats); got != want {
			t.Errorf("got %d datagrams, want %d", got, want)
		}
		if len(r.waiting) != 0 {
			t.Errorf("%d ClientHellos are kept", len(r.waiting))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Nothing but a ClientHello may be repeated: later flights after the handshake
// stop ffmpeg.
func TestOnlyClientHellosAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		side := newScriptedSide()
		r := newHelloRepeater(side)
		to := netip.MustParseAddrPort("[::1]:5000")
		others := [][]byte{
			handshakeRecord(0, 2), handshakeRecord(0, 16), handshakeRecord(1, 1),
			{22, 254, 253},
			{0, 1, 0, 0},
			{128, 96, 0, 1},
			{},
		}
		for _, b := range others {
			if _, err := r.WriteToAddrPort(b, to); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(side.written); got != len(others) {
			t.Errorf("got %d datagrams, want %d", got, len(others))
		}
	})
}

func TestClosedRepeaterIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		side := newScriptedSide()
		r := newHelloRepeater(side)
		to := netip.MustParseAddrPort("127.0.0.1:5000")
		if _, err := r.WriteToAddrPort(handshakeRecord(0, 1), to); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.WriteToAddrPort(handshakeRecord(0, 1), to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(side.written); got != 2 {
			t.Errorf("got %d datagrams, want the 2 written", got)
		}
	})
}
