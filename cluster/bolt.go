package cluster

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// durability is what a file owes after a crash of the machine.
type durability int

const (
	durable    durability = iota // every transaction
	disposable                   // nothing: it is made anew at every start
)

// reserve is address space, not memory and not disk. While a file outgrows
// what is mapped, writers wait for every reader, and a snapshot is a reader of
// seconds.
const reserve = 1 << 30

func openBolt(path string, d durability) (*bbolt.DB, error) {
	o := &bbolt.Options{
		Timeout:        time.Nanosecond, // the lock is free or it is not
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		NoSync:         d == disposable,
		NoGrowSync:     d == disposable,
	}
	// On Windows a file is as large as what is mapped of it.
	if bits.UintSize == 64 && runtime.GOOS != "windows" {
		o.InitialMmapSize = reserve
	}
	db, err := tryOpen(path, o)
	if err != nil {
		return nil, err
	}
	db.AllocSize = 1 << 20
	return db, nil
}

// lockReader opens a file without looking further than its meta pages.
func lockReader(path string) (*bbolt.DB, error) {
	return tryOpen(path, &bbolt.Options{Timeout: time.Nanosecond, ReadOnly: true})
}

func tryOpen(path string, o *bbolt.Options) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, o)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// updateBolt writes. Faults are those of tests.
func updateBolt(db *bbolt.DB, fault func() error, fn func(*bbolt.Tx) error) error {
	if fault != nil {
		if err := fault(); err != nil {
			return err
		}
	}
	return db.Update(fn)
}
