//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

func measureFloor(context.Context, int, time.Duration, int, int) (floorResult, error) {
	return floorResult{}, errors.New("paired: the floor is measured on Linux only")
}
