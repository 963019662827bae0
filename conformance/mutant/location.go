package mutant

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
)

// locating is a fault of the Location of a publisher's session.
func locating(f func(x *exchange, location string) string) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.created() {
			x.reply.Set("Location", f(x, x.reply.Get("Location")))
		}
	}}
}

// tagging is a fault of the ETag of a publisher's session, also after restarts.
func tagging(f func(x *exchange, etag string) string) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.protocol == "WHIP" && (x.created() || x.restarted()) {
			x.show(f(x, x.reply.Get("ETag")))
		}
	}}
}

func locationFaults() map[string]behaviour {
	return map[string]behaviour{
		"location-guessable": locating(func(x *exchange, location string) string {
			short := "/s/" + strings.ToLower(rand.Text()[:9])
			if u, err := url.Parse(location); err == nil {
				x.proxy.alias(short, u.Path)
			}
			return x.proxy.URL + short
		}),
		"location-relative": locating(func(x *exchange, location string) string {
			return strings.TrimPrefix(location, x.proxy.URL)
		}),
		"location-query": locating(func(_ *exchange, location string) string { return location + "?secret=1" }),
		"location-host": locating(func(x *exchange, location string) string {
			return strings.Replace(location, x.proxy.URL, "http://"+x.request.Host, 1)
		}),
		"etag-none": behaviour{after: func(x *exchange) {
			if x.created() {
				x.reply.Del("ETag")
			}
		}}.excused("nothing can be patched without it", "WHIP-ETAG", "WHIP-PATCH", "WHIP-TRK", "WHIP-RST", "WHIP-HTTP-02", "WHIP-CORS-08"),
		"etag-none-trickle": trickleAlone().excused("there are no tags", "WHIP-ETAG-01", "WHIP-PATCH", "WHIP-RST", "WHIP-CORS-08"),
		"etag-star": tagging(func(*exchange, string) string { return "*" }).
			excused("it never changes", "WHIP-ETAG-03", "WHIP-RST-04"),
		"etag-unquoted": tagging(func(_ *exchange, etag string) string { return strings.Trim(etag, `"`) }).
			excused("that of a restart is as wrong", "WHIP-RST-04"),
		"etag-weak": tagging(func(_ *exchange, etag string) string { return "W/" + etag }).
			excused("that of a restart is as wrong", "WHIP-RST-04"),
		"etag-kept": behaviour{after: func(x *exchange) {
			if x.protocol == "WHIP" && x.restarted() && x.session != nil {
				x.show(x.session.know().first)
			}
		}}.excused("it is about the same header", "WHIP-RST-04"),
		"etag-of-offer": tagging(func(x *exchange, _ string) string {
			sum := sha256.Sum256(x.body)
			return `"` + hex.EncodeToString(sum[:8]) + `"`
		}),
		"etag-ufrag": tagging(func(x *exchange, etag string) string {
			if x.session == nil {
				return etag
			}
			return `"` + x.session.know().ufrag + `"`
		}),
	}
}

// trickleAlone is a server that takes trickles without any ETag, and restarts
// not at all.
func trickleAlone() behaviour {
	return behaviour{before: func(x *exchange) {
		if x.patching() {
			x.satisfy()
		}
	}, after: func(x *exchange) {
		switch {
		case x.created():
			x.reply.Del("ETag")
		case x.patching() && x.restarted():
			x.fail(http.StatusUnprocessableEntity, "restart-unsupported")
		}
	}}
}
