package gatewaytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
)

// layeredTemplate is what OBS offers with so many layers: their rids stand
// where the SSRCs do without.
func layeredTemplate(layers int) string {
	if layers == 0 {
		return obsTemplate
	}
	var rids, lines strings.Builder
	for i := range layers {
		fmt.Fprintf(&lines, "a=rid:%d send\n", i)
		fmt.Fprintf(&rids, ";%d", i)
	}
	fmt.Fprintf(&lines, "a=simulcast:send %s\n", rids.String()[1:])
	const msid = "a=msid:CNAME CNAME-video\n"
	return strings.NewReplacer(
		"a=ssrc:VIDEO cname:CNAME\n", "", "a=ssrc:VIDEO msid:CNAME CNAME-video\n", "", msid, msid+lines.String(),
	).Replace(obsTemplate)
}

// sameLayers is how OBS looks whether all its layers were taken: it counts the
// semicolons of the answer's first simulcast line, which it takes to end in
// CRLF. With fewer it stops.
func sameLayers(answer string, layers int) error {
	if layers == 0 {
		return nil
	}
	_, line, ok := strings.Cut(answer, "a=simulcast")
	line, _, ended := strings.Cut(line, "\r\n")
	if got := strings.Count(line, ";") + 1; !ok || !ended || got != layers {
		return fmt.Errorf("obs: the answer has simulcast%q, want %d layers", line, layers)
	}
	return nil
}

// someRepaired answers NACKs for some streams: of a simulcast, OBS sends
// nothing again but of the largest layer.
type someRepaired struct {
	*nack.ResponderInterceptorFactory
	ssrc [2]uint32
}

// NewInterceptor makes the one of a connection.
func (f someRepaired) NewInterceptor(id string) (interceptor.Interceptor, error) {
	responder, err := f.ResponderInterceptorFactory.NewInterceptor(id)
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	return someRepairing{responder, f.ssrc}, nil
}

type someRepairing struct {
	interceptor.Interceptor
	ssrc [2]uint32
}

// BindLocalStream keeps other streams from the responder.
func (i someRepairing) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	if !slices.Contains(i.ssrc[:], info.SSRC) {
		return w
	}
	return i.Interceptor.BindLocalStream(info, w)
}
