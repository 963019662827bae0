//go:build e2e && linux

package gatewaytest_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// The lab proves here that it does what it says: a test on a broken lab would
// prove nothing.

// echoIn answers UDP in a namespace.
func echoIn(t *testing.T, n *gatewaytest.Namespace, addr string) {
	t.Helper()
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() { // waited for by the cleanup
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := conn.WriteTo(b[:n], from); err != nil {
				return
			}
		}
	}()
}

// roundTrip sends one packet from a namespace; 0 when no answer came in wait.
func roundTrip(t *testing.T, from *gatewaytest.Namespace, addr string, wait time.Duration) time.Duration {
	t.Helper()
	conn, err := from.Dial(t.Context(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := time.Now()
	if _, err := conn.Write([]byte("?")); err != nil {
		return 0
	}
	if err := conn.SetReadDeadline(sent.Add(wait)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 16)); err != nil {
		return 0
	}
	return time.Since(sent)
}

func TestE2ELabVeth(t *testing.T) {
	for _, base := range []string{"10.9.0.%d", "fd00:9::%d"} {
		addr := func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(base, n)) }
		bits := 24
		if addr(1).Is6() {
			bits = 64
		}
		lab := gatewaytest.NewLab(t)
		a, b := lab.Namespace("a"), lab.Namespace("b")
		lab.Veth("eth0", a, netip.PrefixFrom(addr(1), bits), b, netip.PrefixFrom(addr(2), bits))
		target := netip.AddrPortFrom(addr(2), 4000).String()
		echoIn(t, b, target)
		if roundTrip(t, a, target, 5*time.Second) == 0 {
			t.Errorf("%s: no answer over the cable", target)
		}
		if conn, err := net.Dial("udp", target); err == nil {
			// Without a route the dial fails already; with a default route the
			// packet must not arrive.
			conn.Close()
			if direct := roundTripHere(t, target); direct {
				t.Errorf("%s is reached from outside of the lab", target)
			}
		}
		out, err := a.Command(t.Context(), "ip", "-br", "addr").CombinedOutput()
		if err != nil || !strings.Contains(string(out), addr(1).String()) {
			t.Errorf("a command in the namespace does not see %v: %v\n%s", addr(1), err, out)
		}
	}
}

func roundTripHere(t *testing.T, target string) bool {
	t.Helper()
	conn, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("?")); err != nil {
		return false
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 16))
	return err == nil
}

func TestE2ELabLink(t *testing.T) {
	lab := gatewaytest.NewLab(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	var seen gatewaytest.RTPCounter
	link := lab.Link(a, netip.MustParsePrefix("10.9.0.1/24"), b, netip.MustParsePrefix("10.9.0.2/24"), 1, seen.Observe, nil)
	echoIn(t, b, "10.9.0.2:4000")
	if roundTrip(t, a, "10.9.0.2:4000", 5*time.Second) == 0 { // ARP too
		t.Fatal("no answer over the link")
	}
	link.Set(gatewaytest.Impairment{Delay: 40 * time.Millisecond})
	if rtt := roundTrip(t, a, "10.9.0.2:4000", 5*time.Second); rtt < 80*time.Millisecond {
		t.Errorf("40 ms each way took %v", rtt)
	}
	link.Set(gatewaytest.Impairment{})
	link.AB.Set(gatewaytest.Impairment{Down: true})
	before := link.AB.Counts()
	if roundTrip(t, a, "10.9.0.2:4000", 100*time.Millisecond) != 0 {
		t.Error("an answer over a link that is down")
	}
	if after := link.AB.Counts(); after.Lost == before.Lost {
		t.Errorf("the link counts %+v, before %+v", after, before)
	}
	// RTP is told from the rest inside of Ethernet frames.
	link.Set(gatewaytest.Impairment{})
	conn, err := a.Dial(t.Context(), "udp", "10.9.0.2:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet := append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}, make([]byte, 100)...)
	for range 2 {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := conn.Read(make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
	}
	if got := seen.Counts(); len(got) != 1 || got[9] != (gatewaytest.RTPCount{Packets: 2, Repeats: 1, PayloadType: 96}) {
		t.Errorf("got %+v", got)
	}
}

func TestE2ELabIsRemoved(t *testing.T) {
	var names []string
	t.Run("use", func(t *testing.T) {
		lab := gatewaytest.NewLab(t)
		names = append(names, lab.Namespace("a").Name, lab.Namespace("b").Name)
	})
	out, err := exec.Command(gatewaytest.Tool(t, "ip"), "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(out), name) {
			t.Errorf("%s is still there", name)
		}
	}
}
