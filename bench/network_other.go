//go:build !linux

package bench

import "time"

func newNetwork(f *fleet) (network, error) { return newPortableNetwork(f) }

func sleepExactly(d time.Duration) { time.Sleep(d) }
