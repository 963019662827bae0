package conformance

import (
	"maps"
	"math/bits"
	"slices"
)

func keys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// entropy estimates the random bits in texts of one maker: positions where all
// are alike count nothing, the others for the size of the alphabet that is seen
// there, made up to a power of two. With a hundred texts that is within a bit or
// two of the truth for the usual codings.
func entropy(texts []string) int {
	if len(texts) == 0 {
		return 0
	}
	shortest := len(slices.MinFunc(texts, func(a, b string) int { return len(a) - len(b) }))
	total := 0
	for i := range shortest {
		seen := map[byte]bool{}
		for _, text := range texts {
			seen[text[i]] = true
		}
		total += bits.Len(uint(len(seen) - 1))
	}
	return total
}
