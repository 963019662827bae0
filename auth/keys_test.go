package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluicemedia/sluice/auth"
)

const secret = "0123456789abcdef0123456789abcdef"

// signers are made once: an RSA key takes long.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"RS256": r, "ES256": e, "EdDSA": d}
})

func privatePEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func publicPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func keys(t *testing.T, file string) *auth.Keys {
	t.Helper()
	k, err := auth.ParseKeys([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// good are claims that are taken.
func good() jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"sub": "ann", "name": "Ann", "jti": "t-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"rooms": []string{"studio", "event-*"}, "can": []string{"publish", "subscribe"},
	}
}

// with changes claims; a nil value takes one away.
func with(claims jwt.MapClaims, name string, value any) jwt.MapClaims {
	if claims[name] = value; value == nil {
		delete(claims, name)
	}
	return claims
}

func sign(t *testing.T, alg string, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryKind(t *testing.T) {
	files := map[string][2]string{"HS256": {secret, secret}}
	for alg, signer := range signers() {
		files[alg] = [2]string{privatePEM(t, signer), publicPEM(t, signer.Public())}
	}
	for alg, file := range files {
		private, public := keys(t, file[0]), keys(t, file[1])
		token, err := private.Mint(auth.Claims{
			Identity: "ann", Name: "Ann", Rooms: []auth.Pattern{"studio"}, Can: []auth.Grant{auth.Publish},
			Expires: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if got := header(t, token)["alg"]; got != alg {
			t.Errorf("got alg %v, want %s", got, alg)
		}
		for name, verifier := range map[string]auth.Verifier{"private": private, "public": public} {
			g, err := verifier.Verify(t.Context(), token)
			if err != nil {
				t.Fatalf("%s, %s key: %v", alg, name, err)
			}
			if g.Identity != "ann" || g.Name != "Ann" || len(g.TokenID) < 16 || !g.Allows("studio", auth.Publish) ||
				g.Allows("studio", auth.Subscribe) || g.Allows("other", auth.Publish) {
				t.Errorf("%s: got %+v", alg, g)
			}
			if age, left := time.Since(g.Issued), time.Until(g.Expires); age < 0 || age > time.Minute || left > time.Hour || left < 58*time.Minute {
				t.Errorf("%s: issued %v, expires %v", alg, g.Issued, g.Expires)
			}
		}
		if alg == "HS256" {
			if !private.CanMint() || private.HasPrivate() {
				t.Error("a secret signs, and is no private key")
			}
			continue
		}
		if public.CanMint() || !private.CanMint() {
			t.Errorf("%s: only the private key signs", alg)
		}
		if _, err := public.Mint(auth.Claims{Expires: time.Now().Add(time.Hour)}); !errors.Is(err, auth.ErrNoKey) {
			t.Errorf("%s: got %v, want ErrNoKey", alg, err)
		}
	}
}

func header(t *testing.T, token string) map[string]any {
	t.Helper()
	var h map[string]any
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestClaims(t *testing.T) {
	k, now := keys(t, secret), time.Now()
	for _, tc := range []struct {
		name   string
		claims jwt.MapClaims
		want   error
	}{
		{"good", good(), nil},
		{"no jti, no sub, no name", with(with(with(good(), "jti", nil), "sub", nil), "name", nil), nil},
		{"no iat", with(good(), "iat", nil), nil},
		{"one room as text", with(good(), "rooms", "studio"), nil},
		{"nothing allowed", with(with(good(), "rooms", nil), "can", nil), nil},
		{"unknown claim", with(good(), "color", "red"), nil},
		{"clock ahead", with(with(good(), "iat", now.Add(20*time.Second).Unix()), "nbf", now.Add(20*time.Second).Unix()), nil},
		{"24 hours", with(good(), "exp", now.Add(24*time.Hour).Unix()), nil},

		{"no exp", with(good(), "exp", nil), auth.ErrRefused},
		{"expired", with(with(good(), "iat", now.Add(-time.Hour).Unix()), "exp", now.Add(-time.Second).Unix()), auth.ErrExpired},
		{"expired long ago", with(good(), "exp", 1), auth.ErrExpired},
		{"exp before all time", with(good(), "exp", -1e300), auth.ErrExpired},
		{"exp after all time", with(good(), "exp", 253402300800), auth.ErrRefused},
		{"not yet", with(good(), "nbf", now.Add(40*time.Second).Unix()), auth.ErrNotYet},
		{"issued tomorrow", with(good(), "iat", now.Add(40*time.Second).Unix()), auth.ErrNotYet},
		{"25 hours", with(good(), "exp", now.Add(25*time.Hour).Unix()), auth.ErrRefused},
		{"25 hours without iat", with(with(good(), "iat", nil), "exp", now.Add(25*time.Hour).Unix()), auth.ErrRefused},
		{"25 hours, most of them over", with(good(), "iat", now.Add(-24*time.Hour).Unix()), auth.ErrRefused},
		{"unknown grant", with(good(), "can", []string{"publish", "fly"}), auth.ErrRefused},
		{"grant in other letters", with(good(), "can", []string{"Publish"}), auth.ErrRefused},
		{"asterisk inside", with(good(), "rooms", []string{"a*b"}), auth.ErrRefused},
		{"slash", with(good(), "rooms", []string{"a/b"}), auth.ErrRefused},
		{"empty room", with(good(), "rooms", []string{""}), auth.ErrRefused},
		{"too many rooms", with(good(), "rooms", strings.Split(strings.Repeat("r,", 64)+"r", ",")), auth.ErrRefused},
		{"too many audiences", with(good(), "aud", strings.Split(strings.Repeat("r,", 16)+"r", ",")), auth.ErrRefused},
		{"long sub", with(good(), "sub", strings.Repeat("a", 129)), auth.ErrRefused},
		{"line break in name", with(good(), "name", "Ann\nAdmin"), auth.ErrRefused},
		{"long jti", with(good(), "jti", strings.Repeat("a", 129)), auth.ErrRefused},
		{"rooms of another type", with(good(), "rooms", 7), auth.ErrInvalid},
		{"rooms of mixed types", with(good(), "rooms", []any{"a", 7}), auth.ErrInvalid},
		{"sub of another type", with(good(), "sub", []string{"ann"}), auth.ErrInvalid},
		{"exp as text", with(good(), "exp", "tomorrow"), auth.ErrInvalid},
		{"exp true", with(good(), "exp", true), auth.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := sign(t, "HS256", []byte(secret), nil, tc.claims)
			g, err := k.Verify(t.Context(), token)
			check(t, token, g, err, tc.want)
		})
	}
}

// check compares a verdict, and looks for the token in the words of the error.
func check(t *testing.T, token string, g auth.Grants, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Fatalf("got %v, want %v", err, want)
	}
	if err == nil {
		return
	}
	if g.Identity != "" || g.TokenID != "" || g.AllowsSomewhere(auth.Publish) {
		t.Errorf("a refused token has grants: %+v", g)
	}
	if errors.Is(want, auth.ErrRefused) && !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("%v is no ErrInvalid", err)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("%q repeats the token", err)
		}
	}
	for _, word := range []string{"fly", "a*b", "a/b", "Ann"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q repeats a claim", err)
		}
	}
}

