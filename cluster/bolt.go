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
	db, err := bbolt.Open(path, 0o600, o)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.AllocSize = 1 << 20
	return db, nil
}
