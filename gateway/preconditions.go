package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// A room's entity tag is the revision of its settings and a digest of all that
// is shown of it. If-Match looks at the revision alone: what an administrator
// changes does not depend on who came to watch meanwhile. If-None-Match looks
// at all of it, so that whoever polls misses nothing.
func entityTag(revision uint64, body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + strconv.FormatUint(revision, 36) + "-" + hex.EncodeToString(sum[:6]) + `"`
}

// checkPreconditions refuses a change to what the client has not seen (RFC 9110
// section 13.1.1), or has seen and wants no more (section 13.1.2).
func checkPreconditions(r *http.Request, revision uint64) error {
	settings := `"` + strconv.FormatUint(revision, 36) + "-"
	matches := func(tag string) bool { return tag == "*" || strings.HasPrefix(tag, settings) }
	headers := r.Header.Values("If-Match")
	changed := len(headers) > 0
	for tag := range entityTags(headers) {
		changed = changed && !matches(tag)
	}
	for tag := range entityTags(r.Header.Values("If-None-Match")) {
		changed = changed || matches(strings.TrimPrefix(tag, "W/"))
	}
	if changed {
		return &problemError{name: "room-changed"}
	}
	return nil
}

// conditional tells whether a change depends on a revision.
func conditional(r *http.Request) bool {
	for tag := range entityTags(r.Header.Values("If-Match")) {
		if tag != "*" {
			return true
		}
	}
	return false
}

// unchanged tells whether the client has what would be sent (RFC 9110 section
// 13.1.2: weak comparison).
func unchanged(r *http.Request, etag string) bool {
	for tag := range entityTags(r.Header.Values("If-None-Match")) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// entityTags are the members of If-Match and If-None-Match. Ours have no commas
// in them; those of others match nothing, split or not.
func entityTags(headers []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, h := range headers {
			for tag := range strings.SplitSeq(h, ",") {
				if tag = strings.TrimSpace(tag); tag != "" && !yield(tag) {
					return
				}
			}
		}
	}
}
