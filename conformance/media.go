package conformance

import "slices"

// whipMediaChecks are the checks of WHIP that need more than HTTP.
func whipMediaChecks() []Check {
	return slices.Concat(
		whipTransportChecks(),
		whipICEChecks(),
		whipEndChecks(),
		whipRevivalChecks(),
		whipMediaRows(),
	)
}

// whepMediaChecks are the checks of WHEP that need more than HTTP.
func whepMediaChecks() []Check {
	return slices.Concat(
		whepLifeChecks(),
		whepPublisherChecks(),
		whepPlayChecks(),
	)
}
