// Package script holds what local and remote commands share: their inputs, which of the scripts runs when, and what
// becomes of its output. How a script is executed belongs to the resources.
package script

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
)

// Inputs are the properties of every command. Secrets among them stay secret; stdout and stderr become secret only by
// `additional_secret_outputs`.
type Inputs struct {
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`

	Stdin                  *string           `pulumi:"stdin,optional"`
	Logging                *string           `pulumi:"logging,optional"`
	Environment            map[string]string `pulumi:"environment,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
}

// Outputs are what the last create or update printed, each without one final newline.
type Outputs struct {
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Execution is one run of a script as the executing side needs it.
type Execution struct {
	Command        string
	Environment    map[string]string
	Previous       map[string]string // of the environment too, and takes precedence
	Stdin          io.Reader         // nil if there is none
	Stdout, Stderr io.Writer
}

// Executor runs a script to its end.
type Executor func(ctx context.Context, e Execution) error

// ForUpdate is the script of an update, nil if there is none: without one of its own, create runs again.
func (in Inputs) ForUpdate() *string {
	if in.Update != nil {
		return in.Update
	}
	return in.Create
}

// Run executes a script, shows its output line by line and returns it. Without a script, nothing happens and the
// previous output stays. An error carries all that the script printed.
func (in Inputs) Run(ctx context.Context, script *string, previous Outputs, execute Executor) (Outputs, error) {
	if script == nil {
		return previous, nil
	}
	record := recording{show: provider.GetLogger(ctx).InfoStatus}
	stdout := stream{recording: &record, shown: in.logs("stdout")}
	stderr := stream{recording: &record, shown: in.logs("stderr")}
	e := Execution{
		Command: *script, Environment: in.Environment, Previous: map[string]string{}, Stdout: &stdout, Stderr: &stderr,
	}
	if in.Stdin != nil && *in.Stdin != "" {
		e.Stdin = strings.NewReader(*in.Stdin)
	}
	if in.AddPreviousOutputInEnv == nil || *in.AddPreviousOutputInEnv {
		e.Previous["PULUMI_COMMAND_STDOUT"], e.Previous["PULUMI_COMMAND_STDERR"] = previous.Stdout, previous.Stderr
		maps.DeleteFunc(e.Previous, func(_, text string) bool { return text == "" })
	}
	if err := record.end(execute(ctx, e)); err != nil {
		return previous, fmt.Errorf("%w: running %q:\n%s", err, *script, record.all.String())
	}
	return Outputs{Stdout: stdout.text(), Stderr: stderr.text()}, nil
}

func (in Inputs) logs(name string) bool {
	return in.Logging == nil || *in.Logging == name || *in.Logging == "stdoutAndStderr"
}
