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

// checkIfMatch refuses a change to what the client has not seen (RFC 9110
// section 13.1.1).
func checkIfMatch(r *http.Request, revision uint64) error {
	headers := r.Header.Values("If-Match")
	if len(headers) == 0 {
		return nil
	}
	want := `"` + strconv.FormatUint(revision, 36) + "-"
	for tag := range entityTags(headers) {
		if tag == "*" || strings.HasPrefix(tag, want) {
			return nil
		}
	}
	return &problemError{name: "room-changed"}
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
