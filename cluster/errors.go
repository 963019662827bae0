package cluster

import "errors"

var (
	// ErrExists is the answer to making what is there.
	ErrExists = errors.New("cluster: it exists")
	// ErrNotFound is the answer to changing what is not there.
	ErrNotFound = errors.New("cluster: not found")
	// ErrConflict is the answer to a change of another revision, epoch or
	// incarnation than the present one.
	ErrConflict = errors.New("cluster: it has changed meanwhile")
	// ErrRequestReused is the answer to a request whose ID was that of another.
	ErrRequestReused = errors.New("cluster: this request id was used for another request")
	// ErrInvalid is the answer to what no state of the registry could take.
	ErrInvalid = errors.New("cluster: not acceptable")
	// ErrNoLeader says that the registry takes no writes now: no leader, or a
	// disk that is full. The write may still happen later: whoever must know
	// asks again with the same Request.
	ErrNoLeader = errors.New("cluster: the registry takes no writes now")
	// ErrInUse says that another process has the directory.
	ErrInUse = errors.New("cluster: another node uses this directory")
	// ErrDamaged says that the directory holds a registry that cannot be read
	// to its end. Nothing was changed.
	ErrDamaged = errors.New("cluster: damaged")
	// ErrUnknownCommand is the answer to a command of another version.
	ErrUnknownCommand = errors.New("cluster: a command that this version does not know")
)

// code is an outcome of a command as it is kept for those who ask again.
type code string

const (
	done           code = ""
	exists         code = "exists"
	notFound       code = "not-found"
	conflict       code = "conflict"
	reused         code = "request-reused"
	invalid        code = "invalid"
	unknownCommand code = "unknown-command"
	stopped        code = "stopped" // never kept
)

func (c code) err() error {
	switch c {
	case done:
		return nil
	case exists:
		return ErrExists
	case notFound:
		return ErrNotFound
	case conflict:
		return ErrConflict
	case reused:
		return ErrRequestReused
	case invalid:
		return ErrInvalid
	case stopped:
		return ErrNoLeader
	case unknownCommand:
		return ErrUnknownCommand
	default:
		return ErrUnknownCommand // kept by a newer version
	}
}
