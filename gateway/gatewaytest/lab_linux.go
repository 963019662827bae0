package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is a set of network namespaces for one test. Their names begin with
// $SLUICE_NS, or with one made of the process id, so that test runs on one
// machine do not meet; the test's end removes them.
type Lab struct {
	t      testing.TB
	ip     string // path of the ip command
	prefix string
	taps   int
}

// labs tells the labs of this process apart.
var labs atomic.Int64

const labPrefix = "sluice"

// NewLab prepares a lab. Without root or the ip command the test fails.
func NewLab(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	l := &Lab{t: t, ip: Tool(t, "ip")}
	l.prefix = os.Getenv("SLUICE_NS")
	if l.prefix == "" {
		l.prefix = fmt.Sprintf("%s%d", labPrefix, os.Getpid())
		l.sweep()
	}
	l.prefix += fmt.Sprintf("-%d-", labs.Add(1))
	return l
}

// sweep removes namespaces of test processes that were killed.
func (l *Lab) sweep() {
	out, err := exec.Command(l.ip, "netns", "list").Output()
	if err != nil {
		l.t.Fatalf("lab: list namespaces: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		digits, _, found := strings.Cut(strings.TrimPrefix(name, labPrefix), "-")
		pid, err := strconv.Atoi(digits)
		if !strings.HasPrefix(name, labPrefix) || !found || err != nil {
			continue
		}
		if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = exec.Command(l.ip, "netns", "del", name).Run() // another sweep may be faster
		}
	}
}

// run runs an ip command; the test fails when it does.
func (l *Lab) run(args ...string) {
	l.t.Helper()
	if out, err := exec.Command(l.ip, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("lab: ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Namespace is one network namespace of a lab.
type Namespace struct {
	Name string // as ip netns knows it
	ip   string
}

// Namespace makes a namespace with loopback up.
func (l *Lab) Namespace(name string) *Namespace {
	l.t.Helper()
	n := &Namespace{Name: l.prefix + name, ip: l.ip}
	l.run("netns", "add", n.Name)
	l.t.Cleanup(func() { l.run("netns", "del", n.Name) })
	l.run("-n", n.Name, "link", "set", "lo", "up")
	return n
}

// Veth joins two namespaces by a cable without faults. Device is the name of
// its end in each.
func (l *Lab) Veth(device string, a *Namespace, addrA netip.Prefix, b *Namespace, addrB netip.Prefix) {
	l.t.Helper()
	l.run("-n", a.Name, "link", "add", device, "type", "veth", "peer", "name", device, "netns", b.Name)
	l.up(a, device, addrA)
	l.up(b, device, addrB)
	l.running(a, device)
	l.running(b, device)
}

// running waits until a device passes packets. The kernel may take a second to
// say so after both ends are up, and libnice looks for it once only.
func (l *Lab) running(n *Namespace, device string) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command(l.ip, "-n", n.Name, "-oneline", "link", "show", "dev", device).CombinedOutput()
		// Devices that do not report their state (TAP) are UNKNOWN.
		if err == nil && (strings.Contains(string(out), "state UP") || strings.Contains(string(out), "state UNKNOWN")) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("lab: %s in %s does not come up: %v: %s", device, n.Name, err, out)
		}
	}
}

// up gives a device its address and switches it on.
func (l *Lab) up(n *Namespace, device string, addr netip.Prefix) {
	l.t.Helper()
	args := []string{"-n", n.Name, "addr", "add", addr.String(), "dev", device}
	if addr.Addr().Is6() {
		args = append(args, "nodad") // usable at once
	}
	l.run(args...)
	l.run("-n", n.Name, "link", "set", device, "up")
}

// Link is an emulated link between two namespaces.
type Link struct{ AB, BA *Direction }

// Set changes both directions.
func (l *Link) Set(i Impairment) {
	l.AB.Set(i)
	l.BA.Set(i)
}

// Link joins two namespaces by an emulated link. The observers, which may be
// nil, see the payload of each UDP packet that enters a direction.
func (l *Lab) Link(a *Namespace, addrA netip.Prefix, b *Namespace, addrB netip.Prefix, seed uint64, ab, ba func([]byte, Fate)) *Link {
	l.t.Helper()
	device := fmt.Sprintf("tap%d", l.taps)
	l.taps++
	tapA, tapB := l.tap(a, device), l.tap(b, device)
	l.up(a, device, addrA)
	l.up(b, device, addrB)
	l.running(a, device)
	l.running(b, device)
	link := &Link{AB: NewDirection(seed, udpOnly(ab)), BA: NewDirection(seed+1, udpOnly(ba))}
	done := make(chan struct{}, 2)
	go pump(tapA, tapB, link.AB, done) // both waited for by the cleanup
	go pump(tapB, tapA, link.BA, done)
	l.t.Cleanup(func() {
		tapA.Close()
		tapB.Close()
		<-done
		<-done
		link.AB.Close()
		link.BA.Close()
	})
	return link
}

// pump carries frames from one device into a direction until it is closed.
func pump(from, to *os.File, d *Direction, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	b := make([]byte, 65536)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		frame := append([]byte(nil), b[:n]...)
		d.Send(frame, func(f []byte) { _, _ = to.Write(f) }) // a link drops what it cannot deliver
	}
}

// udpOnly makes an observer of frames from one of UDP payloads.
func udpOnly(observe func([]byte, Fate)) func([]byte, Fate) {
	if observe == nil {
		return nil
	}
	return func(frame []byte, f Fate) {
		if payload := udpPayload(frame); payload != nil {
			observe(payload, f)
		}
	}
}

// tap opens a TAP device in a namespace.
func (l *Lab) tap(n *Namespace, device string) *os.File {
	l.t.Helper()
	var file *os.File
	err := n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return errors.Join(fmt.Errorf("make %s: %w", device, err), unix.Close(fd))
		}
		file = os.NewFile(uintptr(fd), device)
		return nil
	})
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return file
}

// Do runs f in the namespace: sockets that f itself opens belong to it, those
// of goroutines that f starts do not.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so it ends with the goroutine: no
		// other goroutine may find itself in the namespace.
		runtime.LockOSThread()
		result <- n.enter(f)
	}()
	return <-result
}

func (n *Namespace) enter(f func() error) error {
	file, err := os.Open("/run/netns/" + n.Name)
	if err != nil {
		return fmt.Errorf("lab: enter %s: %w", n.Name, err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("lab: enter %s: %w", n.Name, err)
	}
	return f()
}

// Command is exec.CommandContext inside the namespace.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, n.ip, append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// Dial connects from inside the namespace. The address must be a number.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() error {
		// One address, no fallback: the socket is opened on this thread.
		d := net.Dialer{FallbackDelay: -1}
		var err error
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Client is an HTTP client inside the namespace.
func (n *Namespace) Client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
}
