package mutant

import (
	"encoding/json"
	"net/http"
	"strings"
)

// choosing tells whether the request is the choice of a layer, and reads it:
// what is not JSON chooses nothing.
func (x *exchange) choosing() (choice map[string]any, ok bool) {
	if !x.views(below, http.MethodPost) || strings.Contains(x.url.Path, "/events") {
		return nil, false
	}
	return choice, json.Unmarshal(x.body, &choice) == nil
}

// unchosen is a fault that refuses choices that are right.
func unchosen(wrongly func(choice map[string]any) bool) behaviour {
	return behaviour{after: func(x *exchange) {
		if choice, ok := x.choosing(); ok && x.status == http.StatusOK && wrongly(choice) {
			x.fail(http.StatusBadRequest, "json-malformed")
		}
	}}
}

func layerFaults() map[string]behaviour {
	return map[string]behaviour{
		"no-layer-link": {after: func(x *exchange) {
			if x.viewed() {
				x.unlink(relLayer)
			}
		}},
		"layer-refused": unchosen(func(choice map[string]any) bool { return choice["rid"] != nil }).
			excused("they choose a layer first", "WHEP-LAY-04", "WHEP-LAY-05"),
		"layer-section-asked": unchosen(func(choice map[string]any) bool { return choice["mediaId"] == nil }).
			excused("one of its objects names none", "WHEP-LAY-05"),
		"layer-kept": unchosen(func(choice map[string]any) bool { return choice["rid"] == nil }),
		"layers-unkeyed": {after: func(x *exchange) {
			layers := false
			x.line = func(line string) string {
				if strings.HasPrefix(line, "event:") {
					layers = strings.Contains(line, "layers")
				}
				if layers && strings.HasPrefix(line, "data:") {
					return "data: []\n"
				}
				return line
			}
		}},
		"layer-unlinked-events": behaviour{after: func(x *exchange) {
			if x.viewed() {
				x.unlink(relEvents)
				x.unlink(relLayer)
				x.reply.Add("Link", "<"+x.reply.Get("Location")+`/layer>; rel="`+relLayer+`"`)
			}
		}}.excused("it is about the link that is missing", "WHEP-SSE-01"),
		"layer-unknown-200": {after: func(x *exchange) {
			if x.views(below, http.MethodPost) && !strings.Contains(x.url.Path, "/events") && x.status == http.StatusUnprocessableEntity {
				x.succeed(http.StatusOK)
			}
		}},
	}
}
