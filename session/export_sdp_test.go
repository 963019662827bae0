package session

// RestartReply is the reply to an ICE restart of a session with this offer.
func RestartReply(o *Offer, c AnswerConfig) []byte { return o.frame().marshalFragment(c) }
