// Package bench loads a WHIP and WHEP server, any one, and measures what comes of
// it: one publisher of a synthetic H264 and Opus stream, and any number of viewers
// who each are, to the server, a complete WebRTC peer.
//
// Run is all of it: it publishes, lets viewers join, measures, and ends every
// session that it began. Report is what it returns; its field tags are the names
// that `sluice bench --json` prints, and other programs rely on them: fields may be
// added, none taken away.
//
// # What is exact
//
// Every video packet is stamped with a number and the time when it was sent
// (stamp). One viewer in Config.Sample decrypts what it gets and reads the stamps,
// which gives latency and loss end to end; arrival is when the kernel took the
// packet in, so that a generator that is behind with reading does not count against
// the server. The other viewers read headers only: their loss is by the server's
// sequence numbers. What the generator itself could not read in time is counted,
// and a step that tells more of the generator than of the server says so
// (Generator.Limit).
//
// Viewers do not ask the kernel to hand over several packets as one (UDP_GRO), though
// that would make the generator cheaper: on one machine it would make servers that
// send with UDP_SEGMENT cheaper, too, by work that any receiver elsewhere leaves them.
//
// # Goroutines and locks
//
// One thread reads the sockets of all viewers (poller; portableNetwork on systems
// other than Linux reads each on its own), one goroutine sends their reports and
// consent checks, and the publisher has a few. A viewer has a goroutine only while
// it joins. fleet.mu guards all that is counted; the reading thread holds it while
// it works through what has come. It may be held when pipe.mu is taken, never the
// other way around.
package bench