// TestClaimsOfOtherNames: a claim that differs in the case of its letters is another one.
func TestClaimsOfOtherNames(t *testing.T) {
	claims := good()
	maps.Copy(claims, jwt.MapClaims{
		"SUB": "mallory", "Name": "Mallory", "Rooms": "*", "CAN": []string{"admin"}, "Jti": "another", "Exp": 1, "NBF": time.Now().Add(time.Hour).Unix(), "IAT": 1, "Iss": 7, "AUD": 7,
	})
	k := keys(t, secret)
	want, err := k.Verify(t.Context(), sign(t, "HS256", []byte(secret), nil, good()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(t.Context(), sign(t, "HS256", []byte(secret), nil, claims))
	if err != nil {
		t.Fatal(err)
	}
	if got.Identity != want.Identity || got.Name != want.Name || got.TokenID != want.TokenID || !got.Expires.Equal(want.Expires) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.AllowsSomewhere(auth.Admin) || got.Allows("elsewhere", auth.Publish) {
		t.Errorf("the token allows what stands in claims of other names: %+v", got)
	}
}

func TestPolicy(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy auth.Policy
		claims jwt.MapClaims
		want   error
	}{
		{"right issuer", auth.Policy{Issuer: "me"}, with(good(), "iss", "me"), nil},
		{"other issuer", auth.Policy{Issuer: "me"}, with(good(), "iss", "you"), auth.ErrRefused},
		{"no issuer", auth.Policy{Issuer: "me"}, good(), auth.ErrRefused},
		{"right audience", auth.Policy{Audience: "sluice"}, with(good(), "aud", "sluice"), nil},
		{"one of the audiences", auth.Policy{Audience: "sluice"}, with(good(), "aud", []string{"x", "sluice"}), nil},
		{"other audience", auth.Policy{Audience: "sluice"}, with(good(), "aud", "x"), auth.ErrRefused},
		{"no audience", auth.Policy{Audience: "sluice"}, good(), auth.ErrRefused},
		{"long life allowed", auth.Policy{MaxLife: 1000 * time.Hour}, with(good(), "exp", time.Now().Add(999*time.Hour).Unix()), nil},
		{"short life wanted", auth.Policy{MaxLife: time.Minute}, good(), auth.ErrRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := sign(t, "HS256", []byte(secret), nil, tc.claims)
			g, err := keys(t, secret).WithPolicy(tc.policy).Verify(t.Context(), token)
			check(t, token, g, err, tc.want)
		})
	}
}

