package conformance

import "fmt"

// groups are the requirements of both protocols: group and number of rows. Each
// row is judged by a check or listed in exempt.
var groups = []struct {
	name string
	rows int
}{
	{"WHIP-HTTP", 9},
	{"WHIP-POST", 18},
	{"WHIP-OFFER", 26},
	{"WHIP-ANS", 20},
	{"WHIP-LOC", 3},
	{"WHIP-ETAG", 5},
	{"WHIP-PATCH", 14},
	{"WHIP-TRK", 13},
	{"WHIP-RST", 16},
	{"WHIP-DEL", 12},
	{"WHIP-CORS", 11},
	{"WHIP-LINK", 13},
	{"WHIP-LB", 12},
	{"WHIP-AUTH", 11},
	{"WHIP-PROB", 5},
	{"WHIP-SIM", 11},
	{"WHIP-EXT", 4},
	{"WHIP-CONC", 6},
	{"WHIP-RTP", 13},
	{"WHIP-ICE", 7},
	{"WHIP-TURN", 12},
	{"WHEP-HTTP", 10},
	{"WHEP-POST", 12},
	{"WHEP-ANS", 14},
	{"WHEP-CTR", 17},
	{"WHEP-OLD", 4},
	{"WHEP-IDLE", 9},
	{"WHEP-PATCH", 6},
	{"WHEP-TRK", 6},
	{"WHEP-RST", 7},
	{"WHEP-DEL", 7},
	{"WHEP-LB", 4},
	{"WHEP-LINK", 3},
	{"WHEP-AUTH", 3},
	{"WHEP-EXT", 3},
	{"WHEP-SEC", 3},
	{"WHEP-SSE", 24},
	{"WHEP-LAY", 10},
	{"WHEP-PLAY", 7},
}

// rowIDs lists the ids of all requirements in their order.
func rowIDs() []string {
	var list []string
	for _, g := range groups {
		for n := range g.rows {
			list = append(list, fmt.Sprintf("%s-%02d", g.name, n+1))
		}
	}
	return list
}

// Exempt is a requirement that the suite does not judge, and why.
type Exempt struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// exempt holds the reasons by id.
var exempt = map[string]string{
	"WHIP-HTTP-06": "a duty of clients: nothing that a server does shows it",
	"WHIP-LINK-08": "judged by the tests of the TURN server: needs an allocation with the credentials",
	"WHIP-LINK-12": "a freedom of clients: nothing that a server does shows it",
	"WHIP-LB-01":   "a duty of clients: nothing that a server does shows it",
	"WHIP-LB-03":   "judged by the cluster's tests: needs a room on another node",
	"WHIP-LB-05":   "judged by the cluster's tests: needs a redirect and a browser",
	"WHIP-LB-06":   "judged by the cluster's tests: needs a redirect",
	"WHIP-LB-08":   "judged by the cluster's tests: needs nodes that redirect to each other",
	"WHIP-LB-11":   "judged by the cluster's tests: needs a node that drains",
	"WHIP-AUTH-05": "a duty of clients: nothing that a server does shows it",
	"WHIP-AUTH-11": "judged by the server's own tests: times seen over a network tell nothing",
	"WHIP-EXT-04":  "a duty of clients: nothing that a server does shows it",
	"WHIP-CONC-04": "judged by the cluster's tests: needs two nodes",
	"WHIP-CONC-06": "judged by the server's own tests: needs two tokens of different people",
	"WHIP-TURN-01": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-02": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-03": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-04": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-05": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-06": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-07": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-08": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-09": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-10": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-11": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHIP-TURN-12": "judged by the tests of the TURN server: no part of a WHIP endpoint",
	"WHEP-HTTP-08": "judged by the cluster's tests: needs a room on another node",
	"WHEP-LB-02":   "judged by the cluster's tests: needs a redirect and a browser",
	"WHEP-LB-03":   "judged by the server's own tests: takes more viewers than this suite opens",
	"WHEP-LB-04":   "judged by the cluster's tests: needs a session on another node",
	"WHEP-AUTH-03": "judged by the server's own tests: needs a second token, which may only publish",
	"WHEP-SSE-17":  "a duty of players: nothing that a server does shows it",
	"WHEP-SSE-18":  "judged by the cluster's tests: needs a node that drains and another one",
	"WHEP-SSE-20":  "nothing to judge: no server has cues unless a source sends some, which this suite's does not",
	"WHEP-SSE-24":  "a duty of players: nothing that a server does shows it",
	"WHEP-LAY-10":  "judged by the tests of adaptation to bandwidth: needs a link that is shaped",
	"WHEP-PLAY-06": "judged by the server's own tests: what is done about B-frames shows in the cause of the publisher's session, which WHIP does not carry",
}

// Exempts lists the requirements that no check judges, in their order.
func Exempts() []Exempt {
	var list []Exempt
	for _, id := range rowIDs() {
		if reason, ok := exempt[id]; ok {
			list = append(list, Exempt{id, reason})
		}
	}
	return list
}
