package auth

import (
	"context"
	"errors"
)

// Why a token is refused. The text of these errors, and of those that wrap
// them, says nothing that stands in the token.
var (
	// ErrInvalid is returned for a token that nobody was given.
	ErrInvalid = errors.New("auth: no such token")
	// ErrRefused is the ErrInvalid of a token that somebody trusted did sign: its
	// claims are not such as can be taken. Nobody else is asked about it.
	ErrRefused = errors.New("auth: the claims of the token are refused")
	// ErrExpired is returned for a token that was good once.
	ErrExpired = errors.New("auth: the token has expired")
	// ErrNotYet is returned for a token that will be good later.
	ErrNotYet = errors.New("auth: the token is not valid yet")
	// ErrUnavailable is returned where nobody who could tell answers: the token
	// may be good.
	ErrUnavailable = errors.New("auth: tokens cannot be verified now")
)

// refusal is an ErrRefused, and so an ErrInvalid, with the reason.
type refusal struct{ reason error }

func (r *refusal) Error() string { return ErrRefused.Error() + ": " + r.reason.Error() }

func (r *refusal) Is(target error) bool { return target == ErrRefused || target == ErrInvalid }

func refuse(reason string) error { return &refusal{errors.New(reason)} }

// Verifier tells what a token allows. The error is one of this package's.
type Verifier interface {
	Verify(ctx context.Context, token string) (Grants, error)
}

// Chain asks one verifier after the other; the first that knows the token
// decides, also when it is one that has expired. If nobody knows it and one
// could not tell, the answer is ErrUnavailable: it might have known.
func Chain(verifiers ...Verifier) Verifier { return chain(verifiers) }

type chain []Verifier

func (c chain) Verify(ctx context.Context, token string) (Grants, error) {
	result := ErrInvalid
	for _, v := range c {
		grants, err := v.Verify(ctx, token)
		switch {
		case err == nil:
			return grants, nil
		case errors.Is(err, ErrRefused), errors.Is(err, ErrExpired), errors.Is(err, ErrNotYet):
			return Grants{}, err
		case !errors.Is(err, ErrInvalid):
			result = err
		}
	}
	return Grants{}, result
}
