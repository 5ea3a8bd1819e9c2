// Command pulumi-resource-random is the lab's stand-in for Pulumi's plugin of that name, whose upstream is not available
// as a Go module: RandomPassword. What it does not know it refuses by name.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"

	"homelab/lab/plugins/command_tls/internal/random"
)

// version is that of the SDK whose tokens and properties are served.
const version = "4.21.4"

func main() {
	provider := infer.Provider(infer.Options{Resources: []infer.InferredResource{infer.Resource(&random.Password{})}})
	if err := provider.Run(context.Background(), "random", version); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-random:", err)
		os.Exit(1)
	}
}
