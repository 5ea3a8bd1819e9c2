// Command pulumi-resource-tls is the lab's stand-in for Pulumi's plugin of that name, whose upstream is not available
// as a Go module: PrivateKey and SelfSignedCert. What it does not know it refuses by name.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"

	"homelab/lab/plugins/command_tls/internal/tls"
)

// version is that of the SDK whose tokens and properties are served.
const version = "5.6.2"

func main() {
	provider := infer.Provider(infer.Options{Resources: []infer.InferredResource{
		infer.Resource(&tls.PrivateKey{}), infer.Resource(&tls.SelfSignedCert{}),
	}})
	if err := provider.Run(context.Background(), "tls", version); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-tls:", err)
		os.Exit(1)
	}
}
