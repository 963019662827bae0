package mutant

import (
	"net/http"
	"strings"
)

func corsFaults() map[string]behaviour {
	return map[string]behaviour{
		"preflight-401": behaviour{after: func(x *exchange) {
			if x.preflight() && x.protocol == "WHIP" {
				x.fail(http.StatusUnauthorized, "unauthorized")
				x.reply.Set("WWW-Authenticate", "Bearer")
			}
		}}.excused("they send preflights, too", "WHIP-CORS-01", "WHIP-CORS-08"),
		"preflight-404": behaviour{after: func(x *exchange) {
			if x.preflight() && x.at(endpoint, http.MethodOptions) {
				x.fail(http.StatusNotFound, "not-found")
			}
		}}.excused("it sends preflights, too", "WHIP-CORS-03"),
		"accept-post-misspelt": {after: func(x *exchange) {
			if v := x.reply.Get("Accept-Post"); v != "" && x.protocol == "WHIP" {
				x.reply.Del("Accept-Post")
				x.reply.Set("Access-Post", v)
			}
		}},
		"cors-not-on-errors": {after: func(x *exchange) {
			if x.status < 400 || x.protocol == "WHEP" {
				return
			}
			for name := range x.reply {
				if strings.HasPrefix(name, "Access-Control-") {
					delete(x.reply, name)
				}
			}
		}},
		"cors-star-headers": {after: func(x *exchange) {
			if x.protocol != "WHEP" {
				x.reply.Set("Access-Control-Allow-Headers", "*")
			}
		}},
		"expose-location-only": {after: func(x *exchange) {
			if x.protocol != "WHEP" {
				x.reply.Set("Access-Control-Expose-Headers", "Location")
			}
		}},
		"options-session-404": behaviour{after: func(x *exchange) {
			if x.at(resource, http.MethodOptions) {
				x.fail(http.StatusNotFound, "session-not-found")
			}
		}}.excused("it sends preflights, too", "WHIP-CORS-03"),
	}
}
