package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/bpg/terraform-provider-proxmox/fwprovider"
	"github.com/bpg/terraform-provider-proxmox/proxmoxtf/provider"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	pftfgen "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
)

const (
	packageName = "proxmoxve"

	upstreamVersion = "0.111.1"

	// version is that of the Python SDK whose tokens and properties are served; the suffix tells the two plugins apart
	// and counts for nothing when versions are compared.
	version = "8.6.0+lab.bpg" + upstreamVersion

	// maxNameLength bounds the names that Pulumi derives from a resource's logical name when a program gives none.
	maxNameLength = 255
)

// bridged is what the plugin serves: the mapping, and the package schema in Pulumi's JSON.
type bridged struct {
	info   bridge.ProviderInfo
	schema []byte
}

// newProvider maps the exposed resources and derives their schema.
//
// The schema is computed at each start, not at build time: for so few resources it takes milliseconds, and nothing
// generated has to be kept current. An error means that the mapping does not fit upstream.
func newProvider(ctx context.Context) (*bridged, error) {
	sdk := provider.ProxmoxVirtualEnvironment()
	if err := keepResources(sdk); err != nil {
		return nil, err
	}

	framework := frameworkSubset{fwprovider.New(upstreamVersion)()}
	muxed := tfbridge.MuxShimWithDisjointgPF(ctx, sdkv2.NewProvider(sdk), framework)

	info := bridge.ProviderInfo{
		P:              muxed,
		Name:           packageName,
		ResourcePrefix: "proxmox",
		DisplayName:    "Proxmox Virtual Environment (lab)",
		GitHubOrg:      "bpg",
		Version:        version,
		Resources:      resourceInfos(),
		MetadataInfo:   bridge.NewProviderMetadata(nil),
	}
	info.SetAutonaming(maxNameLength, "-")

	var findings bytes.Buffer

	generated, err := pftfgen.GenerateSchema(ctx, pftfgen.GenerateSchemaOptions{
		ProviderInfo:    info,
		DiagnosticsSink: diag.DefaultSink(&findings, &findings, diag.FormatOptions{Color: colors.Never}),
		XInMemoryDocs:   true,
	})
	if err != nil {
		return nil, fmt.Errorf("the schema of %s cannot be derived: %w\n%s", packageName, err, findings.String())
	}

	resolver, ok := muxed.(interface {
		ResolveDispatch(*bridge.ProviderInfo) (muxer.DispatchTable, error)
	})
	if !ok {
		return nil, fmt.Errorf("the bridge's muxed provider (%T) no longer resolves its own dispatch table", muxed)
	}

	dispatch, err := resolver.ResolveDispatch(&info)
	if err != nil {
		return nil, fmt.Errorf("a mapped resource belongs to neither half of the upstream provider: %w", err)
	}

	if err := metadata.Set(info.GetMetadata(), "mux", dispatch); err != nil {
		return nil, fmt.Errorf("the dispatch table cannot be stored: %w", err)
	}

	return &bridged{info: info, schema: generated.ProviderMetadata.PackageSchema}, nil
}
