package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/windows"
)

// selfCPU is the time this process has used, user and system.
func selfCPU() (time.Duration, error) {
	var created, exited, system, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &system, &user); err != nil {
		return 0, fmt.Errorf("bench: own CPU time: %w", err)
	}
	// Filetime.Nanoseconds counts from another epoch; these are spans.
	span := func(f windows.Filetime) time.Duration {
		return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * 100
	}
	return span(system) + span(user), nil
}
