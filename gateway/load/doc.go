// Package load knows how much this node carries, and who else it has room for.
//
// A [Monitor] samples what the process and its media path do about ten times a
// second and asks a judge, for every offer, whether its sender may come in. The
// judge is arithmetic without a clock of its own: samples and requests in,
// verdicts out.
//
// What is foreseen is kept apart from what hurts already. Foreseen is the share
// of processor time, of the process and of the busiest shard, with everybody who
// was let in and is not in the measurement yet counted at the price of a viewer.
// What hurts, in packets that wait, goroutines that wait and datagrams that
// sockets drop, means that the limit was set too high for this machine at this
// hour: it comes down to what is carried, and goes back up slowly.
//
// A node that carries little takes everybody, however slow its machine is: it
// would not get any faster by sending viewers away. How little is judged by
// counts of packets and not by times, which others on the machine stretch.
//
// Monitor.Run is the one goroutine. Monitor.mu guards the judge; nothing is
// called with it held but Source.Census, which takes no lock.
package load