// TestForged: what a token says of itself does not change how keys are used.
func TestForged(t *testing.T) {
	rsaKey, ecKey, edKey := signers()["RS256"], signers()["ES256"], signers()["EdDSA"]
	public := publicPEM(t, rsaKey.Public())
	all := public + publicPEM(t, ecKey.Public()) + publicPEM(t, edKey.Public())
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ours := sign(t, "ES256", ecKey, nil, good())
	parts := strings.Split(ours, ".")
	padded := parts[0] + "=." + parts[1] + "." + parts[2]
	for name, tc := range map[string]struct{ file, token string }{
		"none":                         {all, sign(t, "none", jwt.UnsafeAllowNoneSignatureType, nil, good())},
		"none, to a secret":            {secret, sign(t, "none", jwt.UnsafeAllowNoneSignatureType, nil, good())},
		"None":                         {all, sign(t, "none", jwt.UnsafeAllowNoneSignatureType, map[string]any{"alg": "None"}, good())},
		"no alg":                       {all, sign(t, "ES256", ecKey, map[string]any{"alg": nil}, good())},
		"alg a list":                   {all, sign(t, "ES256", ecKey, map[string]any{"alg": []string{"ES256"}}, good())},
		"public key as secret":         {all, sign(t, "HS256", []byte(public), nil, good())},
		"public key as secret, no end": {all, sign(t, "HS256", []byte(strings.TrimSpace(public)), nil, good())},
		"public key in DER as secret":  {all, sign(t, "HS256", der, nil, good())},
		"RS512":                        {all, sign(t, "RS512", rsaKey, nil, good())},
		"PS256":                        {all, sign(t, "PS256", rsaKey, nil, good())},
		"HS512":                        {secret, sign(t, "HS512", []byte(secret), nil, good())},
		"another key":                  {all, sign(t, "ES256", other, nil, good())},
		"another secret":               {secret, sign(t, "HS256", []byte("x"+secret), nil, good())},
		"alg changed":                  {all, sign(t, "ES256", ecKey, map[string]any{"alg": "RS256"}, good())},
		"key in the token":             {all, sign(t, "ES256", other, map[string]any{"jwk": map[string]string{"kty": "EC"}}, good())},
		"crit":                         {all, sign(t, "ES256", ecKey, map[string]any{"crit": []string{"b64"}, "b64": false}, good())},
		"long kid":                     {all, sign(t, "ES256", ecKey, map[string]any{"kid": strings.Repeat("k", 257)}, good())},
		"no signature":                 {all, parts[0] + "." + parts[1] + "."},
		"two parts":                    {all, parts[0] + "." + parts[1]},
		"four parts":                   {all, ours + ".x"},
		"padding":                      {all, padded},
		"empty":                        {all, ""},
		"dots":                         {all, ".."},
		"oversized":                    {all, sign(t, "ES256", ecKey, nil, with(good(), "x", strings.Repeat("x", 4096)))},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := keys(t, tc.file).Verify(t.Context(), tc.token)
			check(t, tc.token, g, err, auth.ErrInvalid)
		})
	}
	if _, err := keys(t, all).Verify(t.Context(), ours); err != nil {
		t.Errorf("the token that the others were made of: %v", err)
	}
	for cut := range len(ours) {
		if _, err := keys(t, all).Verify(t.Context(), ours[:cut]); !errors.Is(err, auth.ErrInvalid) {
			t.Fatalf("the first %d bytes: got %v, want ErrInvalid", cut, err)
		}
	}
}

// TestOneNameForOneToken: whoever has a token can make another text of it that is as good,
// and must not get away from its revocation by that.
func TestOneNameForOneToken(t *testing.T) {
	key := signers()["ES256"]
	k := keys(t, publicPEM(t, key.Public()))
	token := sign(t, "ES256", key, nil, with(good(), "jti", nil))
	signed, signature := token[:strings.LastIndexByte(token, '.')+1], token[strings.LastIndexByte(token, '.')+1:]
	twin := signed + otherSignature(t, signature)
	var ids []string
	for _, token := range []string{token, twin} {
		g, err := k.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, g.TokenID)
	}
	if ids[0] != ids[1] || ids[0] == "" || strings.Contains(token, ids[0]) {
		t.Errorf("got the names %q", ids)
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", token[len(token)-1])
	if last%16 != 0 {
		t.Fatalf("the last letter has %d", last)
	}
	loose := token[:len(token)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last+1])
	if _, err := k.Verify(t.Context(), loose); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("with other bits at its end: got %v, want ErrInvalid", err)
	}
}

// otherSignature turns (r, s) into (r, n-s), which is as good.
func otherSignature(t *testing.T, signature string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	s := new(big.Int).SetBytes(raw[32:])
	s.Sub(n, s).FillBytes(raw[32:])
	return base64.RawURLEncoding.EncodeToString(raw)
}
