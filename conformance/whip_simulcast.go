package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// whipSimulcastChecks judge the answers to offers of several layers.
func whipSimulcastChecks() []Check {
	row := rows("WHIP-SIM")
	return []Check{
		row(1, "RFC 9725 4.8", May, "simulcast is answered in kind", func(t *T) {
			a := t.layered("0;1;2", "0", "1", "2")
			if got := a.value("simulcast"); got != "recv 0;1;2" {
				t.Errorf("expected simulcast:recv 0;1;2, got %q", got)
			}
		}),
		row(2, "RFC 8853 5.3.2", Must, "the answer turns the direction round, and adds and renames no layer", func(t *T) {
			for _, rids := range [][]string{{"0", "1", "2"}, {"q", "h", "f"}, {"hi", "lo"}} {
				t.wrong(layerFaults(t.layered(strings.Join(rids, ";"), rids...), rids))
			}
		}),
		row(3, "RFC 8853 5.1", Must, "alternatives and paused layers are understood", func(t *T) {
			t.wrong(layerFaults(t.layered("h,m;~l", "h", "m", "l"), []string{"h", "m", "l"}))
		}),
		row(4, "Sluice", Choice, "all layers that are offered are taken, up to four", func(t *T) {
			for _, rids := range [][]string{{"0", "1"}, {"0", "1", "2"}, {"0", "1", "2", "3"}} {
				a := t.layered(strings.Join(rids, ";"), rids...)
				_, list, _ := strings.Cut(a.value("simulcast"), " ")
				if got := len(strings.Split(list, ";")); got != len(rids) {
					t.Errorf("expected %d layers as offered, got %d", len(rids), got)
				}
			}
		}),
		row(5, "RFC 8852", Choice, "simulcast without the header extension that names layers is refused", func(t *T) {
			t.layered("0;1;2", "0", "1", "2")
			offer := DropLines(simulcastOffer("0;1;2", "0", "1", "2"), "a=extmap:10 ")
			r := t.ask(t.Room.WHIP, offer)
			if a := describe(r.Body); r.Status == http.StatusCreated && !t.Strict() {
				if a.byMID("1") != nil && a.byMID("1").has("simulcast") {
					t.Errorf("expected no simulcast in the answer, since nothing could tell layers apart, got %q", a.byMID("1").value("simulcast"))
				}
				return
			}
			t.WantChoice(r, http.StatusUnprocessableEntity, "201 without simulcast, 400 or 422", unprocessable)
		}),
		row(6, "RFC 8852", Must, "the header extensions of mid and layer are answered, that of repair only if offered", checkLayerExtensions),
		row(9, "RFC 8851", Should, "restrictions of a layer that nobody knows are dropped", func(t *T) {
			a := t.layered("0;1", "0", "1 max-width=640;foo=1")
			for _, v := range a.values("rid") {
				if strings.Contains(v, "foo") {
					t.Errorf("expected the unknown restriction to be dropped, got rid:%s", v)
				}
			}
			t.wrong(layerFaults(a, []string{"0", "1"}))
		}),
		row(11, "Sluice", Choice, "a server without simulcast takes the offer and leaves the attribute out", func(t *T) {
			r := t.PostOffer(t.Room.WHIP, simulcastOffer("0;1;2", "0", "1", "2"))
			t.Want(r, "201", Is(http.StatusCreated))
			s := describe(r.Body).byMID("1")
			switch {
			case s == nil:
				t.Errorf("expected a section with mid 1, got none")
			case s.has("simulcast"):
				t.Skipf("the server takes simulcast")
			case s.has("rid"):
				t.Errorf("expected no rid without simulcast, got %q", s.values("rid"))
			}
		}),
	}
}

// simulcastOffer offers VP8 in layers; a rid may be followed by restrictions.
func simulcastOffer(list string, rids ...string) string {
	video := Media{Kind: "video", MID: "1", Direction: "sendonly", Formats: "96 97", Codecs: videoCodec("96", "97", "VP8", "")}
	video.Extra = sdpLines("extmap:4 "+uriMID, "extmap:10 "+uriRID, "extmap:11 "+uriRepairRID)
	for _, rid := range rids {
		id, restrictions, _ := strings.Cut(rid, " ")
		video.Extra += strings.TrimSuffix("a=rid:"+id+" send "+restrictions, " ") + "\r\n"
	}
	video.Extra += "a=simulcast:send " + list + "\r\n"
	return Offer(opusSection("sendonly"), video)
}

// layered is the video section of the answer to an offer of layers; the check is
// skipped when the server takes but one.
func (t *T) layered(list string, rids ...string) *section {
	r := t.ask(t.Room.WHIP, simulcastOffer(list, rids...))
	if unprocessable(r.Status) && !t.Strict() { // more tracks than it supports
		t.Skipf("the server refuses simulcast of %s: %v", list, r)
	}
	if !t.Want(r, "201 to simulcast of "+list, Is(http.StatusCreated)) {
		t.Fatalf("no answer to judge")
	}
	s := describe(r.Body).byMID("1")
	if s == nil {
		t.Fatalf("expected a section with mid 1, got none")
	}
	if !s.has("simulcast") {
		t.Skipf("the server takes no simulcast")
	}
	return s
}

// layerFaults wants layers of the offer alone, received, each with a rid line.
func layerFaults(s *section, offered []string) []string {
	var faults []string
	lines := s.values("simulcast")
	if len(lines) != 1 {
		return []string{fmt.Sprintf("expected one simulcast line, got %d", len(lines))}
	}
	direction, list, _ := strings.Cut(lines[0], " ")
	if direction != "recv" || strings.Contains(list, " ") {
		faults = append(faults, fmt.Sprintf("expected simulcast:recv and a list, got %q", lines[0]))
	}
	named := map[string]bool{}
	for stream := range strings.SplitSeq(list, ";") {
		for rid := range strings.SplitSeq(stream, ",") {
			rid = strings.TrimPrefix(rid, "~")
			if !slices.Contains(offered, rid) || named[rid] {
				faults = append(faults, fmt.Sprintf("expected layers of %v, each once, got %q", offered, list))
			}
			named[rid] = true
		}
	}
	described := map[string]bool{}
	for _, v := range s.values("rid") {
		f := strings.Fields(v)
		if len(f) < 2 || f[1] != "recv" || !named[f[0]] || described[f[0]] {
			faults = append(faults, fmt.Sprintf("expected one rid line with recv for each layer of %q, got rid:%s", list, v))
			continue
		}
		described[f[0]] = true
	}
	if len(described) != len(named) {
		faults = append(faults, fmt.Sprintf("expected a rid line for each layer of %q, got %d", list, len(described)))
	}
	return faults
}

func checkLayerExtensions(t *T) {
	a := t.layered("0;1;2", "0", "1", "2")
	extensions := strings.Join(a.values("extmap"), "\n")
	for _, uri := range []string{uriMID, uriRID} {
		if !strings.Contains(extensions, uri) {
			t.Errorf("expected the header extension %s in the answer, got none", uri)
		}
	}
	r := t.PostOffer(t.Room.WHIP, DropLines(simulcastOffer("0;1;2", "0", "1", "2"), "a=extmap:11 "))
	if r.Status == http.StatusCreated && strings.Contains(r.Body, uriRepairRID) {
		t.Errorf("expected no header extension %s, since none was offered", uriRepairRID)
	}
}
