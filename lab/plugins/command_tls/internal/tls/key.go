// Package tls makes private keys and self-signed certificates, as the official plugin's upstream does.
package tls

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the id of a key, not its protection
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
)

var (
	algorithms = []string{"RSA", "ECDSA", "ED25519"}
	curves     = map[string]elliptic.Curve{
		"P224": elliptic.P224(), "P256": elliptic.P256(), "P384": elliptic.P384(), "P521": elliptic.P521(),
	}
	errNoImport = errors.New("the lab's stand-in imports nothing")
)

// PrivateKey is `tls:index/privateKey:PrivateKey`. Any change makes another key.
type PrivateKey struct{}

// Annotate sets the token.
func (k *PrivateKey) Annotate(a infer.Annotator) { a.SetToken("index/privateKey", "PrivateKey") }

// KeyInputs are what a program can set.
type KeyInputs struct {
	Algorithm  string  `pulumi:"algorithm"`
	RSABits    *int    `pulumi:"rsaBits,optional"`
	ECDSACurve *string `pulumi:"ecdsaCurve,optional"`
}

// Annotate sets the defaults, which apply to every algorithm.
func (in *KeyInputs) Annotate(a infer.Annotator) {
	a.SetDefault(&in.RSABits, 2048)
	a.SetDefault(&in.ECDSACurve, "P224")
}

// KeyState is what the engine keeps. What OpenSSH cannot express (curve P224) is empty.
type KeyState struct {
	KeyInputs

	PrivateKeyPEM       string `pulumi:"privateKeyPem"`
	PrivateKeyPKCS8     string `pulumi:"privateKeyPemPkcs8"`
	PrivateKeyOpenSSH   string `pulumi:"privateKeyOpenssh"`
	PublicKeyPEM        string `pulumi:"publicKeyPem"`
	PublicKeyOpenSSH    string `pulumi:"publicKeyOpenssh"`
	FingerprintOfMD5    string `pulumi:"publicKeyFingerprintMd5"`
	FingerprintOfSHA256 string `pulumi:"publicKeyFingerprintSha256"`
}

// WireDependencies makes the key's private forms secret.
func (*PrivateKey) WireDependencies(f infer.FieldSelector, _ *KeyInputs, state *KeyState) {
	for _, field := range []*string{&state.PrivateKeyPEM, &state.PrivateKeyPKCS8, &state.PrivateKeyOpenSSH} {
		f.OutputField(field).AlwaysSecret()
	}
}

// Check refuses unknown algorithms and curves. A value that is not known yet arrives as its type's zero.
func (*PrivateKey) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[KeyInputs], error) {
	inputs, failures, err := infer.DefaultCheck[KeyInputs](ctx, req.NewInputs)
	if inputs.Algorithm != "" {
		failures = append(failures, oneOf("algorithm", inputs.Algorithm, algorithms)...)
	}
	if inputs.ECDSACurve != nil && *inputs.ECDSACurve != "" {
		failures = append(failures, oneOf("ecdsaCurve", *inputs.ECDSACurve, slices.Sorted(maps.Keys(curves)))...)
	}
	return infer.CheckResponse[KeyInputs]{Inputs: inputs, Failures: failures}, err
}

func oneOf(property, value string, allowed []string) []provider.CheckFailure {
	if slices.Contains(allowed, value) {
		return nil
	}
	return []provider.CheckFailure{{
		Property: property, Reason: fmt.Sprintf("value must be one of %s, got %q", strings.Join(allowed, ", "), value),
	}}
}

// Create makes a key.
func (*PrivateKey) Create(_ context.Context, req infer.CreateRequest[KeyInputs]) (infer.CreateResponse[KeyState], error) {
	response := infer.CreateResponse[KeyState]{Output: KeyState{KeyInputs: req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	key, err := req.Inputs.generate()
	if err != nil {
		return response, err
	}
	response.ID, err = response.Output.encode(key)
	return response, err
}

// Read returns what is stored: nothing outside can change a key.
func (*PrivateKey) Read(_ context.Context, req infer.ReadRequest[KeyInputs, KeyState]) (infer.ReadResponse[KeyInputs, KeyState], error) {
	if req.State.PrivateKeyPEM == "" {
		return infer.ReadResponse[KeyInputs, KeyState]{}, errNoImport
	}
	return infer.ReadResponse[KeyInputs, KeyState](req), nil
}

func (in KeyInputs) generate() (crypto.Signer, error) {
	switch in.Algorithm {
	case "RSA":
		return rsa.GenerateKey(rand.Reader, *in.RSABits)
	case "ECDSA":
		return ecdsa.GenerateKey(curves[*in.ECDSACurve], rand.Reader)
	case "ED25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return nil, fmt.Errorf("key algorithm %q is not supported", in.Algorithm)
	}
}

// encode fills in every form of the key and returns its id, the SHA-1 of the public key.
func (s *KeyState) encode(key crypto.Signer) (string, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	s.PrivateKeyPKCS8, s.PublicKeyPEM = armour("PRIVATE KEY", pkcs8), armour("PUBLIC KEY", public)
	switch key := key.(type) {
	case *rsa.PrivateKey:
		s.PrivateKeyPEM = armour("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	case *ecdsa.PrivateKey:
		sec1, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return "", err
		}
		s.PrivateKeyPEM = armour("EC PRIVATE KEY", sec1)
	default:
		s.PrivateKeyPEM = s.PrivateKeyPKCS8
	}
	if known, err := ssh.NewPublicKey(key.Public()); err == nil {
		private, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return "", err
		}
		s.PrivateKeyOpenSSH = string(pem.EncodeToMemory(private))
		s.PublicKeyOpenSSH = string(ssh.MarshalAuthorizedKey(known))
		s.FingerprintOfMD5, s.FingerprintOfSHA256 = ssh.FingerprintLegacyMD5(known), ssh.FingerprintSHA256(known)
	}
	sum := sha1.Sum([]byte(strings.TrimSpace(string(public)))) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:]), nil
}

// parse reads a private key in any of the forms of privateKeyPem, and tells its algorithm.
func parse(text string) (crypto.Signer, string, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, "", errors.New("privateKeyPem is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("privateKeyPem holds a %s, not a private key", block.Type)
	}
	if err != nil {
		return nil, "", err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, "RSA", nil
	case *ecdsa.PrivateKey:
		return key, "ECDSA", nil
	case ed25519.PrivateKey:
		return key, "ED25519", nil
	default:
		return nil, "", fmt.Errorf("unsupported private key type: %T", key)
	}
}

func armour(label string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content}))
}
