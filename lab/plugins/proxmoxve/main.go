// Command pulumi-resource-proxmoxve is the lab's Proxmox VE provider plugin: the upstream Terraform provider behind
// Pulumi's Terraform bridge, put together the way the published plugin is, for the resources that the program uses.
//
// It owns the mapping from those resources to the tokens of the Python SDK. It holds no Proxmox logic: what a resource
// does, its faults included, comes from upstream.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
)

func main() {
	ctx := context.Background()

	provider, err := newProvider(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s: %v\n", packageName, err)
		os.Exit(1)
	}

	tfbridge.MainWithMuxer(ctx, packageName, provider.info, provider.schema)
}
