package session

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestCandidates(t *testing.T) {
	addrs := func(list ...string) []netip.Addr {
		var all []netip.Addr
		for _, a := range list {
			all = append(all, netip.MustParseAddr(a))
		}
		return all
	}
	for _, c := range []struct {
		listen    string
		advertise []netip.Addr
		want      []string
	}{
		{"127.0.0.1:7", nil, []string{"127.0.0.1:7"}},
		{"[::1]:7", nil, []string{"[::1]:7"}},
		{"127.0.0.1:7", addrs("192.0.2.1", "2001:db8::1"), []string{"192.0.2.1:7", "[2001:db8::1]:7"}},
		{"[::]:7", addrs("::ffff:192.0.2.1"), []string{"192.0.2.1:7"}},
	} {
		got, err := candidates(netip.MustParseAddrPort(c.listen), c.advertise)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, a := range got {
			text = append(text, a.String())
		}
		if !slices.Equal(text, c.want) {
			t.Errorf("%s, %v: got %v, want %v", c.listen, c.advertise, text, c.want)
		}
	}
	found, err := candidates(netip.MustParseAddrPort("[::]:7"), nil)
	if err != nil || len(found) == 0 || found[0].Port() != 7 {
		t.Errorf("interfaces: %v, %v", found, err)
	}
}

func TestRank(t *testing.T) {
	networks := func(list ...string) []net.Addr {
		var all []net.Addr
		for _, a := range list {
			ip, n, err := net.ParseCIDR(a)
			if err != nil {
				t.Fatal(err)
			}
			n.IP = ip
			all = append(all, n)
		}
		return append(all, &net.TCPAddr{})
	}
	for _, c := range []struct {
		have []net.Addr
		want []string
	}{
		{networks("::1/128", "127.0.0.1/8"), []string{"127.0.0.1", "::1"}},
		{networks("127.0.0.1/8", "fe80::1/64", "2001:db8::1/64", "192.0.2.1/24", "169.254.1.1/16"), []string{"192.0.2.1", "2001:db8::1"}},
	} {
		var text []string
		for _, a := range rank(c.have) {
			text = append(text, a.String())
		}
		if !slices.Equal(text, c.want) {
			t.Errorf("%v: got %v, want %v", c.have, text, c.want)
		}
	}
}
