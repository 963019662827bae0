package session

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/sock_diag.h: what SO_MEMINFO tells, and where the drops stand in it.
const (
	memInfoWords = 9
	memInfoDrops = 8
)

// socketDrops is how many datagrams a socket had no room for over its life, 0
// when the system does not say.
func socketDrops(conn *net.UDPConn) (drops uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0 // it is closed
	}
	_ = raw.Control(func(fd uintptr) { // its error is that the socket is closed
		var words [memInfoWords]uint32
		size := uint32(unsafe.Sizeof(words))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&words)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // x/sys has no call for this option
		if errno == 0 && size == uint32(unsafe.Sizeof(words)) {
			drops = uint64(words[memInfoDrops])
		}
	})
	return drops
}
