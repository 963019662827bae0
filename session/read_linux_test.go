package session

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkReceive reads datagrams that come one by one from many senders, two at
// a time, and in bursts from one. It tells the CPU time of this process, which
// holds the senders, too: what differs is the reader.
func BenchmarkReceive(b *testing.B) {
	for _, c := range []struct {
		name           string
		senders, burst int
	}{{"singly", 100, 1}, {"pairs", 100, 2}, {"bursts", 1, 64}} {
		for _, name := range []string{"each", "read"} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				var n atomic.Int64
				done := make(chan struct{}, 1)
				to, stop := readFrom(b, "udp4", "127.0.0.1:0", readers[name], func([]byte, netip.AddrPort) {
					if n.Add(1)%int64(c.burst) == 0 {
						done <- struct{}{}
					}
				})
				socks := make([]*net.UDPConn, c.senders)
				for i := range socks {
					var err error
					if socks[i], err = net.DialUDP("udp4", nil, to); err != nil {
						b.Fatal(err)
					}
					defer socks[i].Close()
				}
				datagram := make([]byte, 100)
				b.ReportAllocs()
				before := processorTime(b)
				for i := 0; b.Loop(); i++ {
					for j := range c.burst {
						_, _ = socks[(i+j)%len(socks)].Write(datagram)
					}
					<-done
				}
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N*c.burst), "cpu-ns/datagram")
				if err := stop(); !errors.Is(err, net.ErrClosed) {
					b.Error(err)
				}
			})
		}
	}
}

// processorTime is what this process has used of the processors.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
