// Package gateway is one node: it joins the HTTP surface to rooms and
// sessions, and starts and stops them in order.
//
// [Config] is the one source of every setting: its tags hold names, defaults
// and help, from which the flags, the environment variables, the keys of the
// configuration file, the sample and docs/configuration.md come. [Gateway] is
// the running node. routes.go lists what is served, problem.go is the only
// place where an error becomes an HTTP status.
//
// Goroutines: Run starts one for each HTTP server and one that watches files;
// it waits for all of them. Locks: roomsMu makes changes of a room's settings
// one at a time; it is never held while a request body is read.
package gateway
