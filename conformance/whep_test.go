package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAnswerTo wants an answer that fits its offer by the suite's own measure.
func TestAnswerTo(t *testing.T) {
	offer := Offer(opusSection("sendonly"), h264Section("sendonly"))
	answer := answerTo(offer, "recvonly")
	o, a := describe(offer), describe(answer)
	faults := slices.Concat(a.grammarFaults(), sectionFaults(o, a), directionFaults(a, "recvonly"), bundleFaults(o, a),
		muxFaults(a, true), setupFaults(o, a), credentialFaults(a), fingerprintFaults(a), payloadFaults(o, a), subsetFaults(o, a))
	if len(faults) > 0 {
		t.Errorf("got faults %q in %s", faults, answer)
	}
}

func TestStreamFaults(t *testing.T) {
	answer := Offer(opusSection("sendonly"), h264Section("sendonly")) // has what an answer needs here
	for name, c := range map[string]struct {
		text   string
		faults int
	}{
		"one stream":  {answer, 0},
		"no msid":     {DropLines(answer, "a=msid"), 2},
		"two streams": {Edit(answer, "a=msid:stream track1", "a=msid:other track1"), 1},
		"no stream":   {Edit(answer, "a=msid:stream", "a=msid:-"), 2},
		"not sent":    {Edit(answer, "a=sendonly", "a=recvonly"), 0},
	} {
		if got := streamFaults(describe(c.text)); len(got) != c.faults {
			t.Errorf("%s: got %q, want %d faults", name, got, c.faults)
		}
	}
}

func TestSimulcastFaults(t *testing.T) {
	answer := Offer(h264Section("sendonly"))
	if got := simulcastFaults(describe(answer)); got != nil {
		t.Errorf("got %q, want none", got)
	}
	if got := simulcastFaults(describe(answer + "a=rid:h send\r\na=simulcast:send h;l\r\n")); len(got) != 2 {
		t.Errorf("got %q, want two", got)
	}
}

func TestVideoCodecs(t *testing.T) {
	if got := videoCodecs(browserOffer("recvonly")); !slices.Equal(got, []string{"VP8", "VP9", "H264", "AV1"}) {
		t.Errorf("got %v", got)
	}
	if got := videoCodecs(Offer(opusSection("recvonly"))); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

// TestEntropyOfURLs estimates what is random in URLs of several forms.
func TestEntropyOfURLs(t *testing.T) {
	var uuids, nine, counted []string
	for n := range sessionsCompared {
		hex := randomText(16)
		uuids = append(uuids, "https://server.example/s/"+hex[:8]+"-"+hex[8:12]+"-"+hex[12:16]+"-"+hex[16:20]+"-"+hex[20:]+"/x")
		nine = append(nine, "https://server.example/s?token="+strings.ToUpper(randomText(5))[:9])
		counted = append(counted, "https://server.example/s/"+strings.Repeat("0", 40)+string(rune('a'+n%26)))
	}
	for name, c := range map[string]struct {
		urls     []string
		from, to int
	}{
		"UUIDs":           {uuids, 122, 128},
		"nine characters": {nine, 20, 60},
		"a counter":       {counted, 0, 6},
		"all the same":    {[]string{"https://a/s/1", "https://a/s/1"}, 0, 0},
	} {
		if got := entropy(c.urls); got < c.from || got > c.to {
			t.Errorf("%s: got %d bits, want %d to %d", name, got, c.from, c.to)
		}
	}
}

func TestStrongTag(t *testing.T) {
	for tag, want := range map[string]bool{
		`"a"`: true, `"a:b/c"`: true, `""`: false, `*`: false, `abc`: false, `W/"a"`: false, `"a b"`: false, `"a`: false, `"`: false, ``: false,
	} {
		if got := strongForm.MatchString(tag); got != want {
			t.Errorf("%s: got %v, want %v", tag, got, want)
		}
	}
}

func TestCompareHead(t *testing.T) {
	response := func(status int, pairs ...string) *Response {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return &Response{Status: status, Header: h}
	}
	plain := response(200, "Content-Type", typeSDP, "X-Request-Id", "1", "Date", "now")
	for name, c := range map[string]struct {
		other *Response
		alike bool
	}{
		"alike":          {response(200, "Content-Type", typeSDP, "X-Request-Id", "2", "Content-Length", "0"), true},
		"another status": {response(204, "Content-Type", typeSDP, "X-Request-Id", "2"), false},
		"another type":   {response(200, "Content-Type", "text/plain", "X-Request-Id", "2"), false},
		"no type":        {response(200, "X-Request-Id", "2"), false},
		"one more":       {response(200, "Content-Type", typeSDP, "X-Request-Id", "2", "Etag", `"live"`), false},
	} {
		if err := compareHead(plain, c.other); (err == nil) != c.alike {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCheckLayers(t *testing.T) {
	for data, right := range map[string]bool{
		`{"1":[{"rid":"h","bitrate":1000,"width":1280,"height":720},{"rid":"l","new":true}]}`: true,
		`{"0":[{"spatialLayerId":0,"temporalLayerId":1}]}`:                                    true,
		`{"0":[]}`:                         true,
		`{}`:                               false,
		`[]`:                               false,
		`{"video":[{"rid":"h"}]}`:          false,
		`{"0":[{"width":10}]}`:             false,
		`{"0":[{"rid":1}]}`:                false,
		`{"0":{"rid":"h"}}`:                false,
		`{"0":[{"rid":"h","bitrate":-1}]}`: false,
	} {
		if err := checkLayers(data); (err == nil) != right {
			t.Errorf("%s: got %v", data, err)
		}
	}
}

func TestProblemType(t *testing.T) {
	r := &Response{Header: http.Header{"Content-Type": {"application/problem+json; charset=utf-8"}}, Body: `{"type":"/problems/not-live"}`}
	if got := problemType(r); got != "not-live" {
		t.Errorf("got %q, want not-live", got)
	}
	r.Header.Set("Content-Type", "application/json")
	if got := problemType(r); got != "" {
		t.Errorf("got %q for another type, want none", got)
	}
}
