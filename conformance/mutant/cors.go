package mutant

import (
	"net/http"
	"strings"
)

func corsFaults() map[string]behaviour {
	return map[string]behaviour{
		"preflight-401": {after: func(x *exchange) {
			if x.preflight() && x.protocol == "WHIP" {
				x.fail(http.StatusUnauthorized, "unauthorized")
				x.reply.Set("WWW-Authenticate", "Bearer")
			}
		}},
		"preflight-404": {after: func(x *exchange) {
			if x.preflight() && x.at(endpoint, http.MethodOptions) {
				x.fail(http.StatusNotFound, "not-found")
			}
		}},
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
		"options-session-404": {after: func(x *exchange) {
			if x.at(resource, http.MethodOptions) {
				x.fail(http.StatusNotFound, "session-not-found")
			}
		}},
	}
}
