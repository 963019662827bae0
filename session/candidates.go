package session

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// maxOwnCandidates bounds an answer on hosts with very many addresses.
const maxOwnCandidates = 16

// candidates are the addresses at which the media socket can be reached: those
// advertised, else the one it listens on, else those of the interfaces. In the
// last case replies leave from the address that the host's routes choose, so on
// a host with several addresses towards one network only that one connects:
// there Config.Media should name the address.
func candidates(listen netip.AddrPort, advertise []netip.Addr) ([]netip.AddrPort, error) {
	addrs := slices.Clone(advertise)
	switch {
	case len(addrs) > 0:
	case !listen.Addr().IsUnspecified():
		addrs = []netip.Addr{listen.Addr()}
	default:
		all, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("session: list interface addresses: %w", err)
		}
		addrs = rank(all)
	}
	list := make([]netip.AddrPort, 0, len(addrs))
	for _, a := range addrs[:min(len(addrs), maxOwnCandidates)] {
		list = append(list, netip.AddrPortFrom(a.Unmap(), listen.Port()))
	}
	return list, nil
}

// rank leaves out what nobody else can reach and puts IPv4 before IPv6.
// Loopback counts only when there is nothing else.
func rank(all []net.Addr) []netip.Addr {
	var v4, v6, loopback []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		ip = ip.Unmap()
		switch {
		case !ok || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified():
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case ip.Is4():
			v4 = append(v4, ip)
		default:
			v6 = append(v6, ip)
		}
	}
	if len(v4)+len(v6) == 0 {
		slices.SortStableFunc(loopback, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
		return loopback
	}
	return append(v4, v6...)
}
