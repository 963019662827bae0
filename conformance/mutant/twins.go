package mutant

// twins are the faults of publishers' sessions that those of viewers can have
// as well, and what is excused with them there.
var twins = []struct {
	name string
	why  string
	also []string
}{
	{name: "405-without-allow"},
	{name: "created-200", why: "no check takes the session for created", also: []string{"WHEP"}},
	{name: "any-type"},
	{name: "location-guessable"},
	{name: "answer-unbundled"},
	{name: "no-candidates", why: "nobody can connect", also: []string{"WHEP-PLAY", "WHEP-LAY", "WHEP-RST", "WHEP-DEL", "WHEP-TRK-05", "WHEP-ANS-06"}},
	{name: "lite-unsaid", why: "its restarts say that it is", also: []string{"WHEP-RST-03"}},
	{name: "answer-actpass", why: "both sides wait for the other, or both begin", also: []string{"WHEP-PLAY", "WHEP-LAY", "WHEP-RST", "WHEP-DEL", "WHEP-TRK-05"}},
	{name: "foreign-payload-type"},
	{name: "patch-any-type", why: "they answer with SDP", also: []string{"WHEP-CTR"}},
	{name: "etag-weak", why: "that of a restart is as wrong", also: []string{"WHEP-RST-02"}},
	{name: "star-refused", why: "they restart with it", also: []string{"WHEP-PATCH-02", "WHEP-RST"}},
	{name: "patch-unlimited"},
	{name: "trickle-400", why: "they trickle to see whether a session is intact", also: trickling},
	{name: "etag-on-204"},
	{name: "bad-candidate-400"},
	{name: "session-level-refused", why: "their fragments have the credentials there", also: trickling},
	{name: "restart-204", why: "there is no restart", also: []string{"WHEP-RST"}},
	{name: "restart-no-etag", why: "it is about the same header", also: []string{"WHEP-PATCH-03"}},
	{name: "restart-ice-options"},
	{name: "lost-restart-lives", why: "they wait for the end of who is lost", also: []string{"WHEP-DEL", "WHEP-CTR-05"}},
	{name: "delete-if-match"},
	{name: "preflight-401"},
	{name: "redirect-301"},
	{name: "link-slashes"},
	{name: "auth-400"},
}

// trickling are the checks of WHEP that trickle.
var trickling = []string{"WHEP-TRK", "WHEP-PATCH", "WHEP-RST", "WHEP-EXT-02", "WHEP-HTTP-01", "WHEP-HTTP-09"}

// twinFaults makes the twins of faults.
func twinFaults(of map[string]behaviour) map[string]behaviour {
	all := map[string]behaviour{}
	for _, t := range twins {
		b := of[t.name]
		all["whep-"+t.name] = behaviour{
			before: mirrored(b.before), after: mirrored(b.after), also: t.also, why: t.why, needs: b.needs,
		}
	}
	return all
}

// mirrored lets a fault of WHIP take the exchanges of WHEP for its own.
func mirrored(f func(*exchange)) func(*exchange) {
	if f == nil {
		return nil
	}
	return func(x *exchange) {
		if x.protocol != "WHEP" {
			return
		}
		x.protocol = "WHIP"
		f(x)
		x.protocol = "WHEP"
	}
}
