package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sluicemedia/sluice/auth"
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
	return c.AuthTokenFile != "" || c.AuthKeyFile != ""
}

// newAccess reads what the settings name.
func (g *Gateway) newAccess(cfg *Config) (*access, error) {
	if !cfg.authenticates() {
		return &access{}, nil
	}
	// Those who need nobody else come first. Room tokens are never asked of others.
	verifiers := []auth.Verifier{verifyFunc(g.verifyGuest)}
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
		verifiers = append(verifiers, keys)
	}
	return &access{auth.Chain(verifiers...)}, nil
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
