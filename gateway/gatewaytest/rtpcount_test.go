package gatewaytest_test

import (
	"testing"

	"github.com/pion/rtp"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

func TestRTPCounter(t *testing.T) {
	var c gatewaytest.RTPCounter
	send := func(ssrc uint32, seq uint16, f gatewaytest.Fate) {
		b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq}, Payload: []byte{1}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		c.Observe(b, f)
	}
	for seq := range uint16(100) {
		f := gatewaytest.Passed
		if seq%10 == 0 {
			f = gatewaytest.Lost
		}
		send(1, seq, f)
	}
	send(1, 50, gatewaytest.Passed)
	send(2, 0, gatewaytest.Overflowed)
	for i := range 70000 { // over the wrap: no repeats
		send(3, uint16(i), gatewaytest.Passed)
	}
	for _, other := range [][]byte{nil, {0x80}, make([]byte, 20), append([]byte{0x80, 200}, make([]byte, 20)...), append([]byte{22, 254, 253}, make([]byte, 20)...)} {
		c.Observe(other, gatewaytest.Passed)
	}
	want := map[uint32]gatewaytest.RTPCount{1: {101, 10, 1, 96}, 2: {1, 1, 0, 96}, 3: {70000, 0, 0, 96}}
	got := c.Counts()
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for ssrc, w := range want {
		if got[ssrc] != w {
			t.Errorf("SSRC %d: got %+v, want %+v", ssrc, got[ssrc], w)
		}
	}
}
