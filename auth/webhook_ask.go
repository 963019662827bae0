package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// errOutage is a service that is out of order, as opposed to one that answers what it should not.
var errOutage = errors.New("out of order")

// ask returns what the service says, or why there is no knowing it.
func (w *Webhook) ask(ctx context.Context, token string) (verdict, error) {
	req, err := w.question(ctx, token, time.Now())
	if err != nil {
		return verdict{}, withoutURL(err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errOutage, withoutURL(err))
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		body, err := readBody(resp, webhookAnswer)
		switch {
		case errors.Is(err, errTooLarge):
			return verdict{}, err
		case err != nil:
			return verdict{}, fmt.Errorf("%w: %w", errOutage, err)
		}
		return parseAnswer(body, token)
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound:
		return verdict{err: ErrInvalid}, nil
	case code >= 500, code == http.StatusTooManyRequests:
		return verdict{}, fmt.Errorf("%w: the answer is %d", errOutage, code)
	default:
		return verdict{}, fmt.Errorf("the answer is %d", code)
	}
}

// question is the request: https://www.standardwebhooks.com says what is signed.
func (w *Webhook) question(ctx context.Context, token string, now time.Time) (*http.Request, error) {
	type data struct {
		Token string `json:"token"`
	}
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
		Data      data   `json:"data"`
	}{"token.verify", now.UTC().Format("2006-01-02T15:04:05.000Z07:00"), data{token}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	id, timestamp := "msg_"+rand.Text(), strconv.FormatInt(now.Unix(), 10)
	var signatures []string // of which a receiver must know one
	for _, secret := range w.secrets() {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	return req, nil
}

// parseAnswer reads the claims of a token. Where they say nothing about the bearer, the token itself tells
// it apart.
func parseAnswer(body []byte, token string) (verdict, error) {
	var a struct {
		ID       string           `json:"id"`
		Identity string           `json:"identity"`
		Name     string           `json:"name"`
		Rooms    jwt.ClaimStrings `json:"rooms"`
		Can      jwt.ClaimStrings `json:"can"`
		Issued   time.Time        `json:"issued"`
		Expires  time.Time        `json:"expires"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return verdict{}, errors.New("the answer is not the JSON that it should be")
	}
	wire := wireClaims{Name: a.Name, Rooms: a.Rooms, Can: a.Can}
	c := wire.claims()
	c.ID, c.Identity, c.Issued, c.Expires = a.ID, a.Identity, a.Issued.UTC(), a.Expires.UTC()
	if c.Identity == "" {
		c.Identity = identity(token)
	}
	if err := c.check(); err != nil {
		return verdict{}, err
	}
	if !c.Expires.IsZero() && !time.Now().Before(c.Expires) {
		return verdict{err: ErrExpired}, nil
	}
	return verdict{grants: c.grants(tokenID(token))}, nil
}
