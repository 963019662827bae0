// Package events tells everybody in a room what happens in it. Each room has
// one ordered log: whoever listens, by server-sent events, WebSocket or
// webhook, sees the same events in the same order.
package events
