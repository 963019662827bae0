package conformance

import (
	"slices"
	"strings"
)

// Level is how strongly a requirement binds.
type Level string

// The levels. Client marks what the standard leaves to clients and a server has
// to cope with; Choice where it leaves a choice to the server: then a check
// accepts all that the standard allows, unless it is asked to be strict.
const (
	Must      Level = "MUST"
	MustNot   Level = "MUST NOT"
	Should    Level = "SHOULD"
	ShouldNot Level = "SHOULD NOT"
	May       Level = "MAY"
	Client    Level = "CLIENT"
	Choice    Level = "PROD"
)

// Binding tells whether a server that fails does not conform.
func (l Level) Binding() bool { return l == Must || l == MustNot }

// Advised tells whether a server should have a reason to fail.
func (l Level) Advised() bool { return l == Should || l == ShouldNot }

// Stage says what a check needs of the room that it runs in.
type Stage uint8

// The stages, in the order in which they run when there is one room only.
const (
	Idle  Stage = iota // nobody publishes; sessions may be opened, none connects as a publisher
	Alone              // the check has the room to itself, and may publish
	Live               // the suite's own publisher is on air, H264 and Opus; the check only watches
	Last               // brings the server to its limits, and would disturb others: one by one, after all of them
)

// Check is one requirement and how it is tried.
type Check struct {
	ID      string // "WHIP-POST-01"
	Section string // "RFC 9725 4.2"
	Level   Level
	What    string // the requirement, in one sentence
	Stage   Stage
	// Patient checks wait for timers of the server, up to a minute; they run
	// beside all others.
	Patient bool
	Run     func(*T)
}

// protocol is "WHIP" or "WHEP".
func (c *Check) protocol() string { return c.ID[:4] }

// Checks lists all checks in the order of their ids.
func Checks() []Check {
	list := slices.Concat(whipChecks(), whepChecks())
	order := make(map[string]int, len(list))
	for i, id := range rowIDs() {
		order[id] = i
	}
	slices.SortStableFunc(list, func(a, b Check) int { return order[a.ID] - order[b.ID] })
	return list
}

// whipChecks are all checks of WHIP.
func whipChecks() []Check {
	return slices.Concat(
		whipHTTPChecks(),
		whipAnswerChecks(),
		whipPostChecks(),
		whipOfferChecks(),
		whipSessionChecks(),
		whipPatchChecks(),
		whipTrickleChecks(),
		whipRestartChecks(),
		whipDeleteChecks(),
		whipCORSChecks(),
		whipLoadChecks(),
		whipProblemChecks(),
		whipAuthChecks(),
		whipLinkChecks(),
		whipSimulcastChecks(),
		whipConcurrentChecks(),
		whipMediaChecks(),
	)
}

// whepChecks are all checks of WHEP.
func whepChecks() []Check {
	return slices.Concat(
		whepHTTPChecks(),
		whepPostChecks(),
		whepOfferedChecks(),
		whepAnswerChecks(),
		whepCounterChecks(),
		whepCounterAnswerChecks(),
		whepOldChecks(),
		whepIdleChecks(),
		whepPatchChecks(),
		whepEndChecks(),
		whepLinkChecks(),
		whepEventChecks(),
		whepStreamChecks(),
		whepEventDataChecks(),
		whepLayerChecks(),
		whepMediaChecks(),
	)
}

// selected tells whether a check was asked for: by its id or by the beginning
// of it ("WHIP-POST"). Nothing asked for is all.
func selected(id string, only []string) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(o string) bool {
		return id == o || strings.HasPrefix(id, strings.TrimSuffix(o, "-")+"-")
	})
}
