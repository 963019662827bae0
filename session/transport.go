package session

import "time"

// credentials are one side's ICE user fragment and password.
type credentials struct{ ufrag, pwd string }

// transport is the media side of one session: a publisher's (publisher.go) or
// a viewer's (viewer.go). Its methods are called by Session and Table only.
//
// A transport tells its session what happens by three methods that any
// goroutine may call:
//
//   - s.notify(f) runs a callback of the setup: one at a time, and not once the
//     session has ended (then it returns false);
//   - s.live(profile) says that DTLS is up, once;
//   - s.end(cause) ends the session; it returns at once and leads to close,
//     called from a goroutine of the Table, and then to the setup's Closed.
type transport interface {
	// restart begins a new ICE session towards the credentials of f and returns
	// the gateway's own new ones. On error the old ICE session goes on.
	restart(f *Fragment) (credentials, error)
	// trickle takes remote candidates; what cannot be used is ignored.
	trickle(f *Fragment)
	// sweep is called about once a second. The transport ends its session when
	// it did not connect in time or when nothing was heard for too long.
	sweep(now time.Time)
	// diagnose names what is wrong with the way to the peer, "" for nothing.
	diagnose(now time.Time) Cause
	// refine may know better what the media suffers from, from what came beside it.
	refine(c Cause, now time.Time) Cause
	// close says close_notify and frees everything; it is called once, may block
	// for a few hundred milliseconds, and nothing of the transport runs after it.
	close()
	// fill adds what the transport knows to a snapshot.
	fill(*Info)
}
