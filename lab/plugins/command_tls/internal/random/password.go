// Package random makes passwords, as the official plugin's upstream does.
package random

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/bcrypt"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	capital = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
	others  = "!@#$%&*()-_=+[]{}<>:?"

	longestForHash = 72 // bytes that bcrypt looks at
)

var errNoImport = errors.New("the lab's stand-in imports nothing")

// Password is `random:index/randomPassword:RandomPassword`. Any change makes another one.
type Password struct{}

// Annotate sets the token.
func (p *Password) Annotate(a infer.Annotator) { a.SetToken("index/randomPassword", "RandomPassword") }

// PasswordInputs are what this program sets, and the defaults of the rest.
type PasswordInputs struct {
	Length  int   `pulumi:"length"`
	Special *bool `pulumi:"special,optional"`
}

// Annotate sets the default.
func (in *PasswordInputs) Annotate(a infer.Annotator) { a.SetDefault(&in.Special, true) }

// PasswordState is what the engine keeps.
type PasswordState struct {
	PasswordInputs

	Result     string `pulumi:"result"`
	BcryptHash string `pulumi:"bcryptHash"`
}

// WireDependencies makes the password and its hash secret.
func (*Password) WireDependencies(f infer.FieldSelector, _ *PasswordInputs, state *PasswordState) {
	f.OutputField(&state.Result).AlwaysSecret()
	f.OutputField(&state.BcryptHash).AlwaysSecret()
}

// Check refuses a length that makes no password. A value that is not known yet arrives as its type's zero.
func (*Password) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[PasswordInputs], error) {
	inputs, failures, err := infer.DefaultCheck[PasswordInputs](ctx, req.NewInputs)
	if inputs.Length < 0 {
		failures = append(failures, provider.CheckFailure{
			Property: "length", Reason: fmt.Sprintf("value must be at least 1, got %d", inputs.Length),
		})
	}
	return infer.CheckResponse[PasswordInputs]{Inputs: inputs, Failures: failures}, err
}

// Create makes a password.
func (*Password) Create(_ context.Context, req infer.CreateRequest[PasswordInputs]) (infer.CreateResponse[PasswordState], error) {
	response := infer.CreateResponse[PasswordState]{ID: "none", Output: PasswordState{PasswordInputs: req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	alphabet := letters + capital + digits
	if req.Inputs.Special == nil || *req.Inputs.Special {
		alphabet += others
	}
	result := make([]byte, req.Inputs.Length)
	for i := range result {
		index, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return response, err
		}
		result[i] = alphabet[index.Int64()]
	}
	hash, err := bcrypt.GenerateFromPassword(result[:min(len(result), longestForHash)], bcrypt.DefaultCost)
	if err != nil {
		return response, err
	}
	response.Output.Result, response.Output.BcryptHash = string(result), string(hash)
	return response, nil
}

// Read returns what is stored: nothing outside can change a password.
func (*Password) Read(_ context.Context, req infer.ReadRequest[PasswordInputs, PasswordState]) (infer.ReadResponse[PasswordInputs, PasswordState], error) {
	if req.State.Result == "" {
		return infer.ReadResponse[PasswordInputs, PasswordState]{}, errNoImport
	}
	return infer.ReadResponse[PasswordInputs, PasswordState](req), nil
}
