package whip

import (
	"context"
	"net/http"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// Client opens WHIP sessions at an endpoint of any make.
type Client struct {
	URL   string       // of the endpoint
	Token string       // bearer token; "": none
	HTTP  *http.Client // nil: http.DefaultClient
	// Trickle sends the offer without waiting for candidates; they may follow by
	// ClientSession.Trickle.
	Trickle bool
}

// ClientSession is a session as its publisher sees it.
type ClientSession = session.ClientSession

// ResponseError is a response of the server that says no.
type ResponseError = session.ResponseError

// Publish publishes what pc has to send. It leaves pc to the
// caller, also on error. Redirects by 307 and 308 are followed. Errors of the
// server are *ResponseError.
func (c *Client) Publish(ctx context.Context, pc *webrtc.PeerConnection) (*ClientSession, error) {
	shared := session.Client{URL: c.URL, Token: c.Token, HTTP: c.HTTP, Trickle: c.Trickle}
	return shared.Open(ctx, pc)
}
