package gateway

import (
	"fmt"
	"io"
)

// Announce tells whoever started the node where it listens and how to use it.
func (g *Gateway) Announce(w io.Writer) error {
	admin := "off"
	if g.admin != nil {
		admin = g.admin.Addr().String()
	}
	_, err := fmt.Fprintf(w, `%-8s %s  (WHIP, WHEP, control API, pages)
media    %s  (UDP)
admin    %s  (metrics, health, pprof)
publish  %s/whip/demo  (page %[5]s/publish/demo)
play     %[5]s/whep/demo  (page %[5]s/play/demo)
OBS      Settings, Stream: Service WHIP, Server %[5]s/whip/demo, Bearer Token %[6]s
ffmpeg   ffmpeg -re -i FILE -c:v libx264 -profile:v baseline -bf 0 -g 60 -pix_fmt yuv420p -c:a libopus -ar 48000 -ac 2 -f whip -authorization %[6]s %[5]s/whip/demo
`, g.scheme(), g.http.Addr(), g.MediaAddr(), admin, g.url, g.tokenHint())
	return err
}

// tokenHint stands for a token: OBS asks for one even where none is needed.
func (g *Gateway) tokenHint() string {
	if !g.authenticates() {
		return "anything"
	}
	return "YOUR-TOKEN"
}
