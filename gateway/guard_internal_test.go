package gateway

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestGuard(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &newLimits().failures
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range failureBurst {
		if !g.take(a, now) {
			t.Fatalf("failure %d of %d is limited", i+1, failureBurst)
		}
	}
	if g.take(a, now) {
		t.Errorf("more than %d failures at once are let through", failureBurst)
	}
	if !g.take(b, now) {
		t.Error("another address is limited too")
	}
	now = now.Add(time.Second)
	for i := range failureRate {
		if !g.take(a, now) {
			t.Fatalf("failure %d of %d of the next second is limited", i+1, failureRate)
		}
	}
	if g.take(a, now) {
		t.Errorf("more than %d failures a second are let through", failureRate)
	}
	// A generation later the address is still known for what it did.
	now = now.Add(failureBurst / failureRate * time.Second / 2)
	for g.take(a, now) {
	}
	now = now.Add(failureBurst/failureRate*time.Second/2 + time.Second)
	if g.take(netip.MustParseAddr("192.0.2.3"), now); len(g.old) != 2 {
		t.Fatalf("%d addresses are in the old generation, want 2", len(g.old))
	}
	allowed := 0
	for g.take(a, now) {
		allowed++
	}
	if allowed != failureRate*4 {
		t.Errorf("after 4 s %d failures are let through, want %d", allowed, failureRate*4)
	}
}

func TestGuardKnowsSubscribers(t *testing.T) {
	for _, tc := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if got := subscriber(netip.MustParseAddr(tc.one)) == subscriber(netip.MustParseAddr(tc.other)); got != tc.same {
			t.Errorf("%s and %s: one party %t, want %t", tc.one, tc.other, got, tc.same)
		}
	}
	if got := subscriber(netip.Addr{}); got.IsValid() {
		t.Errorf("no address became %s", got)
	}
}

// TestGuardIsBounded fails from more addresses than are kept.
func TestGuardIsBounded(t *testing.T) {
	g := &newLimits().failures
	now := time.Unix(1000, 0)
	for i := range uint32(5 * maxLimited) {
		g.take(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 1<<24+i))), now)
		if len(g.young)+len(g.old) > 2*maxLimited {
			t.Fatalf("%d addresses are kept", len(g.young)+len(g.old))
		}
	}
}
