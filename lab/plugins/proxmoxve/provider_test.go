package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
)

//go:embed testdata/sdk_properties.json
var sdkProperties []byte

// propertySpec is what the comparison needs of a property in a Pulumi package schema.
type propertySpec struct {
	Type                 string        `json:"type"`
	Ref                  string        `json:"$ref"`
	Items                *propertySpec `json:"items"`
	AdditionalProperties *propertySpec `json:"additionalProperties"`
}

// resourceSpec is what the comparison needs of a resource.
type resourceSpec struct {
	InputProperties map[string]propertySpec `json:"inputProperties"`
}

// packageSpec is what the comparison needs of the schema itself.
type packageSpec struct {
	Provider  resourceSpec            `json:"provider"`
	Resources map[string]resourceSpec `json:"resources"`
	Types     map[string]struct {
		Properties map[string]propertySpec `json:"properties"`
	} `json:"types"`
}

var served = sync.OnceValues(func() (*bridged, error) { return newProvider(context.Background()) })

func servedSchema(t *testing.T) packageSpec {
	t.Helper()

	provider, err := served()
	if err != nil {
		t.Fatal(err)
	}

	var spec packageSpec
	if err := json.Unmarshal(provider.schema, &spec); err != nil {
		t.Fatal(err)
	}

	return spec
}

// flatten adds to paths the property at path and all below it, in the notation of testdata/sdk_properties.py, and
// returns the property's own type.
func (s packageSpec) flatten(property propertySpec, path string, paths map[string]string) string {
	described := property.Type

	switch {
	case property.Ref != "":
		described = "object"

		name := strings.TrimPrefix(property.Ref, "#/types/")
		for child, spec := range s.Types[name].Properties {
			below := path + "." + child
			paths[below] = s.flatten(spec, below, paths)
		}
	case property.Type == "array":
		described = "array of " + s.flatten(*property.Items, path+"[]", paths)
	case property.AdditionalProperties != nil:
		described = "map of " + s.flatten(*property.AdditionalProperties, path+"{}", paths)
	}

	return described
}

func (s packageSpec) inputs(resource resourceSpec) map[string]string {
	paths := map[string]string{}
	for name, property := range resource.InputProperties {
		paths[name] = s.flatten(property, name, paths)
	}

	return paths
}

func TestExactlyTheResourcesOfTheTablesAreExposed(t *testing.T) {
	want := []string{
		"proxmoxve:download/file:File",
		"proxmoxve:index/acl:Acl",
		"proxmoxve:index/poolLegacy:PoolLegacy",
		"proxmoxve:index/roleLegacy:RoleLegacy",
		"proxmoxve:index/userLegacy:UserLegacy",
		"proxmoxve:index/vmLegacy:VmLegacy",
		"proxmoxve:user/token:Token",
	}

	if got := slices.Sorted(maps.Keys(servedSchema(t).Resources)); !slices.Equal(got, want) {
		t.Errorf("exposed %v, want %v", got, want)
	}
}

func TestInputPropertiesAreThoseOfThePythonSDK(t *testing.T) {
	var sdk map[string]map[string]string
	if err := json.Unmarshal(sdkProperties, &sdk); err != nil {
		t.Fatal(err)
	}

	spec := servedSchema(t)
	spec.Resources["pulumi:providers:"+packageName] = spec.Provider

	if got, want := len(spec.Resources), len(sdk); got != want {
		t.Errorf("the schema has %d resources and the list %d: run testdata/sdk_properties.py", got, want)
	}

	for token, want := range sdk {
		t.Run(token, func(t *testing.T) {
			got := spec.inputs(spec.Resources[token])

			for path, kind := range want {
				if got[path] != kind {
					t.Errorf("%s is %q in the plugin, %q in the SDK", path, got[path], kind)
				}
			}

			for path, kind := range got {
				if _, ok := want[path]; !ok {
					t.Errorf("%s (%s) is unknown to the SDK", path, kind)
				}
			}
		})
	}
}

// serve starts the plugin's server in process.
func serve(t *testing.T) pulumirpc.ResourceProviderServer {
	t.Helper()

	provider, err := served()
	if err != nil {
		t.Fatal(err)
	}

	server, err := tfbridge.MakeMuxedServer(context.Background(), packageName, provider.info, provider.schema)(nil)
	if err != nil {
		t.Fatal(err)
	}

	return server
}

func TestAResourceThatIsNotExposedIsRefusedByName(t *testing.T) {
	const unexposed = "proxmoxve:index/containerLegacy:ContainerLegacy"

	_, err := serve(t).Check(context.Background(), &pulumirpc.CheckRequest{
		Urn:  "urn:pulumi:lab::lab::" + unexposed + "::ct",
		News: &structpb.Struct{},
	})
	if err == nil || !strings.Contains(err.Error(), unexposed) {
		t.Errorf("want an error that names %s, got %v", unexposed, err)
	}
}

func TestADataSourceIsRefusedByName(t *testing.T) {
	const unexposed = "proxmoxve:index/getVmLegacy:getVmLegacy"

	_, err := serve(t).Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: unexposed, Args: &structpb.Struct{}})
	if err == nil || !strings.Contains(err.Error(), unexposed) {
		t.Errorf("want an error that names %s, got %v", unexposed, err)
	}
}
