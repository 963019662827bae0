//go:build unix

package load

import (
	"syscall"
	"time"
)

// processTime is what the process used so far, in user and system mode; 0 when
// the system does not say.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
