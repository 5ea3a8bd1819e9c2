// Command pulumi-resource-command is the lab's stand-in for Pulumi's plugin of that name, on the same provider library:
// local.Command, remote.Command, and remote.CopyToRemote for single files. What it does not know it refuses by name.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"

	"homelab/lab/plugins/command_tls/internal/command/local"
	"homelab/lab/plugins/command_tls/internal/command/remote"
)

// version is that of the SDK whose tokens and properties are served.
const version = "1.2.1"

func main() {
	provider := infer.Provider(infer.Options{Resources: []infer.InferredResource{
		infer.Resource(local.Command{}), infer.Resource(remote.Command{}), infer.Resource(remote.CopyToRemote{}),
	}})
	if err := provider.Run(context.Background(), "command", version); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-command:", err)
		os.Exit(1)
	}
}
