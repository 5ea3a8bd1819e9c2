// Package remote runs commands on other machines, and copies files there, over SSH.
package remote

import (
	"context"
	"fmt"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"homelab/lab/plugins/command_tls/internal/command/script"
)

// idBytes is the length of the random part of an id.
const idBytes = 8

// Command is `command:remote:Command`.
type Command struct{}

// Inputs are what a program can set.
type Inputs struct {
	script.Inputs

	Connection Connection `pulumi:"connection" provider:"secret"`
}

// State is what the engine keeps.
type State struct {
	Inputs
	script.Outputs
}

// Create runs `create`, if there is one.
func (Command) Create(ctx context.Context, req infer.CreateRequest[Inputs]) (infer.CreateResponse[State], error) {
	response := infer.CreateResponse[State]{Output: State{Inputs: req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	var err error
	if response.ID, err = resource.NewUniqueHex(req.Name, idBytes, 0); err != nil {
		return response, err
	}
	response.Output.Outputs, err = req.Inputs.Run(ctx, req.Inputs.Create, script.Outputs{}, req.Inputs.execute)
	return response, err
}

// Update runs `update`, or `create` if there is none.
func (Command) Update(ctx context.Context, req infer.UpdateRequest[Inputs, State]) (infer.UpdateResponse[State], error) {
	response := infer.UpdateResponse[State]{Output: State{Inputs: req.Inputs, Outputs: req.State.Outputs}}
	if req.DryRun {
		return response, nil
	}
	var err error
	response.Output.Outputs, err = req.Inputs.Run(ctx, req.Inputs.ForUpdate(), req.State.Outputs, req.Inputs.execute)
	return response, err
}

// Delete runs `delete`, if there is one.
func (Command) Delete(ctx context.Context, req infer.DeleteRequest[State]) (infer.DeleteResponse, error) {
	_, err := req.State.Run(ctx, req.State.Delete, req.State.Outputs, req.State.execute)
	return infer.DeleteResponse{}, err
}

// execute runs the command in a session of its own. As in the official plugin, cancelling does not reach a command
// that runs already.
func (in Inputs) execute(ctx context.Context, e script.Execution) error {
	client, err := in.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()

	for name, value := range e.Environment {
		if err := session.Setenv(name, value); err != nil {
			return fmt.Errorf("could not set environment variable %q (the server must name it in AcceptEnv): %w", name, err)
		}
	}
	for name, value := range e.Previous {
		if session.Setenv(name, value) != nil {
			provider.GetLogger(ctx).Warningf("Unable to set '%s': the server does not name it in AcceptEnv", name)
		}
	}
	session.Stdin, session.Stdout, session.Stderr = e.Stdin, e.Stdout, e.Stderr
	return session.Run(e.Command)
}
