package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

// token is where the Python SDK keeps a resource: its module and its class.
type token struct{ module, class string }

// sdkResources and frameworkResources name the exposed resources by their upstream type, one table for each of the two
// Terraform frameworks that upstream is written in. Everything absent from them stays unknown to the plugin: a program
// that asks for it is refused, with the type's name.
var (
	sdkResources = map[string]token{
		"proxmox_virtual_environment_pool": {"index", "PoolLegacy"},
		"proxmox_virtual_environment_role": {"index", "RoleLegacy"},
		"proxmox_virtual_environment_user": {"index", "UserLegacy"},
		"proxmox_virtual_environment_vm":   {"index", "VmLegacy"},
	}
	frameworkResources = map[string]token{
		"proxmox_acl":           {"index", "Acl"},
		"proxmox_download_file": {"download", "File"},
		"proxmox_user_token":    {"user", "Token"},
	}
)

// resourceInfos maps both tables to Pulumi's tokens. Property names need no help: the bridge's own rules (camel case,
// plurals for lists) give those of the Python SDK, which a test holds on to.
func resourceInfos() map[string]*bridge.ResourceInfo {
	infos := map[string]*bridge.ResourceInfo{}

	for _, table := range []map[string]token{sdkResources, frameworkResources} {
		for upstream, token := range table {
			infos[upstream] = &bridge.ResourceInfo{Tok: bridge.MakeResource(packageName, token.module, token.class)}
		}
	}

	return infos
}

// keepResources removes from the SDKv2 half of the provider what is not exposed. It fails if upstream lacks a resource
// that is.
func keepResources(sdk *schema.Provider) error {
	kept := map[string]*schema.Resource{}

	for name := range sdkResources {
		found, ok := sdk.ResourcesMap[name]
		if !ok {
			return fmt.Errorf("upstream %s has no SDKv2 resource %q: correct the table of exposed resources",
				upstreamVersion, name)
		}

		kept[name] = found
	}

	sdk.ResourcesMap = kept
	sdk.DataSourcesMap = nil

	return nil
}

// frameworkSubset is the framework half of the provider with only the exposed resources. Optional abilities of the
// wrapped provider (functions, actions, list resources) are hidden with the rest.
type frameworkSubset struct{ provider.Provider }

// Resources returns the constructors whose resources are exposed. It panics if upstream lacks one of them, since the
// interface leaves no other way to fail.
func (s frameworkSubset) Resources(ctx context.Context) []func() resource.Resource {
	var self provider.MetadataResponse

	s.Metadata(ctx, provider.MetadataRequest{}, &self)

	var kept []func() resource.Resource

	for _, construct := range s.Provider.Resources(ctx) {
		var described resource.MetadataResponse

		construct().Metadata(ctx, resource.MetadataRequest{ProviderTypeName: self.TypeName}, &described)

		if _, ok := frameworkResources[described.TypeName]; ok {
			kept = append(kept, construct)
		}
	}

	if len(kept) != len(frameworkResources) {
		panic(fmt.Sprintf("upstream %s has %d of the %d framework resources in the table of exposed resources: correct it",
			upstreamVersion, len(kept), len(frameworkResources)))
	}

	return kept
}

// DataSources returns none: the program looks nothing up through the provider.
func (s frameworkSubset) DataSources(context.Context) []func() datasource.DataSource { return nil }
