// Package local runs commands on the machine of the engine.
package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"homelab/lab/plugins/command_tls/internal/command/script"
)

// idBytes is the length of the random part of an id.
const idBytes = 8

// Command is `command:local:Command`. It has no assetPaths and no archivePaths.
type Command struct{}

// Inputs are what a program can set.
type Inputs struct {
	script.Inputs

	Interpreter *[]string `pulumi:"interpreter,optional"`
	Dir         *string   `pulumi:"dir,optional"`
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

// execute starts the interpreter in the program's directory or in `dir`. When the engine cancels, the interpreter is
// killed; what it started itself ends with the plugin's process group.
func (in Inputs) execute(ctx context.Context, e script.Execution) error {
	interpreter := []string{"/bin/sh", "-c"}
	if in.Interpreter != nil && len(*in.Interpreter) > 0 {
		interpreter = *in.Interpreter
	}
	arguments := append(interpreter[1:len(interpreter):len(interpreter)], e.Command)
	command := exec.CommandContext(ctx, interpreter[0], arguments...)
	if in.Dir != nil {
		command.Dir = *in.Dir
	}
	command.Env = os.Environ()
	for _, variables := range []map[string]string{e.Environment, e.Previous} {
		for name, value := range variables {
			command.Env = append(command.Env, fmt.Sprintf("%s=%s", name, value))
		}
	}
	command.Stdin, command.Stdout, command.Stderr = e.Stdin, e.Stdout, e.Stderr
	return command.Run()
}
