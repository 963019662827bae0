package mutant

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
)

// denied is a fault of what is said to those without a token.
func denied(f func(*exchange)) behaviour {
	return behaviour{needs: NeedsTokens, after: func(x *exchange) {
		if x.status == http.StatusUnauthorized && x.protocol == "WHIP" {
			f(x)
		}
	}}
}

// forgetful takes every JWT for the one that was right before.
func forgetful() behaviour {
	var right atomic.Pointer[string]
	return behaviour{
		needs: NeedsTokens,
		before: func(x *exchange) {
			sent, good := x.request.Header.Get("Authorization"), right.Load()
			if good != nil && strings.Count(sent, ".") >= 2 {
				x.header.Set("Authorization", *good)
			}
		},
		after: func(x *exchange) {
			if sent := x.request.Header.Get("Authorization"); x.created() && strings.Count(sent, ".") == 2 {
				right.CompareAndSwap(nil, &sent)
			}
		},
	}
}

// erring is a fault of the problems of WHIP.
func erring(f func(*exchange)) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.protocol != "WHEP" && x.status >= 400 && x.request.Method != http.MethodHead {
			f(x)
		}
	}}
}

var (
	problemStatus = regexp.MustCompile(`"status":\d+`)
	problemType   = regexp.MustCompile(`"type":"[^"]*"`)
)

func problemFaults() map[string]behaviour {
	return map[string]behaviour{
		"auth-400":   denied(func(x *exchange) { x.fail(http.StatusBadRequest, "unauthorized") }).excused("a forged token is denied likewise", "WHIP-AUTH-09"),
		"auth-403":   denied(func(x *exchange) { x.fail(http.StatusForbidden, "unauthorized") }),
		"auth-basic": denied(func(x *exchange) { x.reply.Set("WWW-Authenticate", `Basic realm="whip"`) }),
		"auth-scheme-case": {needs: NeedsTokens, before: func(x *exchange) {
			if a := x.request.Header.Get("Authorization"); x.protocol == "WHIP" && !strings.HasPrefix(a, "Bearer ") {
				x.header.Del("Authorization")
			}
		}},
		"token-error-lost": denied(func(x *exchange) { x.reply.Set("WWW-Authenticate", "Bearer") }),
		"jwt-forged":       forgetful(),
		"token-refused": behaviour{needs: NeedsTokens, before: func(x *exchange) {
			if x.at(endpoint, http.MethodPost) {
				x.header.Del("Authorization")
			}
		}}.excused("nobody can publish", "WHIP"),
		"alternatives-refused": {after: func(x *exchange) {
			if x.created() && strings.Contains(parse(string(x.body)).first("a=simulcast:send "), ",") {
				x.fail(http.StatusUnprocessableEntity, "sdp-malformed")
			}
		}},
		"layer-extension-lost": answering(func(d *description) {
			d.edit(func(line string) string {
				if strings.HasPrefix(line, "a=extmap:") && strings.HasSuffix(line, ":rtp-stream-id") {
					return ""
				}
				return line
			})
		}),
		"wrong-token-deletes": {needs: NeedsTokens, before: func(x *exchange) {
			if x.deleting() {
				x.header.Del("Authorization") // the URL alone is enough for the backend
			}
		}},
		"text-errors": erring(func(x *exchange) {
			x.text = []byte(x.problem()["title"] + "\n")
			x.reply.Set("Content-Type", "text/plain; charset=utf-8")
		}),
		"problem-status": erring(func(x *exchange) {
			x.text = problemStatus.ReplaceAll(x.text, fmt.Appendf(nil, `"status":%d`, http.StatusTeapot))
		}),
		"one-problem": erring(func(x *exchange) {
			x.text = problemType.ReplaceAll(x.text, []byte(`"type":"/problems/error"`))
		}).excused("nothing explains that type", "WHIP-PROB-02"),
		"rid-renamed": answering(func(d *description) {
			rid, _, _ := strings.Cut(d.first("a=rid:"), " ")
			renameLayer(d, rid, "renamed")
		}).excused("it is about the same line", "WHIP-SIM-03"),
		"layers-dropped": answering(func(d *description) {
			rid, _, _ := strings.Cut(d.first("a=rid:"), " ")
			renameLayer(d, rid, "")
		}),
		"busy-400": {needs: NeedsReject, after: func(x *exchange) {
			if x.at(endpoint, http.MethodPost) && x.status == http.StatusConflict {
				x.fail(http.StatusBadRequest, "publication-busy")
			}
		}},
	}
}

// renameLayer gives a layer of a simulcast answer another name; "" drops it.
func renameLayer(d *description, rid, name string) {
	if rid == "" {
		return
	}
	d.edit(func(line string) string {
		if rest, ok := strings.CutPrefix(line, "a=rid:"+rid+" "); ok {
			if name == "" {
				return ""
			}
			return "a=rid:" + name + " " + rest
		}
		v, ok := strings.CutPrefix(line, "a=simulcast:recv ")
		if !ok {
			return line
		}
		var list []string
		for layer := range strings.SplitSeq(v, ";") {
			switch {
			case layer != rid:
				list = append(list, layer)
			case name != "":
				list = append(list, name)
			}
		}
		return "a=simulcast:recv " + strings.Join(list, ";")
	})
}
