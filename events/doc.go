// Package events tells everybody in a room what happens in it. Each room has
// one ordered log: whoever listens, by server-sent events, WebSocket or
// webhook, sees the same events in the same order.
//
// A [Hub] holds the logs. [Hub.Publish] numbers an event, encodes it once, puts
// it into a ring and into the state of the room, and wakes who waits; it never
// waits for a reader. A [Listener] is a place in a log. One that was left behind
// by the ring gets the state of the room in place of what it missed, so the
// slowest reader costs a room nothing but that.
//
// Goroutines: those of the callers; [Hub.Run] forgets logs that nobody needs.
// ServeSSE and ServeWebSocket run until the listener's end, and ServeWebSocket
// waits for its reader.
//
// Locks: a log's, then the hub's or that of the queue to the sink. None is held
// when something outside is called.
package events
