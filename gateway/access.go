package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/events/webhook"
)

// maxSecretFile bounds the files that hold keys and secrets.
const maxSecretFile = 64 << 10

// access is how a node knows who asks. A reload replaces it.
type access struct {
	verifier auth.Verifier // nil: no authentication is configured, everybody may do everything
}

// verifier is that of now.
func (g *Gateway) verifier() auth.Verifier { return g.access.Load().verifier }

// authenticates tells whether the operator has said who may do what.
func (g *Gateway) authenticates() bool { return g.verifier() != nil }

// authenticates tells whether authentication is configured.
func (c *Config) authenticates() bool {
	return c.AuthTokenFile != "" || c.AuthKeyFile != "" || c.AuthJWKS != "" || c.AuthWebhook != ""
}

// policy is what is asked of JWTs besides their signature.
func (c *Config) policy() auth.Policy {
	return auth.Policy{Issuer: c.AuthIssuer, Audience: c.AuthAudience}
}

// services are those that know tokens elsewhere; nil: not configured.
type services struct {
	jwks *auth.JWKS
	hook *auth.Webhook
}

// openServices must be followed by closing them.
func openServices(cfg *Config, log *slog.Logger) (s services, err error) {
	if cfg.AuthWebhook != "" {
		secrets, err := loadHookSecrets(cfg)
		if err != nil {
			return s, err
		}
		if s.hook, err = auth.NewWebhook(auth.WebhookConfig{
			URL: cfg.AuthWebhook, Secrets: secrets, FailOpen: cfg.AuthWebhookFailOpen, Log: log,
		}); err != nil {
			return s, fmt.Errorf("auth-webhook: %w", err)
		}
	}
	if cfg.AuthJWKS != "" {
		// Keys are fetched until close, whatever becomes of a request.
		s.jwks, err = auth.NewJWKS(context.Background(), auth.JWKSConfig{URL: cfg.AuthJWKS, Policy: cfg.policy(), Log: log}) //nolint:forbidigo // as above
		if err != nil {
			return s, errors.Join(fmt.Errorf("auth-jwks: %w", err), s.close())
		}
	}
	return s, nil
}

func (s services) close() (err error) {
	if s.jwks != nil {
		err = s.jwks.Close()
	}
	if s.hook != nil {
		err = errors.Join(err, s.hook.Close())
	}
	return err
}

// newAccess reads what the settings name.
func (g *Gateway) newAccess(cfg *Config) (*access, error) {
	var verifiers []auth.Verifier // those who need nobody else come first
	if cfg.AuthTokenFile != "" {
		tokens, err := loadTokens(cfg.AuthTokenFile)
		if err != nil {
			return nil, fmt.Errorf("auth-token-file: %w", err)
		}
		verifiers = append(verifiers, tokens)
	}
	if cfg.AuthKeyFile != "" {
		keys, err := loadKeys(cfg.AuthKeyFile)
		if err != nil {
			return nil, fmt.Errorf("auth-key-file: %w", err)
		}
		if keys.HasPrivate() {
			g.log.Warn("auth-key-file holds a private key; give nodes the public one, so that a stolen file makes no tokens",
				"file", cfg.AuthKeyFile, "do", "openssl pkey -in FILE -pubout")
		}
		verifiers = append(verifiers, keys.WithPolicy(cfg.policy()))
	}
	if g.services.jwks != nil {
		verifiers = append(verifiers, g.services.jwks)
	}
	if g.services.hook != nil {
		verifiers = append(verifiers, g.services.hook)
	}
	if len(verifiers) == 0 {
		return &access{}, nil
	}
	// Tokens that rooms gave are no matter of others.
	return &access{auth.Chain(append([]auth.Verifier{verifyFunc(g.verifyGuest)}, verifiers...)...)}, nil
}

// loadHookSecrets reads what signs questions to --auth-webhook.
func loadHookSecrets(cfg *Config) ([][]byte, error) {
	f, err := os.Open(cfg.AuthWebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("auth-webhook-secret-file: %w", err)
	}
	lines, err := webhook.ParseSecrets(f)
	secrets := make([][]byte, 0, len(lines))
	for _, secret := range lines {
		secrets = append(secrets, secret)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = auth.CheckWebhookSecrets(secrets)
	}
	if err != nil {
		return nil, fmt.Errorf("auth-webhook-secret-file: %s: %w", cfg.AuthWebhookSecretFile, err)
	}
	return secrets, nil
}

// verifyFunc is a function that is a verifier.
type verifyFunc func(ctx context.Context, token string) (auth.Grants, error)

// Verify implements auth.Verifier.
func (f verifyFunc) Verify(ctx context.Context, token string) (auth.Grants, error) {
	return f(ctx, token)
}

// verifyGuest verifies the tokens that rooms give.
func (g *Gateway) verifyGuest(ctx context.Context, token string) (auth.Grants, error) {
	return g.guests.Verify(ctx, token)
}

func loadTokens(path string) (*auth.Tokens, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	tokens, err := auth.ParseTokens(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tokens, nil
}

func loadKeys(path string) (*auth.Keys, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	keys, err := auth.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// readSmall reads a file that holds keys.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(text) > maxSecretFile {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, maxSecretFile>>10)
	}
	return text, nil
}
