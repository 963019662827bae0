package mutant

import (
	"net/http"
	"strings"
)

// server is a Link to an ICE server, as it should be.
func server(uri, credential string) string {
	return "<" + uri + `>; rel="ice-server"; username="someone"; credential="` + credential + `"; credential-type="password"`
}

// linking is a fault of the ICE servers in a publisher's 201.
func linking(values ...string) behaviour {
	return behaviour{after: func(x *exchange) {
		if x.created() {
			x.unlink(`rel="ice-server"`)
			for _, v := range values {
				x.reply.Add("Link", v)
			}
		}
	}}
}

// unlink removes the Links that have the text in them.
func (x *exchange) unlink(text string) {
	all := x.reply.Values("Link")
	x.reply.Del("Link")
	for _, v := range all {
		if !strings.Contains(v, text) {
			x.reply.Add("Link", v)
		}
	}
}

func linkFaults() map[string]behaviour {
	const udp, tcp = "turn:127.0.0.1:3478?transport=udp", "turn:127.0.0.1:3478?transport=tcp"
	return map[string]behaviour{
		"link-escaped-quotes":     linking(server(udp, `one\"two`)),
		"link-without-credential": linking("<" + udp + `>; rel="ice-server"`),
		"whip-extension-twice": behaviour{after: func(x *exchange) {
			for range 2 {
				if x.created() {
					x.reply.Add("Link", "<"+x.reply.Get("Location")+`/x>; rel="urn:ietf:params:whip:ext:example"`)
				}
			}
		}}.excused("it is not registered either", "WHIP-EXT-03"),
		"whip-extension-needed": behaviour{after: func(x *exchange) {
			if x.patching() && x.trickled() {
				x.fail(http.StatusForbidden, "extension-needed")
			}
		}}.excused("they trickle to see whether a session is intact",
			"WHIP-CORS-08", "WHIP-ETAG-03", "WHIP-HTTP-02", "WHIP-PATCH", "WHIP-TRK"),
		"link-joined":  linking(server(udp, "secret") + ", " + server(tcp, "secret")),
		"link-slashes": linking(server("turn://127.0.0.1:3478", "secret")).excused("it is about the same URI", "WHIP-LINK-02"),
		"link-on-preflight": {after: func(x *exchange) {
			if x.preflight() && x.place == endpoint && x.protocol == "WHIP" {
				x.reply.Add("Link", server(udp, "secret"))
			}
		}},
		"redirect-301": {after: func(x *exchange) {
			if path := x.request.URL.Path; x.protocol == "WHIP" && x.place == endpoint && strings.HasSuffix(path, "/") {
				x.fail(http.StatusMovedPermanently, "moved")
				x.reply.Set("Location", x.proxy.URL+strings.TrimRight(path, "/"))
			}
		}},
		"whep-urn-on-whip": {after: func(x *exchange) {
			if x.created() {
				x.reply.Add("Link", "<"+x.reply.Get("Location")+`/layer>; rel="urn:ietf:params:whep:ext:core:layer"`)
			}
		}},
	}
}
