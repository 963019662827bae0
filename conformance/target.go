package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// Target is the server to be judged.
type Target struct {
	// WHIP and WHEP are endpoint URLs of one room. Either may be empty. "{room}"
	// in them stands for the name of a room, which the suite then makes up; it
	// also tries whether the last path element may be changed, and gives each
	// check a room of its own when it may.
	WHIP, WHEP string
	Token      string   // bearer token for both; "": none
	Only       []string // ids of checks, or beginnings of ids; empty: all
	Strict     bool     // where the standard leaves a choice, want Sluice's
	Insecure   bool     // take any TLS certificate
	Parallel   int      // checks at a time; 0: 8
	// Progress is called with every result, one at a time, nil: not.
	Progress func(Result)
}

// Check tells what is wrong with the target.
func (t *Target) Check() error {
	if t.WHIP == "" && t.WHEP == "" {
		return errors.New("conformance: no endpoint: name --whip, --whep or both")
	}
	for name, text := range map[string]string{"--whip": t.WHIP, "--whep": t.WHEP} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("conformance: %s: %q is not an http or https URL", name, text)
		}
	}
	if t.WHIP != "" && t.WHEP != "" && strings.Contains(t.WHIP, "{room}") != strings.Contains(t.WHEP, "{room}") {
		return errors.New("conformance: {room} stands in one of --whip and --whep only: they would be of different rooms")
	}
	for _, o := range t.Only {
		if !knownID(o) {
			return fmt.Errorf("conformance: no check has the id %q or begins with it", o)
		}
	}
	return nil
}

func knownID(only string) bool {
	for _, id := range rowIDs() {
		if selected(id, []string{only}) {
			return true
		}
	}
	return false
}

// room fills in or changes the name of the room.
func (t *Target) room(name string) Room {
	return Room{WHIP: siblingURL(t.WHIP, name), WHEP: siblingURL(t.WHEP, name)}
}

// own is the room that was asked for.
func (t *Target) own() Room {
	if strings.Contains(t.WHIP+t.WHEP, "{room}") {
		return t.room("conformance")
	}
	return Room{WHIP: t.WHIP, WHEP: t.WHEP}
}

// siblingURL is the endpoint of another room.
func siblingURL(endpoint, name string) string {
	if endpoint == "" {
		return ""
	}
	if strings.Contains(endpoint, "{room}") {
		return strings.ReplaceAll(endpoint, "{room}", name)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	u.Path = path.Join(path.Dir(u.Path), path.Base(u.Path)+"-"+name)
	return u.String()
}

// newClient makes an HTTP client that follows no redirect and keeps no cookie.
func (t *Target) newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: t.Insecure}, //nolint:gosec // asked for
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 4,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// hasSiblings finds out whether every check may have a room of its own: two
// rooms that nobody made must both take an offer.
func (t *Target) hasSiblings(ctx context.Context, client *http.Client) bool {
	if strings.Contains(t.WHIP+t.WHEP, "{room}") {
		return true
	}
	if t.WHIP == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for range 2 {
		endpoint := t.room("probe" + randomText(4)).WHIP
		resp, err := send(ctx, client, Request{Method: http.MethodPost, URL: endpoint, Type: typeSDP, Body: PublishOffer()}, t.Token)
		if err != nil || resp.Status != http.StatusCreated || resp.Location() == "" {
			return false
		}
		// Ended so that nothing stays behind; a failure shows in the checks.
		_, _ = send(ctx, client, Request{Method: http.MethodDelete, URL: resp.Location()}, t.Token)
	}
	return true
}

// takesOne finds out whether the room refuses a second publisher although the
// first has not connected: then checks take turns.
func (t *Target) takesOne(ctx context.Context, client *http.Client) bool {
	if t.WHIP == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	post := Request{Method: http.MethodPost, URL: t.WHIP, Type: typeSDP}
	refused := false
	var made []string
	for range 2 {
		post.Body = PublishOffer()
		resp, err := send(ctx, client, post, t.Token)
		refused = err != nil || resp.Status != http.StatusCreated
		if err == nil && resp.Location() != "" {
			made = append(made, resp.Location())
		}
	}
	for _, at := range made {
		// Ended so that nothing stays behind; a failure shows in the checks.
		_, _ = send(ctx, client, Request{Method: http.MethodDelete, URL: at}, t.Token)
	}
	return refused
}
