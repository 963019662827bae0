package auth

// JWKSStats is how a key set is.
type JWKSStats struct {
	Fetches, Failures uint64 // since the start; one that goes on is a fetch already
	Keys              int    // that verify now
}

// Stats tells how the key set is.
func (j *JWKS) Stats() JWKSStats {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forget()
	return JWKSStats{Fetches: j.fetches, Failures: j.failures, Keys: len(j.keys)}
}

// WebhookStats is how a webhook is.
type WebhookStats struct {
	Questions, Failures uint64 // since the start; one under way is a question already
	Out                 bool   // it is left alone for a while, or was and has not answered yet
}

// Stats tells how the webhook is.
func (w *Webhook) Stats() WebhookStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return WebhookStats{Questions: w.questions, Failures: w.failures, Out: w.breaker.open()}
}
