package cluster

import (
	"context"
	"fmt"
)

// SetState says how a node is, if it still is that incarnation. ErrConflict
// comes with the member as it is.
func (n *Node) SetState(ctx context.Context, req Request, node string, incarnation uint64, s State) (Member, error) {
	res, err := n.write(ctx, setNodeState, req, stateBody{node, incarnation, s})
	if res.Member == nil {
		return Member{}, err
	}
	return *res.Member, err
}

// Claim asks for a room on behalf of a node, and returns who has it then: that
// node, or another that had it already. ErrConflict: nobody has it and that
// node may not, because it is not up or another incarnation by now.
func (n *Node) Claim(ctx context.Context, req Request, room, node string, incarnation uint64) (Owner, error) {
	return n.writeOwner(ctx, claimRoom, req, claimBody{room, node, incarnation})
}

// Move gives a room to a node, if it is still in the given epoch. ErrConflict
// comes with the present owner.
func (n *Node) Move(ctx context.Context, req Request, room string, epoch uint64, node string) (Owner, error) {
	return n.writeOwner(ctx, moveRoom, req, moveBody{room, epoch, node})
}

// Release gives up rooms, those whose epoch is still the given one, and
// returns their names. At most 256 at a time.
func (n *Node) Release(ctx context.Context, req Request, owners ...Owner) ([]string, error) {
	if len(owners) > maxRelease {
		return nil, fmt.Errorf("%w: more than %d rooms at a time", ErrInvalid, maxRelease)
	}
	var b releaseBody
	for _, o := range owners {
		b.Rooms = append(b.Rooms, heldRoom{o.Room, o.Epoch})
	}
	res, err := n.write(ctx, releaseRooms, req, b)
	return res.Released, err
}

func (n *Node) writeOwner(ctx context.Context, k kind, req Request, body any) (Owner, error) {
	res, err := n.write(ctx, k, req, body)
	if res.Owner == nil {
		return Owner{}, err
	}
	return *res.Owner, err
}
